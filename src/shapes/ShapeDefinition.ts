import type { TypeContents } from "../postgres/catalogue/TableInfo.ts"
import type { WhereClause } from "../where/WhereClause.ts"

/**
 * What a shape is: everything that decides which rows and columns it holds and how they are written.
 * Plain data, stored as JSON; two requests name the same shape if their `shapeIdentity` is equal.
 */
export interface ShapeDefinition {
  readonly table: { readonly oid: number; readonly schema: string; readonly name: string }
  /** In primary-key order; for a table without primary key all its columns, in attribute order. */
  readonly keyColumns: ReadonlyArray<string>
  /** False when `keyColumns` stands in for a missing primary key. */
  readonly hasPrimaryKey: boolean
  /** Selected columns in attribute order. */
  readonly columns: ReadonlyArray<string>
  /** No `columns` parameter: a column added to or dropped from the table rotates the shape. */
  readonly selectsAllColumns: boolean
  readonly where: WhereClause | undefined
  /** Columns that `where` reads, selected or not. Left out: not known, so every column of the table counts. */
  readonly whereColumns?: ReadonlyArray<string>
  readonly replica: "default" | "full"
  readonly log: "full" | "changes_only"
  /** All columns of the table when the shape was made, in attribute order: what schema changes are measured against. */
  readonly tableColumns: ReadonlyArray<DefinedColumn>
  /** Leaf partitions of a partitioned table when the shape was made. */
  readonly leafOids?: ReadonlyArray<number>
  /** The `electric-schema` header for this shape, as of its creation, or since its table was altered last. */
  readonly schemaHeader: string
  /** Those that clients were given before that; see `continuationOf`. */
  readonly earlierHeaders?: ReadonlyArray<string>
}

/**
 * A column as it was when the shape was made. What the optional members say is compared only where both sides
 * know it: a relation of the stream tells less than the catalogue.
 */
export interface DefinedColumn {
  readonly name: string
  readonly typeOid: number
  readonly typeModifier?: number
  /** A column dropped and added again has another number, and other values. */
  readonly attnum?: number
  readonly notNull?: boolean
  /** The stream may leave the column out. */
  readonly generated?: boolean
  /** Of a type that is not built in. */
  readonly contents?: TypeContents
}

/** The part of an identity before the clause, by the list of columns: definitions of many shapes share theirs. */
const heads = new WeakMap<
  ReadonlyArray<string>,
  { readonly definition: ShapeDefinition; readonly text: string }
>()

const headOf = (definition: ShapeDefinition): string => {
  const { columns, hasPrimaryKey, keyColumns, selectsAllColumns, table } = definition
  const known = heads.get(columns)
  if (
    known !== undefined &&
    known.definition.table === table &&
    known.definition.keyColumns === keyColumns &&
    known.definition.hasPrimaryKey === hasPrimaryKey &&
    known.definition.selectsAllColumns === selectsAllColumns
  )
    return known.text
  const parts = [
    table.oid,
    table.schema,
    table.name,
    keyColumns,
    hasPrimaryKey,
    columns.toSorted(),
    selectsAllColumns
  ]
  const text = JSON.stringify(parts).slice(0, -1)
  heads.set(columns, { definition: { ...definition, where: undefined }, text })
  return text
}

/** Canonical text of the parts that make up a shape's identity: a JSON array. */
export const shapeIdentity = (definition: ShapeDefinition): string => {
  const { log, replica, where } = definition
  const clause = where === undefined ? "null" : JSON.stringify(where.sql)
  return `${headOf(definition)},${clause},"${replica}","${log}"${membersOf(where)}]`
}

/** The clause has names of tables only, and another table may come to have such a name. */
const membersOf = (where: WhereClause | undefined): string =>
  where?.members === undefined ? "" : `,${JSON.stringify(where.members.map(({ table }) => table.oid))}`
