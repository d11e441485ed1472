import { toldNotNull, toldNumbers } from "./Continuation.ts"
import type { DefinedColumn, ShapeDefinition } from "./ShapeDefinition.ts"

const none: ReadonlyArray<string> = []
const notNullNow = new WeakMap<ReadonlyArray<DefinedColumn>, ReadonlySet<string>>()
const notNullBefore = new WeakMap<ReadonlyArray<string>, ReadonlySet<string>>()
const numbersBefore = new WeakMap<ReadonlyArray<string>, ReadonlySet<string>>()

const remembered = <K extends object>(
  known: WeakMap<K, ReadonlySet<string>>,
  key: K,
  make: () => ReadonlySet<string>
): ReadonlySet<string> => {
  const before = known.get(key)
  if (before !== undefined) return before
  const made = make()
  known.set(key, made)
  return made
}

/**
 * The columns of the shape of which an `electric-schema` header that clients have says that they are NOT NULL: official clients
 * fail for good at a NULL in them.
 */
export const notNullColumns = ({
  columns,
  earlierHeaders,
  tableColumns
}: Pick<ShapeDefinition, "columns" | "earlierHeaders" | "tableColumns">): ReadonlyArray<string> => {
  const now = remembered(
    notNullNow,
    tableColumns,
    () => new Set(tableColumns.filter(({ notNull }) => notNull === true).map(({ name }) => name))
  )
  if (earlierHeaders === undefined) return columns.filter((name) => now.has(name))
  const before = remembered(notNullBefore, earlierHeaders, () => toldNotNull({ earlierHeaders }))
  return columns.filter((name) => now.has(name) || before.has(name))
}

const int8 = 20

/** The columns of the shape that are `bigint` now, and smaller numbers by some header that clients have: a large value they would round. */
export const onceNumbers = ({
  columns,
  earlierHeaders,
  tableColumns
}: Pick<ShapeDefinition, "columns" | "earlierHeaders" | "tableColumns">): ReadonlyArray<string> => {
  if (earlierHeaders === undefined) return none
  const numbers = remembered(numbersBefore, earlierHeaders, () => toldNumbers({ earlierHeaders }))
  if (numbers.size === 0) return none
  const wide = new Set(tableColumns.filter(({ typeOid }) => typeOid === int8).map(({ name }) => name))
  return columns.filter((name) => wide.has(name) && numbers.has(name))
}
