import { Effect, type Scope } from "effect"
import { TurnClock } from "./TurnClock.ts"
import type { SessionOptions } from "../../registry/RegistrySession.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { dropReasonOf } from "../../telemetry/DropReason.ts"
import type { MetricsRecord } from "../../telemetry/Metrics.ts"
import { Tracing } from "../../telemetry/otel/Tracing.ts"
import { StoredTransactions } from "./StoredTransactions.ts"
import { TransactionTraces } from "../../telemetry/otel/TransactionTraces.ts"

/** The stream counts time from the year 2000. */
const postgresEpochMillis = Date.UTC(2000, 0, 1)
const epochMillisOf = (micros: bigint): number => Number(micros) / 1000 + postgresEpochMillis

interface StreamMeasures {
  /** What a session tells of. */
  readonly ofSession: Pick<SessionOptions, "onBegin" | "onCommit" | "onReset" | "onTransaction">
  /** By the clock of `StorageEngine.timers`; 0 when there was none yet. */
  readonly lastTransactionMillis: () => number
}

/** What is counted, timed and traced of the stream and the shapes of the writer, for as long as the scope. */
export const measureStream = (
  engine: StorageEngine,
  metrics: MetricsRecord
): Effect.Effect<StreamMeasures, never, Scope.Scope> =>
  Effect.gen(function* () {
    yield* countDropped(engine, metrics)
    const traces = yield* traceTransactions(engine, metrics)
    const stored = yield* tellStored(engine, metrics)
    const clock = new TurnClock(engine.timers)
    let lastTransactionMillis = 0
    const ofSession: StreamMeasures["ofSession"] = {
      onBegin: traces && (() => traces.begin()),
      onCommit: ({ commitLsn, commitTimeMicros, marker, operations, xid }) => {
        const committedMillis = epochMillisOf(commitTimeMicros)
        metrics.servingLag.committed(commitLsn, committedMillis)
        stored?.wrote(marker, operations, committedMillis)
        if (traces?.isWatching !== true) return
        const lagMillis = engine.timers.epochMillis() - committedMillis + metrics.servingLag.clockAheadMillis
        traces.committed({ commitLsn, xid, operations, lagMillis, marker })
      },
      onReset: (reason) => void metrics.resets[dropReasonOf(reason)]++,
      onTransaction: (operations, commitTimeMicros) => {
        lastTransactionMillis = clock.nowMillis()
        metrics.operationsPerTransaction.observe(operations)
        const committedMillis = epochMillisOf(commitTimeMicros)
        const lagMillis = Math.max(
          0,
          clock.epochMillis() - committedMillis + metrics.servingLag.clockAheadMillis
        )
        metrics.receiveLagMillis.observe(lagMillis)
        metrics.events?.received(operations, lagMillis)
      }
    }
    return { ofSession, lastTransactionMillis: () => lastTransactionMillis }
  })

/** What a follower learns of others have counted. */
const countDropped = (engine: StorageEngine, { dropped }: MetricsRecord) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      engine.listeners.dropped.subscribe((_, reason) => {
        if (engine.writer !== undefined) dropped[dropReasonOf(reason)]++
      })
    ),
    (unsubscribe) => Effect.sync(unsubscribe)
  )

/** Undefined where nobody wants to know of each transaction. */
const tellStored = (engine: StorageEngine, { events }: MetricsRecord) => {
  if (events === undefined) return Effect.succeed(undefined)
  const stored = new StoredTransactions(events, engine.timers.epochMillis)
  return Effect.as(
    Effect.acquireRelease(
      Effect.sync(() => engine.listeners.durable.subscribe((marker) => stored.durable(marker))),
      (unsubscribe) => Effect.sync(unsubscribe)
    ),
    stored
  )
}

/** Undefined where nothing is traced. */
const traceTransactions = (engine: StorageEngine, { servingLag }: MetricsRecord) =>
  Effect.gen(function* () {
    const tracing = yield* Tracing
    if (tracing === undefined) return undefined
    const traces = new TransactionTraces(tracing, engine.timers, () => engine.store.shift)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        servingLag.observer = traces
        return engine.listeners.durable.subscribe((marker) => traces.durable(marker))
      }),
      (unsubscribe) =>
        Effect.sync(() => {
          unsubscribe()
          servingLag.observer = undefined
          traces.close()
        })
    )
    return traces
  })
