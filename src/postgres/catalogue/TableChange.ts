import { contentsChanged, type ColumnInfo, type TableInfo } from "./TableInfo.ts"

/** How a table differs from an earlier description of it, in what matters to shapes. Nullability does not. */
interface TableDifference {
  readonly renamed: boolean
  readonly columnsAdded: ReadonlyArray<string>
  readonly columnsDropped: ReadonlyArray<string>
  /** Columns whose stored values may read differently: another type, modifier or collation, a type that was altered itself, or dropped and made anew. */
  readonly columnsAltered: ReadonlyArray<string>
  readonly keyChanged: boolean
  /** Partitions that are new to the tree and were created as such, hence empty at first. */
  readonly leavesCreated: ReadonlyArray<number>
  /** Partitions that are new to the tree and may have brought rows along that no change tells of. */
  readonly leavesAttached: ReadonlyArray<number>
  /** Partitions that are gone, with rows of which no deletion tells. */
  readonly leavesRemoved: ReadonlyArray<number>
  readonly ancestorsChanged: boolean
}

export type TableChange =
  /** Dropped, or moved where it cannot be replicated from. */
  | { readonly _tag: "Vanished"; readonly before: TableInfo }
  | {
      readonly _tag: "Changed"
      readonly before: TableInfo
      readonly after: TableInfo
      readonly difference: TableDifference
    }

/** Compares two descriptions of one table (one OID); `undefined` when no shape has to care. */
export const compareTables = (before: TableInfo, after: TableInfo): TableDifference | undefined => {
  const old = new Map(before.columns.map((column) => [column.name, column]))
  const columnsAdded: Array<string> = []
  const columnsAltered: Array<string> = []
  for (const column of after.columns) {
    const earlier = old.get(column.name)
    old.delete(column.name)
    if (earlier === undefined) columnsAdded.push(column.name)
    else if (isAltered(earlier, column)) columnsAltered.push(column.name)
  }
  const columnsDropped = [...old.keys()]
  const renamed = before.schema !== after.schema || before.name !== after.name
  const keyChanged = !sameItems(before.primaryKey, after.primaryKey)
  const wereLeaves = new Set(before.leafOids)
  const leavesNew = after.leafOids.filter((oid) => !wereLeaves.has(oid))
  const areLeaves = new Set(after.leafOids)
  const leavesRemoved = before.leafOids.filter((oid) => !areLeaves.has(oid))
  const ancestorsChanged = !sameItems(before.ancestorOids, after.ancestorOids)
  const nothing =
    columnsAdded.length + columnsAltered.length + columnsDropped.length === 0 &&
    leavesNew.length + leavesRemoved.length === 0 &&
    !renamed &&
    !keyChanged &&
    !ancestorsChanged
  return nothing
    ? undefined
    : {
        renamed,
        columnsAdded,
        columnsDropped,
        columnsAltered,
        keyChanged,
        leavesCreated: leavesNew.filter((oid) => !cameAttached(oid, before, after)),
        leavesAttached: leavesNew.filter((oid) => cameAttached(oid, before, after)),
        leavesRemoved,
        ancestorsChanged
      }
}

/** Whether the leaf, or something between it and what was known already, was attached. */
const cameAttached = (leaf: number, before: TableInfo, after: TableInfo): boolean => {
  const known = new Set([before.oid, ...(before.partitions ?? []).map((partition) => partition.oid)])
  const byOid = new Map((after.partitions ?? []).map((partition) => [partition.oid, partition]))
  let oid = leaf
  while (!known.has(oid)) {
    const partition = byOid.get(oid)
    if (partition === undefined || partition.attached) return true
    oid = partition.parentOid
  }
  return false
}

const varchar = 1043

const isAltered = (before: ColumnInfo, after: ColumnInfo): boolean =>
  before.attnum !== after.attnum ||
  before.typeOid !== after.typeOid ||
  // A varchar only gets another limit; other types are rewritten without a word in the stream.
  (before.typeModifier !== after.typeModifier && (after.element?.typeOid ?? after.typeOid) !== varchar) ||
  before.collationOid !== after.collationOid ||
  contentsChanged(before.contents, after.contents) ||
  before.generated !== after.generated

const sameItems = <A>(a: ReadonlyArray<A>, b: ReadonlyArray<A>): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i])
