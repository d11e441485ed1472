import type { DefinedColumn, ShapeDefinition } from "./ShapeDefinition.ts"

const known = new WeakMap<ReadonlyArray<DefinedColumn>, ReadonlySet<string>>()

/**
 * The columns of the shape of which its `electric-schema` header says that they are NOT NULL: official clients fail for good
 * at a NULL in them.
 */
export const notNullColumns = ({
  columns,
  tableColumns
}: Pick<ShapeDefinition, "columns" | "tableColumns">): ReadonlyArray<string> => {
  let names = known.get(tableColumns)
  if (names === undefined) {
    names = new Set(tableColumns.filter(({ notNull }) => notNull === true).map(({ name }) => name))
    known.set(tableColumns, names)
  }
  const found = names
  return columns.filter((name) => found.has(name))
}
