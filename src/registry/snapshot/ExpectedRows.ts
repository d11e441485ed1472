import type { Tuple } from "../../postgres/Tuple.ts"
import { nullLength } from "../../postgres/Tuple.ts"
import { notNullColumns } from "../../shapes/NotNullColumns.ts"
import { mayReadDifferently } from "../../shapes/SchemaChange.ts"
import type { DefinedColumn, ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { RowColumn } from "./MessageFilter.ts"
import { rowColumns } from "./RowQuery.ts"

/**
 * OIDs of types below this one stand in Postgres' sources: none is a domain, which a description of rows calls by the name of
 * its base type. Source: `FirstGenbkiObjectId` of `access/transam.h`.
 */
const firstGeneratedOid = 10_000

/**
 * What a definition, and with it the `electric-schema` header, says of the rows of its query. The table may have been altered
 * after the definition was made, and before the query locked it.
 */
export class ExpectedRows {
  private readonly definition: ShapeDefinition
  private readonly names: ReadonlyArray<string>
  /** Places of the columns that clients were told are NOT NULL. */
  private readonly notNull: ReadonlyArray<number>

  constructor(definition: ShapeDefinition) {
    this.definition = definition
    this.names = rowColumns(definition)
    this.notNull = notNullColumns(definition).map((name) => this.names.indexOf(name))
  }

  /** Why rows with these columns are not those of the definition. */
  misfitOf(columns: ReadonlyArray<RowColumn>): string | undefined {
    const { table, tableColumns } = this.definition
    const before = byName(tableColumns)
    for (const [i, name] of this.names.entries()) {
      const column = columns[i]
      const was = before.get(name)
      if (column === undefined || was === undefined) continue
      if (column.tableOid !== table.oid) return "Its name is another table's now"
      if (mayReadDifferently(was, asDefined(was, column)))
        return `Its column ${name} is not the one that it was when the shape was asked for`
    }
    return undefined
  }

  /** Why the row is not one of the definition's. */
  forbiddenNullIn(row: Tuple): string | undefined {
    const { notNull } = this
    for (let i = 0; i < notNull.length; i++) {
      const at = notNull[i] as number
      if (row.lengths[at] === nullLength)
        return `Its column ${this.names[at]} was NOT NULL when the shape was asked for, and has NULLs now`
    }
    return undefined
  }
}

const named = new WeakMap<ReadonlyArray<DefinedColumn>, ReadonlyMap<string, DefinedColumn>>()

/** Found out once for all shapes that have the list in common. */
const byName = (columns: ReadonlyArray<DefinedColumn>): ReadonlyMap<string, DefinedColumn> => {
  const known = named.get(columns)
  if (known !== undefined) return known
  const made = new Map(columns.map((column) => [column.name, column]))
  named.set(columns, made)
  return made
}

const asDefined = (
  { name, typeOid }: DefinedColumn,
  { attnum, typeModifier, typeOid: described }: RowColumn
): DefinedColumn =>
  typeOid < firstGeneratedOid ? { name, attnum, typeOid: described, typeModifier } : { name, attnum, typeOid }
