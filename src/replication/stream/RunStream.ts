import { Cause, Effect } from "effect"
import { quoteIdentifier, quoteLiteral } from "../../postgres/Identifiers.ts"
import { formatLsn, type Lsn, serverLsn } from "../../shared/Lsn.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { ChangeSink } from "../ChangeSink.ts"
import type { ReplicationSession } from "../connection/ReplicationSession.ts"
import { longestStatusMillis, lookTimeoutMillis, shortestStatusMillis } from "../ReplicationTimings.ts"
import { StreamPump, streamFailure } from "./StreamPump.ts"
import { currentTimers } from "../../shared/Timers.ts"

export interface StreamOptions {
  readonly slotName: string
  readonly publicationName: string
  readonly sink: ChangeSink
  /** Transactions that commit before this are not sent, and not decoded. Behind what the slot has confirmed it has no effect. */
  readonly fromLsn?: Lsn | undefined
  /** Between positions of the server and those of the sink and `fromLsn`; see `Lsn`. */
  readonly shift: bigint
  /**
   * Runs when Postgres has accepted START_REPLICATION, before the first change reaches the sink. On a silent database
   * that is long before the first message.
   */
  readonly onStarted: Effect.Effect<void>
  readonly maxTransactionBytes: number
  /**
   * A connection of its own to ask whether our walsender still exists when the stream has been silent for too long: only
   * the operating system would notice a network that swallows packets otherwise, which takes many minutes.
   */
  readonly admin: Queryable
}

/** How often status updates go out when nothing changes: soon enough for `wal_sender_timeout`, and at most every 10 s. */
export const statusIntervalMillis = (walSenderTimeoutMillis: number): number =>
  walSenderTimeoutMillis === 0
    ? longestStatusMillis
    : Math.max(shortestStatusMillis, Math.min(Math.floor(walSenderTimeoutMillis / 3), longestStatusMillis))

/**
 * Streams from the slot's confirmed position, or from `fromLsn` where that is later, into the sink until that ends: by failure, or by interruption. What the
 * sink throws or dies with is the failure, as `PgError`; a `PgError` stays the one it is. Changes are handed over one
 * after the other; see `ChangeSink`. The connection is of no use afterwards, but still open: `close` it.
 *
 * `pumping` receives the pump for as long as it may be told about durability.
 */
export const runStream = (
  session: ReplicationSession,
  walSenderTimeoutMillis: number,
  options: StreamOptions,
  pumping: (pump: StreamPump) => void
): Effect.Effect<never, PgError> =>
  Effect.flatMap(currentTimers, (timers) => {
    const intervalMillis = statusIntervalMillis(walSenderTimeoutMillis)
    const pump = new StreamPump(session, {
      sink: options.sink,
      onStarted: options.onStarted,
      maxTransactionBytes: options.maxTransactionBytes,
      shift: options.shift,
      statusIntervalMillis: intervalMillis,
      timers
    })
    pumping(pump)
    pump.start(
      `START_REPLICATION SLOT ${quoteIdentifier(options.slotName)} LOGICAL ${formatLsn(serverLsn(options.fromLsn ?? 0n, options.shift))} ` +
        `(proto_version '1', publication_names ${quoteLiteral(quoteIdentifier(options.publicationName)).trim()})`
    )
    const handOver = Effect.gen(function* () {
      while (true) {
        const pending = yield* pump.next
        yield* Effect.catchCause(pending, failureOf)
        pump.proceed()
      }
    })
    const watched = Effect.raceFirst(handOver, watchServer(session, pump, intervalMillis, options.admin))
    return Effect.onExit(watched, () => Effect.sync(() => pump.stop()))
  })

/** A sink's Effect has no expected failures: what it dies with ends the stream. */
const failureOf = (cause: Cause.Cause<never>): Effect.Effect<never, PgError> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
  const failure = streamFailure(Cause.squash(cause))
  return Effect.andThen(Effect.logDebug("The stream ends because of", cause), Effect.fail(failure))
}

/**
 * Never succeeds. Fails when the server has been silent for three status intervals, each of which asked it for an
 * answer, and another connection says that our walsender is gone, or says nothing either. A walsender that is alive may
 * be silent for long while it skips a large transaction of unpublished tables; ending the connection would only make it
 * begin again.
 */
const watchServer = (
  session: ReplicationSession,
  pump: StreamPump,
  intervalMillis: number,
  admin: Queryable
): Effect.Effect<never, PgError> =>
  Effect.gen(function* () {
    while (true) {
      yield* Effect.sleep(intervalMillis)
      if (pump.silentMillis() <= 3 * intervalMillis) continue
      const alive = yield* admin
        .query("SELECT 1 FROM pg_stat_replication WHERE pid = $1", [session.backendPid])
        .pipe(
          Effect.timeout(lookTimeoutMillis),
          Effect.map((rows) => rows.length > 0),
          Effect.catch(() => Effect.succeed(false))
        )
      if (alive || pump.silentMillis() <= 3 * intervalMillis) continue
      return yield* ownPgError(
        "connection_timeout",
        `The replication stream has been silent for ${Math.round(pump.silentMillis() / 1000)} s, and Postgres has ended ` +
          "it or cannot be reached. It is tried again until it succeeds. Check the network if it keeps happening."
      )
    }
  })
