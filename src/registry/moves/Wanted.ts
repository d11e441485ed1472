import type { Tuple } from "../../postgres/Tuple.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import { concernedBy } from "./CandidateQuery.ts"
import type { LaneMembers, Place } from "./LaneMembers.ts"
import type { LaneTable } from "./LaneTable.ts"
import { depthOf } from "../../membership/Subselect.ts"
import { spread } from "./Reach.ts"
import { areEqualRows, projectTuple } from "../rewinding/RowBytes.ts"
import { mayConcern, type Touched } from "./Touched.ts"

/** The changes of a transaction that are of rows of the table, with its columns. Rows are valid during the call only. */
export const eachRow = (
  transaction: RawTransaction,
  members: LaneMembers,
  table: LaneTable,
  change: (oldRow: Tuple | undefined, row: Tuple | undefined) => void
): void => {
  if (!transaction.concerns((oid) => members.tablesOf(oid).includes(table))) return
  for (const one of transaction.changes()) {
    if (one._tag !== "Row" || !members.tablesOf(one.relation.oid).includes(table)) continue
    const indexes = table.indexesIn(one.relation)
    change(
      one.oldRow === undefined ? undefined : projectTuple(one.oldRow, indexes),
      one.row === undefined ? undefined : projectTuple(one.row, indexes)
    )
  }
}

/** One of the transactions truncates the table, or a part of it: which rows it had before is not known. */
export const truncatedIn = (
  transactions: ReadonlyArray<RawTransaction>,
  members: LaneMembers,
  table: LaneTable
): boolean =>
  transactions.some(({ truncations }) =>
    truncations.some((oids) => oids.some((oid) => members.tablesOf(oid).includes(table)))
  )

/**
 * The tables that sub-selects read of which the transaction truncates partitions, and not all. What those had is not known apart: what
 * is left is counted anew.
 */
export const partlyTruncated = (
  { truncations }: RawTransaction,
  members: LaneMembers
): ReadonlySet<LaneTable> => {
  const found = new Set<LaneTable>()
  for (const oids of truncations)
    for (const oid of oids)
      for (const table of members.tablesOf(oid))
        if (table.inner.size > 0 && !oids.includes(table.oid)) found.add(table)
  return found
}

/** The transaction truncates the whole table. */
export const isEmptied = ({ truncations }: RawTransaction, { oid }: LaneTable): boolean =>
  truncations.some((oids) => oids.includes(oid))

const none: ReadonlyArray<LaneTable> = []

/** Tables with shapes that the transaction truncates wholly. */
export const emptiedBy = (
  { truncations }: RawTransaction,
  members: LaneMembers
): ReadonlyArray<LaneTable> => {
  if (truncations.length === 0) return none
  const found = new Set<LaneTable>()
  for (const oids of truncations)
    for (const oid of oids) {
      const table = members.tables.get(oid)
      if (table !== undefined && table.shapes.size > 0) found.add(table)
    }
  return [...found]
}

/** What the row gives sub-selects, or would give them. */
export const touchBy = (table: LaneTable, row: Tuple, touched: Touched): void => {
  if (table.inner.size === 0) return
  for (const { group, link, of, texts } of table.inner.possible(row))
    touched.add(of.kind, { group, link, texts })
}

/** What sub-selects may have more or less of by the transaction alone. */
export const touch = (transaction: RawTransaction, members: LaneMembers, touched: Touched): void => {
  for (const oids of transaction.truncations)
    for (const oid of oids)
      for (const { kind } of members.state.all())
        if (members.tablesOf(oid).some((table) => table.oid === kind.plan.table.oid)) touched.all(kind)
  for (const table of members.tables.values()) {
    if (table.inner.size === 0) continue
    eachRow(transaction, members, table, (oldRow, row) => {
      if (oldRow !== undefined && row !== undefined && areEqualRows(oldRow, row)) return
      if (oldRow !== undefined) touchBy(table, oldRow, touched)
      if (row !== undefined) touchBy(table, row, touched)
    })
  }
}

/**
 * Places of sub-selects of this depth in conditions of other sub-selects; and those of less depth that may be concerned by way of
 * deeper ones.
 */
export const askingAt = (members: LaneMembers, depth: number): ((place: Place) => boolean) => {
  const reached = new Set(Array.from(members.allReaches(), ({ to }) => to))
  return ({ probe: { kind }, table }) => {
    const deep = depthOf(kind)
    return table.inner.size > 0 && (deep === depth || (deep < depth && reached.has(kind)))
  }
}

/** What has to be read of which tables, for some of the places where sub-selects are asked. */
export const wantedOf = (
  members: LaneMembers,
  touched: Touched,
  isWanted: (place: Place) => boolean
): ReadonlyMap<LaneTable, ReadonlyArray<string>> => {
  const conditions = new Map<LaneTable, Set<string>>()
  spread(touched, members)
  for (const place of members.allPlaces()) {
    const { probe, table } = place
    const kind = touched.of(probe.kind)
    if (kind === undefined || !isWanted(place)) continue
    const condition = concernedBy(probe, kind)
    if (condition === "false") continue
    const known = conditions.get(table)
    if (known === undefined) conditions.set(table, new Set([condition]))
    else known.add(condition)
  }
  return new Map(Array.from(conditions, ([table, set]) => [table, [...set]]))
}

/** Whether what is touched can matter to a row of the table: others need not be looked at. */
export const concernOf = (
  members: LaneMembers,
  touched: Touched,
  table: LaneTable
): ((row: Tuple) => boolean) => {
  const asking = members.allPlaces().flatMap(({ probe, table: other }) => {
    const kind = other === table ? touched.of(probe.kind) : undefined
    return kind === undefined ? [] : [{ probe, kind, readLink: table.readLink(probe) }]
  })
  return (row) =>
    asking.some(({ kind, probe, readLink }) => {
      if (kind.everything) return true
      const asked = readLink(row)
      return asked !== undefined && mayConcern(kind, probe, asked)
    })
}
