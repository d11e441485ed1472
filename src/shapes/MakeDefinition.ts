import { keyColumns, type ColumnSelection } from "../postgres/catalogue/ColumnSelection.ts"
import { schemaHeader } from "../postgres/catalogue/SchemaHeader.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import type { WhereClause } from "../where/WhereClause.ts"
import type { DefinedColumn, ShapeDefinition } from "./ShapeDefinition.ts"

/** What a request says about a shape, besides its table; already checked against that table. */
export interface ShapeRequest {
  readonly selection: Pick<ColumnSelection, "columns" | "selectsAll">
  readonly where: WhereClause | undefined
  /** Columns that `where` reads, if known. */
  readonly whereColumns?: ReadonlyArray<string>
  readonly replica: "default" | "full"
  readonly log: "full" | "changes_only"
}

/** The definition of the shape that a request asks for. Equal requests on an unchanged table give equal definitions. */
export const makeDefinition = (table: TableInfo, request: ShapeRequest): ShapeDefinition => {
  const { selection, whereColumns } = request
  const columns = selection.columns.map((column) => column.name)
  return {
    table: { oid: table.oid, schema: table.schema, name: table.name },
    keyColumns: keyColumns(table),
    hasPrimaryKey: table.primaryKey.length > 0,
    columns,
    selectsAllColumns: selection.selectsAll,
    where: request.where,
    ...(whereColumns === undefined ? {} : { whereColumns }),
    replica: request.replica,
    log: request.log,
    tableColumns: definedColumns(table),
    ...(table.kind === "partitioned" ? { leafOids: table.leafOids } : {}),
    schemaHeader: schemaHeader(table, columns)
  }
}

/** All shapes made from one description of a table share one list. */
const cache = new WeakMap<TableInfo, ReadonlyArray<DefinedColumn>>()

const definedColumns = (table: TableInfo): ReadonlyArray<DefinedColumn> => {
  let columns = cache.get(table)
  if (columns === undefined) {
    columns = table.columns.map(({ attnum, contents, generated, name, notNull, typeModifier, typeOid }) => ({
      name,
      typeOid,
      typeModifier,
      attnum,
      notNull,
      generated: generated !== "no",
      ...(contents === undefined ? {} : { contents })
    }))
    cache.set(table, columns)
  }
  return columns
}

/** The definition was made from this very description of its table: nothing can have changed in between. */
export const isMadeFrom = (definition: ShapeDefinition, table: TableInfo): boolean =>
  cache.get(table) === definition.tableColumns
