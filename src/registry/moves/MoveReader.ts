import { Effect, type Scope } from "effect"
import type { Subscription } from "../../membership/Subscription.ts"
import { type PgError, ownPgError } from "../../postgres/errors/PgError.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { journalLsn } from "../../shared/Lsn.ts"
import { isContained, type SnapshotFilter } from "../../storage/state/SnapshotFilter.ts"
import { moveStatementMillis } from "../RegistryTimings.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import { beginSnapshot, filterOf, type SnapshotTransaction } from "../snapshot/SnapshotTransaction.ts"
import { narrowedTo } from "./CandidateQuery.ts"
import type { LaneMembers } from "./LaneMembers.ts"
import type { LaneOptions } from "./LaneOptions.ts"
import type { LaneTable } from "./LaneTable.ts"
import type { Pieces } from "../routing/Output.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import { readTable, type TableUnreadable } from "./ReadTables.ts"
import type { Reception } from "../waiting/Reception.ts"
import { Touched } from "./Touched.ts"
import {
  askingAt,
  concernOf,
  eachRow,
  partlyTruncated,
  touch,
  touchBy,
  truncatedIn,
  wantedOf
} from "./Wanted.ts"
import { type WorkingSet, WorkingTable } from "./WorkingSet.ts"

interface MoveReaderOptions {
  readonly members: LaneMembers
  readonly sessions: Pick<SnapshotSessions["Service"], "acquire">
  readonly published: LaneOptions["published"]
  readonly reception: Reception
  /** Between positions of the server and those that have been received; see `Lsn`. */
  readonly shift: () => bigint
  /** What is known of the stream: transactions that have been processed, and those that follow. */
  readonly processedXids: () => ReadonlyArray<number>
  readonly queue: () => ReadonlyArray<RawTransaction>
  /** Runs work so that everything else has its turn. */
  readonly inSlices: (work: Pieces) => Effect.Effect<void>
  readonly pause: Effect.Effect<void>
  /** What rows that are read for moves may take in memory. */
  readonly mostRowsBytes: number
}

/** The snapshot lacks a transaction that has been processed. A moment later there are others. */
export const tooOld = ownPgError(
  "transaction_conflict",
  "A snapshot does not contain a transaction that has been replicated already."
)

export type ReadFailure = PgError | TableUnreadable

/** It can be loaded once the transaction that has truncated its table is processed. */
class TruncatedMeanwhile {
  readonly _tag = "TruncatedMeanwhile"
  readonly table: LaneTable
  constructor(table: LaneTable) {
    this.table = table
  }
}

/** The rows take more memory than they may. */
class TooManyRows {
  readonly _tag = "TooManyRows"
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

  /**
   * A transaction whose snapshot contains everything that has been processed; all that it contains has been received, or will never
   * be: then this does not complete.
   */
  begin(
    statementMillis: number
  ): Effect.Effect<SnapshotTransaction & { readonly filter: SnapshotFilter }, PgError, Scope.Scope> {
    const { members, processedXids, published, reception, sessions, shift } = this.options
    return Effect.gen(function* () {
      const look = published(members.tables.values())
      const begun = yield* beginSnapshot(sessions, 0, statementMillis)
      const filter = filterOf(begun.snapshot)
      if (!processedXids().every((xid) => isContained(filter, xid))) return yield* Effect.fail(tooOld)
      yield* look(begun.session)
      yield* reception.until(journalLsn(begun.snapshot.containedBefore, shift()))
      return { ...begun, filter }
    })
  }

