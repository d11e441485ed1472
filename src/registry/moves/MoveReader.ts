import { Effect, type Scope } from "effect"
import type { Subscription } from "../../membership/Subscription.ts"
import { type PgError, ownPgError } from "../../postgres/errors/PgError.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { isContained, type SnapshotFilter, snapshotFilter } from "../../storage/state/SnapshotFilter.ts"
import { depthOf } from "../../membership/Subselect.ts"
import { moveStatementMillis } from "../RegistryTimings.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import {
  beginSnapshot,
  type DatabaseSnapshot,
  type SnapshotTransaction
} from "../snapshot/SnapshotTransaction.ts"
import { concernedBy, narrowedTo } from "./CandidateQuery.ts"
import type { LaneMembers, Place } from "./LaneMembers.ts"
import type { LaneTable } from "./LaneTable.ts"
import type { Pieces } from "./Output.ts"
import type { RawTransaction } from "./RawTransaction.ts"
import { readTable, type TableUnreadable } from "./ReadTables.ts"
import type { Reception } from "./Reception.ts"
import { areEqualRows, projectTuple } from "./RowBytes.ts"
import { Touched } from "./Touched.ts"
import { type WorkingSet, WorkingTable } from "./WorkingSet.ts"

interface MoveReaderOptions {
  readonly members: LaneMembers
  readonly sessions: Pick<SnapshotSessions["Service"], "acquire">
  readonly reception: Reception
  /** What is known of the stream: transactions that have been processed, and those that follow. */
  readonly processedXids: () => ReadonlyArray<number>
  readonly queue: () => ReadonlyArray<RawTransaction>
  /** Runs work so that everything else has its turn. */
  readonly inSlices: (work: Pieces) => Effect.Effect<void>
}

/** The snapshot lacks a transaction that has been processed. A moment later there are others. */
const tooOld = ownPgError(
  "transaction_conflict",
  "A snapshot does not contain a transaction that has been replicated already."
)

export const filterOf = ({ xipList, xmax, xmin }: DatabaseSnapshot): SnapshotFilter =>
  snapshotFilter({ xmin: String(xmin), xmax: String(xmax), xipList: xipList.map(String) })

type ReadFailure = PgError | TableUnreadable

/** It can be loaded once the transaction that has truncated its table is processed. */
class TruncatedMeanwhile {
  readonly _tag = "TruncatedMeanwhile"
  readonly table: LaneTable
  constructor(table: LaneTable) {
    this.table = table
  }
}

/**
 * Reads rows as of the position of the lane: at a later snapshot, from which the changes are taken back that have been received
 * and not been processed.
 */
export class MoveReader {
  private readonly options: MoveReaderOptions

  constructor(options: MoveReaderOptions) {
    this.options = options
  }

  /** A transaction whose snapshot contains everything that has been processed. */
  private readonly begin: Effect.Effect<
    SnapshotTransaction & { readonly filter: SnapshotFilter },
    PgError,
    Scope.Scope
  > = Effect.suspend(() =>
    Effect.flatMap(beginSnapshot(this.options.sessions, 0, moveStatementMillis), (begun) => {
      const filter = filterOf(begun.snapshot)
      return this.options.processedXids().every((xid) => isContained(filter, xid))
        ? Effect.succeed({ ...begun, filter })
        : Effect.fail(tooOld)
    })
  )

