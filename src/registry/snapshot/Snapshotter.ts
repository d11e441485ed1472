import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import { Context, Effect, Layer } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { quoteTable } from "../../postgres/Identifiers.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { ExpectedRows } from "./ExpectedRows.ts"
import { type RowFailure, type RowPiece, RowReader, type RowsLate, separator } from "./SnapshotRows.ts"
import { rowQuery, snapshotEncoder } from "./RowQuery.ts"
import {
  schemaChanged,
  snapshotFailed,
  snapshotReport,
  tablesRead,
  snapshotTooSlow
} from "./SnapshotErrors.ts"
import {
  defaultSharingLimits,
  SharedTransactions,
  type SharedTransaction,
  type SharingLimits
} from "./SharedTransactions.ts"
import { SnapshotSessions } from "./SnapshotSessions.ts"
import type { DatabaseSnapshot } from "./SnapshotTransaction.ts"
import { type ProgressTask, withProgress } from "../../telemetry/Progress.ts"
import { notice } from "../../telemetry/Notices.ts"
import { traced } from "../../telemetry/otel/Traced.ts"
import { SnapshotFailed } from "../ShapeRegistry.ts"
import { currentTimers, nowMillis, type Timers } from "../../shared/Timers.ts"
import * as timings from "../RegistryTimings.ts"

/**
 * Where the rows of a snapshot go: chunk after chunk, each a sequence of messages in wire form, joined with commas,
 * without brackets. The snapshotter waits for every call, and meanwhile Postgres does.
 */
export interface SnapshotSink<E = never> {
  /** More bytes of the present chunk, some 128 KiB; they are overwritten once the Effect has completed. */
  readonly write: (bytes: Buffer) => Effect.Effect<void, E>
  /** The present chunk is whole and another one follows. */
  readonly endChunk: () => Effect.Effect<void, E>
  /** The present chunk is whole and was the last one. */
  readonly end: () => Effect.Effect<void, E>
}

export interface SnapshotRequest<E = never> {
  readonly definition: ShapeDefinition
  /**
   * Told which transactions the snapshot contains before any row is read. `retry`: take a newer one. A transaction can
   * be in the replication stream a moment before new snapshots contain it; a shape that has seen it there must not
   * start from a snapshot without it.
   */
  readonly onSnapshot: (snapshot: DatabaseSnapshot) => Effect.Effect<"go" | "retry", E>
  readonly sink: SnapshotSink<E>
}

/** Bounds on what would otherwise take up a database connection for ever. */
export interface SnapshotLimits {
  /** From the start of the query to its first rows (Postgres sends them 8 KiB at a time), or its end. */
  readonly firstRowMillis: number
  /** How long newer snapshots are asked for. */
  readonly retryMillis: number
}

export const defaultSnapshotLimits: SnapshotLimits = {
  firstRowMillis: timings.firstRowMillis,
  retryMillis: timings.snapshotRetryMillis
}

/**
 * Reads the first rows of new shapes, each in one REPEATABLE READ READ ONLY transaction, with the very text that the
 * replication stream has for the same values.
 */
export class Snapshotter extends Context.Service<
  Snapshotter,
  {
    /**
     * Writes one snapshot: its rows unless the shape has only changes, then the `snapshot-end` message, in chunks that
     * end after the row that reaches `chunkBytesThreshold`. Interrupting it cancels the query.
     */
    readonly run: <E>(request: SnapshotRequest<E>) => Effect.Effect<void, SnapshotFailed | E>
  }
>()("baton/registry/Snapshotter") {
  static readonly layer = Layer.effect(
    Snapshotter,
    Effect.gen(function* () {
      const config = yield* Config
      const sessions = yield* SnapshotSessions
      return makeSnapshotter(sessions, config.chunkBytesThreshold, yield* currentTimers)
    })
  )
}

export const makeSnapshotter = (
  sessions: SnapshotSessions["Service"],
  chunkBytesThreshold: number,
  timers: Timers,
  limits: SnapshotLimits = defaultSnapshotLimits,
  sharing: SharingLimits = defaultSharingLimits
): Snapshotter["Service"] => {
  const transactions = new SharedTransactions(sessions, timers, sharing)
  return {
    run: (request) => traced("Snapshotter.run", run(transactions, request, chunkBytesThreshold, limits))
  }
}

const run = Effect.fnUntraced(function* <E>(
  transactions: SharedTransactions,
  request: SnapshotRequest<E>,
  chunkBytesThreshold: number,
  limits: SnapshotLimits
) {
  const { sink } = request
  // The session is free for others before the sink makes the end durable.
  const { rowsInLastChunk, snapshot } = yield* readRows(transactions, request, chunkBytesThreshold, limits)
  const end = snapshotEnd(snapshot)
  yield* sink.write(rowsInLastChunk === 0 ? end : Buffer.concat([separator, end]))
  yield* sink.end()
})