  /** Has what sub-selects give counted. */
  load(subscriptions: ReadonlyArray<Subscription>): Effect.Effect<void, ReadFailure | TruncatedMeanwhile> {
    const { inSlices, members, pause, queue } = this.options
    const { state } = members
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        const { filter, session } = yield* this.begin(moveStatementMillis)
        for (const wanted of byDepth(subscriptions)) {
          const loading = state.load(wanted)
          const tables = new Map<LaneTable, Array<Subscription>>()
          for (const one of wanted) {
            const table = members.tables.get(one.kind.plan.table.oid)
            if (table !== undefined) tables.set(table, [...(tables.get(table) ?? []), one])
          }
          const shown = queue().filter(({ xid }) => isContained(filter, xid))
          for (const table of tables.keys())
            if (truncatedIn(shown, members, table)) return yield* Effect.fail(new TruncatedMeanwhile(table))
          const targets = Array.from(tables, ([table, on]) => {
            const target = loading.target(table.oid, table.columns)
            return { table, on, target }
          })
          for (const { on, table, target } of targets) {
            const sources = on.map(({ constants, kind }) => ({ plan: kind.plan, constants }))
            const onRow = (row: Tuple) => {
              loading.add(target, row)
              return true
            }
            yield* readTable(session, table, { conditions: narrowedTo(sources) }, { onRow, pause })
          }
          yield* inSlices(
            (function* () {
              for (const transaction of queue()) {
                if (!isContained(filter, transaction.xid)) continue
                for (const { table, target } of targets)
                  eachRow(transaction, members, table, (oldRow, row) => {
                    if (row !== undefined) loading.remove(target, row)
                    if (oldRow !== undefined) loading.add(target, oldRow)
                  })
                yield
              }
            })()
          )
          loading.finish()
        }
        yield* session.run("COMMIT")
      })
    )
  }

  /** The rows that the next so many of the transactions can concern beside their own; `undefined`: they are too many. */
  read(batch: ReadonlyArray<RawTransaction>): Effect.Effect<WorkingSet | undefined, ReadFailure> {
    return Effect.catch(this.readAll(batch), (failure) =>
      failure._tag === "TooManyRows" ? Effect.succeed(undefined) : Effect.fail(failure)
    )
  }

  private readAll(
    batch: ReadonlyArray<RawTransaction>
  ): Effect.Effect<WorkingSet, ReadFailure | TooManyRows> {
    const { members, mostRowsBytes, queue } = this.options
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        const { filter, session } = yield* this.begin(moveStatementMillis)
        const working = new Map<LaneTable, WorkingTable>()
        const touched = new Touched()
        for (const transaction of batch) touch(transaction, members, touched)
        const recounted = new Set(batch.flatMap((one) => [...partlyTruncated(one, members)]))
        if (recounted.size > 0 && !batch.every(({ xid }) => isContained(filter, xid)))
          return yield* Effect.fail(tooOld)
        for (const table of recounted)
          yield* this.readInto(working, table, session, ["true"], (row) => touchBy(table, row, touched))
        // The deepest sub-selects first: what they change of rows of tables around them can touch others.
        for (let depth = 0; depth <= members.state.maxDepth; depth++) {
          const asking = askingAt(members, depth)
          for (const [table, conditions] of wantedOf(members, touched, asking)) {
            // Before it was truncated it had other rows, too, which nobody can tell any more: what deeper sub-selects
            // would have changed of them shows when they go.
            yield* this.readInto(working, table, session, conditions, (row) => touchBy(table, row, touched))
            for (const transaction of queue())
              eachRow(transaction, members, table, (oldRow, row) => {
                if (oldRow !== undefined) touchBy(table, oldRow, touched)
                if (row !== undefined) touchBy(table, row, touched)
              })
          }
        }
        for (const [table, conditions] of wantedOf(members, touched, ({ table: { own } }) => own.size > 0))
          yield* this.readInto(working, table, session, conditions, () => {})
        yield* session.run("COMMIT")
        for (const rows of working.values())
          if (!recounted.has(rows.table)) rows.mayConcern = concernOf(members, touched, rows.table)
        for (const transaction of Array.from(queue()))
          if (isContained(filter, transaction.xid))
            for (const table of working.values()) {
              yield* this.options.inSlices(table.undo(transaction, members))
              if (bytesOf(working) > mostRowsBytes) return yield* Effect.fail(new TooManyRows())
            }
        for (const { probe, table } of members.allPlaces())
          if (touched.of(probe.kind) !== undefined)
            yield* this.options.inSlices(workingTable(working, table).index(probe))
        return working
      })
    )
  }

  private readInto(
    working: Map<LaneTable, WorkingTable>,
    table: LaneTable,
    session: SnapshotSession,
    conditions: ReadonlyArray<string>,
    onRow: (row: Tuple) => void
  ): Effect.Effect<void, ReadFailure | TooManyRows> {
    const { mostRowsBytes, pause } = this.options
    return Effect.suspend(() => {
      const rows = workingTable(working, table)
      const isFirst = rows.rows.isEmpty
      const found = new Map<string, number>()
      const others = bytesOf(working) - rows.bytes
      let foundBytes = 0
      const hasRoom = () => others + rows.bytes + foundBytes <= mostRowsBytes
      const keep = (row: Tuple) => {
        const bytes = rows.bytesOf(row)
        if (isFirst) rows.rows.add(bytes, 1)
        else {
          const count = found.get(bytes) ?? 0
          if (count === 0) foundBytes += bytes.length + foundOverheadBytes
          found.set(bytes, count + 1)
        }
        onRow(row)
        return hasRoom()
      }
      const read = readTable(session, table, { conditions }, { onRow: keep, pause })
      return Effect.flatMap(read, (isWhole) => {
        if (!isWhole) return Effect.fail(new TooManyRows())
        // Read before for something else: then all equal ones were.
        for (const [bytes, count] of found) if (rows.rows.count(bytes) === 0) rows.rows.add(bytes, count)
        return Effect.void
      })
    })
  }
}

/** What a row takes in memory until it is seen whether it is there already, beside its bytes. */
const foundOverheadBytes = 100

const bytesOf = (working: ReadonlyMap<LaneTable, WorkingTable>): number => {
  let bytes = 0
  for (const rows of working.values()) bytes += rows.bytes
  return bytes
}

const workingTable = (working: Map<LaneTable, WorkingTable>, table: LaneTable): WorkingTable => {
  let rows = working.get(table)
  if (rows === undefined) working.set(table, (rows = new WorkingTable(table)))
  return rows
}

const byDepth = (subscriptions: ReadonlyArray<Subscription>): ReadonlyArray<ReadonlyArray<Subscription>> => {
  const depths: Array<Array<Subscription>> = []
  for (const one of subscriptions) (depths[one.of.depth] ??= []).push(one)
  return depths.filter((group) => group !== undefined)
}