  /** Has what sub-selects give counted. */
  load(subscriptions: ReadonlyArray<Subscription>): Effect.Effect<void, ReadFailure | TruncatedMeanwhile> {
    const { members, queue, reception } = this.options
    const { state } = members
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        const { filter, session, snapshot } = yield* this.begin
        yield* reception.until(snapshot.containedBefore)
        for (const wanted of byDepth(subscriptions)) {
          const loading = state.load(wanted)
          const tables = new Map<LaneTable, Array<Subscription>>()
          for (const one of wanted) {
            const table = members.tables.get(one.kind.plan.table.oid)
            if (table !== undefined) tables.set(table, [...(tables.get(table) ?? []), one])
          }
          const shown = queue().filter(({ xid }) => isContained(filter, xid))
          for (const table of tables.keys())
            if (this.truncatedIn(shown, table)) return yield* Effect.fail(new TruncatedMeanwhile(table))
          const targets = Array.from(tables, ([table, on]) => {
            const target = loading.target(table.oid, table.columns)
            return { table, on, target }
          })
          for (const { on, table, target } of targets) {
            const sources = on.map(({ constants, kind }) => ({ plan: kind.plan, constants }))
            yield* readTable(session, table, narrowedTo(sources), (row) => loading.add(target, row))
          }
          for (const transaction of queue()) {
            if (!isContained(filter, transaction.xid)) continue
            for (const { table, target } of targets)
              eachRow(transaction, members, table, (oldRow, row) => {
                if (row !== undefined) loading.remove(target, row)
                if (oldRow !== undefined) loading.add(target, oldRow)
              })
          }
          loading.finish()
        }
        yield* session.run("COMMIT")
      })
    )
  }

  /** The rows that the next so many of the transactions can concern beside their own. */
  read(batch: ReadonlyArray<RawTransaction>): Effect.Effect<WorkingSet, ReadFailure> {
    const { members, queue, reception } = this.options
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        const { filter, session, snapshot } = yield* this.begin
        yield* reception.until(snapshot.containedBefore)
        const working = new Map<LaneTable, WorkingTable>()
        const touched = new Touched()
        for (const transaction of batch) this.touch(transaction, touched)
        // The deepest sub-selects first: what they change of rows of tables around them can touch others.
        for (let depth = 0; depth <= members.state.maxDepth; depth++) {
          const asking = ({ probe, table }: Place) => depthOf(probe.kind) === depth && table.inner.size > 0
          for (const [table, conditions] of this.wanted(touched, asking)) {
            // Before it was truncated it had other rows, which nobody can tell any more: what deeper sub-selects
            // would have changed of them shows when they go.
            if (this.truncatedIn(queue(), table)) continue
            yield* readInto(working, table, session, conditions, (row) => touchBy(table, row, touched))
            for (const transaction of queue())
              eachRow(transaction, members, table, (oldRow, row) => {
                if (oldRow !== undefined) touchBy(table, oldRow, touched)
                if (row !== undefined) touchBy(table, row, touched)
              })
          }
        }
        for (const [table, conditions] of this.wanted(touched, ({ table: { own } }) => own.size > 0))
          yield* readInto(working, table, session, conditions, () => {})
        yield* session.run("COMMIT")
        for (const transaction of queue())
          if (isContained(filter, transaction.xid))
            for (const table of working.values()) table.undo(transaction, members)
        for (const { probe, table } of members.allPlaces())
          if (touched.of(probe.kind) !== undefined)
            yield* this.options.inSlices(workingTable(working, table).index(probe))
        return working
      })
    )
  }

  /** Which rows a table had before it was truncated is not known. */
  private truncatedIn(transactions: ReadonlyArray<RawTransaction>, table: LaneTable): boolean {
    const { members } = this.options
    const isOf = (oid: number) => members.tablesOf(oid).includes(table)
    return transactions.some(({ changes }) =>
      changes.some((change) => change._tag === "Truncate" && change.tableOids.some(isOf))
    )
  }

  private touch(transaction: RawTransaction, touched: Touched): void {
    const { members } = this.options
    for (const change of transaction.changes) {
      if (change._tag === "Row") continue
      for (const oid of change.tableOids)
        for (const { kind } of members.state.all())
          if (members.tablesOf(oid).some((table) => table.oid === kind.plan.table.oid)) touched.all(kind)
    }
    for (const table of members.tables.values()) {
      if (table.inner.size === 0) continue
      eachRow(transaction, members, table, (oldRow, row) => {
        if (oldRow !== undefined && row !== undefined && areEqualRows(oldRow, row)) return
        if (oldRow !== undefined) touchBy(table, oldRow, touched)
        if (row !== undefined) touchBy(table, row, touched)
      })
    }
  }

  /** What has to be read of which tables, for some of the places where sub-selects are asked. */
  private wanted(
    touched: Touched,
    isWanted: (place: Place) => boolean
  ): ReadonlyMap<LaneTable, ReadonlyArray<string>> {
    const conditions = new Map<LaneTable, Set<string>>()
    for (const place of this.options.members.allPlaces()) {
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
}

const workingTable = (working: Map<LaneTable, WorkingTable>, table: LaneTable): WorkingTable => {
  let rows = working.get(table)
  if (rows === undefined) working.set(table, (rows = new WorkingTable(table)))
  return rows
}

const readInto = (
  working: Map<LaneTable, WorkingTable>,
  table: LaneTable,
  session: SnapshotSession,
  conditions: ReadonlyArray<string>,
  onRow: (row: Tuple) => void
): Effect.Effect<void, ReadFailure> =>
  Effect.suspend(() => {
    const rows = workingTable(working, table)
    const isFirst = rows.rows.isEmpty
    const found = new Map<string, number>()
    const read = readTable(session, table, conditions, (row) => {
      const bytes = rows.bytesOf(row)
      if (isFirst) rows.rows.add(bytes, 1)
      else found.set(bytes, (found.get(bytes) ?? 0) + 1)
      onRow(row)
    })
    return Effect.map(read, () => {
      // Read before for something else: then all equal ones were.
      for (const [bytes, count] of found) if (rows.rows.count(bytes) === 0) rows.rows.add(bytes, count)
    })
  })

/** The changes of a transaction that are of rows of the table, with its columns. */
const eachRow = (
  transaction: RawTransaction,
  members: LaneMembers,
  table: LaneTable,
  change: (oldRow: Tuple | undefined, row: Tuple | undefined) => void
): void => {
  for (const one of transaction.changes) {
    if (one._tag !== "Row" || !members.tablesOf(one.relation.oid).includes(table)) continue
    const indexes = table.indexesIn(one.relation)
    change(
      one.oldRow === undefined ? undefined : projectTuple(one.oldRow, indexes),
      one.row === undefined ? undefined : projectTuple(one.row, indexes)
    )
  }
}

const touchBy = (table: LaneTable, row: Tuple, touched: Touched): void => {
  if (table.inner.size === 0) return
  for (const { group, link, of, texts } of table.inner.possible(row))
    touched.add(of.kind, { group, link, texts })
}

const byDepth = (subscriptions: ReadonlyArray<Subscription>): ReadonlyArray<ReadonlyArray<Subscription>> => {
  const depths: Array<Array<Subscription>> = []
  for (const one of subscriptions) (depths[one.of.depth] ??= []).push(one)
  return depths.filter((group) => group !== undefined)
}