/** Everything that happens inside the transaction, in the first one whose snapshot `onSnapshot` accepts. */
const readRows = Effect.fnUntraced(function* <E>(
  transactions: SharedTransactions,
  request: SnapshotRequest<E>,
  chunkBytesThreshold: number,
  limits: SnapshotLimits
) {
  const { definition } = request
  const { table } = definition
  const read = Effect.fnUntraced(function* (transaction: SharedTransaction) {
    const { snapshot, tableKind } = transaction
    if ((yield* request.onSnapshot(snapshot)) === "retry") return undefined
    if (tableKind === undefined) return yield* failure(table, tableGone)
    const rowsInLastChunk =
      definition.log === "changes_only"
        ? 0
        : yield* withProgress(progressOf(definition, transaction.rowsEstimate), (task) =>
            writeRows(transactions, transaction, request, chunkBytesThreshold, limits, task)
          )
    return { snapshot, rowsInLastChunk }
  })
  const attempt = transactions.use(table.oid, read, (error) => failing(definition, Effect.fail(error)))
  const deadline = (yield* nowMillis) + limits.retryMillis
  let pauseMillis = timings.firstRetryPauseMillis
  while (true) {
    const done = yield* attempt
    if (done !== undefined) return done
    if ((yield* nowMillis) > deadline) return yield* failure(table, notVisible)
    yield* Effect.sleep(pauseMillis)
    pauseMillis = Math.min(pauseMillis * 2, timings.longestRetryPauseMillis)
  }
})

/** Writes all rows; returns how many the last chunk holds. */
const writeRows = Effect.fnUntraced(function* <E>(
  transactions: SharedTransactions,
  transaction: SharedTransaction,
  { definition, sink }: SnapshotRequest<E>,
  chunkBytesThreshold: number,
  limits: SnapshotLimits,
  task: ProgressTask
) {
  const { session, tableKind } = transaction
  const sql = rowQuery(definition, tableKind === "p")
  const reader = new RowReader(
    session,
    transactions.isWanted(transaction) ? sql : `${sql}; COMMIT`,
    snapshotEncoder(definition),
    new ExpectedRows(definition),
    chunkBytesThreshold
  )
  const failed = (error: RowFailure | RowsLate) => rowsFailed(definition, error)
  const next = Effect.catch(reader.next, failed)
  let piece: RowPiece | undefined = yield* Effect.catch(reader.nextWithin(limits.firstRowMillis), failed)
  while (piece !== undefined) {
    yield* sink.write(piece.bytes)
    task.done = reader.rows
    if (piece.endsChunk) yield* sink.endChunk()
    piece = yield* next
  }
  return reader.rowsInChunk
})

/** What a condition leaves of the rows of a table nobody knows before. */
const progressOf = ({ table, where }: ShapeDefinition, rowsEstimate: number | undefined) =>
  ({
    kind: "firstRows",
    name: `Reading the first rows of a shape on ${quoteTable(table)}`,
    total: where === undefined ? rowsEstimate : undefined,
    unit: "rows"
  }) as const

/** Clients learn what concerns them; operators, in the log, what happened and what to do. */
const report = (
  table: ShapeDefinition["table"],
  message: string,
  code: FaultCode = "BATON-SHAPE-SNAPSHOT"
): Effect.Effect<void> => notice(code, `The snapshot of a shape on ${quoteTable(table)} failed: ${message}`)

const failing = <A, R>(
  definition: ShapeDefinition,
  effect: Effect.Effect<A, PgError, R>
): Effect.Effect<A, SnapshotFailed, R> =>
  Effect.catch(effect, (error) => {
    const failed = snapshotFailed(error, definition.where !== undefined)
    const message = snapshotReport(error, failed, tablesRead(definition))
    const code = error.kind === "permission_denied" ? "BATON-TABLE-PRIVILEGE" : undefined
    return Effect.andThen(report(definition.table, message, code), Effect.fail(failed))
  })

const rowsFailed = (definition: ShapeDefinition, error: RowFailure | RowsLate) => {
  if ("lateMillis" in error) return failure(definition.table, snapshotTooSlow(error.lateMillis))
  return "outdated" in error
    ? failure(definition.table, schemaChanged(error.outdated))
    : failing(definition, Effect.fail(error.error))
}

const failure = (table: ShapeDefinition["table"], error: SnapshotFailed) =>
  Effect.andThen(report(table, error.message), Effect.fail(error))

/** Closes every snapshot: tells clients which transactions its rows contain. */
const snapshotEnd = ({ xipList, xmax, xmin }: DatabaseSnapshot): Buffer =>
  Buffer.from(
    JSON.stringify({
      headers: {
        control: "snapshot-end",
        xmin: String(xmin),
        xmax: String(xmax),
        xip_list: xipList.map(String)
      }
    })
  )

const tableGone = schemaChanged("The table was dropped or renamed while its rows were read")

const notVisible = new SnapshotFailed({
  kind: "unavailable",
  message: "Snapshots of the database do not contain transactions that it has already replicated"
})
