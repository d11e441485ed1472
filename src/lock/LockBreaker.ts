import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Duration, Effect } from "effect"
import { quoteLiteral } from "../postgres/Identifiers.ts"
import { ownPgError, type PgError } from "../postgres/errors/PgError.ts"
import type { Queryable } from "../postgres/connection/SessionPool.ts"
import { isHeld } from "./LockKey.ts"
import * as timings from "./LockTimings.ts"
import { type Evidence, type Holder, judge, type Patience, type Silence } from "./LockVerdict.ts"
import { nowMillis } from "../shared/Timers.ts"

export interface LockBreakerOptions {
  /** Name of the lock, which is also that of the slot. */
  readonly lockName: string
  /** Our own backend that waits for the lock. */
  readonly ownPid: number
  readonly admin: Queryable
  /** Default 10 s. */
  readonly tickMillis?: number
  /** `wal_sender_timeout` of our kind: nobody who may be silent for so long is ended before. 0 counts as the default. */
  readonly walSenderTimeoutMillis: number
  /** How long each kind of holder may be silent. Default: see `LockTimings.ts`. */
  readonly patienceMillis?: Partial<Patience>
}

/**
 * Runs while this instance waits for the lock. Every 10 s it looks at the backend that holds it, and terminates that
 * backend when it is dead for all that can be known; see `judge` for the evidence, and for why that never hits a healthy
 * holder. Never ends and never fails: a look that fails is logged, and the next one begins anew.
 */
export const runLockBreaker = (options: LockBreakerOptions): Effect.Effect<never> =>
  Effect.gen(function* () {
    const tickMillis = options.tickMillis ?? timings.breakerTickMillis
    const patience = patienceInTicks(options, tickMillis)
    const startedAt = yield* nowMillis
    let silence: Silence | undefined
    while (true) {
      yield* Effect.sleep(Duration.millis(tickMillis))
      silence = yield* look(options, silence, patience, startedAt).pipe(
        Effect.timeoutOrElse({ duration: timings.lookTimeoutMillis, orElse: () => Effect.fail(noAnswer) }),
        Effect.catch((error) =>
          Effect.as(
            reportFault(
              "BATON-LOCK-UNSEEN",
              `Could not find out who holds the lock ${options.lockName}; it is tried again in ${tickMillis / 1000} s. ` +
                error.message
            ),
            undefined
          )
        )
      )
    }
  })

const noAnswer = ownPgError(
  "connection_timeout",
  `Postgres did not answer within ${timings.lookTimeoutMillis / 1000} s.`
)

export const patienceInTicks = (options: LockBreakerOptions, tickMillis: number): Patience => {
  const millis = { ...timings.patienceMillis, ...options.patienceMillis }
  const ticks = (value: number) => Math.max(1, Math.ceil(value / tickMillis))
  return {
    stuck: ticks(millis.stuck),
    foreign: ticks(millis.foreign),
    // Whom Postgres does not call dead yet, we do not either.
    baton: ticks(Math.max(millis.baton, options.walSenderTimeoutMillis))
  }
}

const look = Effect.fnUntraced(function* (
  options: LockBreakerOptions,
  before: Silence | undefined,
  patience: Patience,
  startedAt: number
) {
  const evidence = yield* gather(options)
  const { verdict, silence } = judge(evidence, before, patience)
  const { holder } = evidence
  if (verdict._tag === "Terminate") {
    yield* terminate(options, verdict.holder)
    return undefined
  }
  const since = `${Math.round(((yield* nowMillis) - startedAt) / 1000)} s`
  const by =
    holder === undefined
      ? "nobody holds it any more"
      : `it is held by backend ${holder.pid}${holder.applicationName === "" ? "" : ` (${holder.applicationName})`}`
  yield* Effect.logInfo(`Waiting for the lock ${options.lockName} for ${since}; ${by}.`)
  if (verdict.why === "invisible") {
    yield* reportFault(
      "BATON-LOCK-INVISIBLE",
      `This role may not see whether backend ${holder?.pid} is alive, so it will not be ended should it be dead. ` +
        "GRANT pg_read_all_stats TO the role, or use the same role for all instances."
    )
  }
  return silence
})

const gather = ({ admin, lockName, ownPid }: LockBreakerOptions): Effect.Effect<Evidence, PgError> =>
  Effect.map(
    admin.query<Record<string, string | boolean | null>>(
      `SELECT s.active AS slot_active, s.slot_name IS NOT NULL AS has_slot, a.pid::text AS pid, ${identity},
              a.application_name, a.backend_type = 'walsender' AS is_walsender, a.state, a.query
         FROM (SELECT 1) AS one
         LEFT JOIN pg_catalog.pg_replication_slots s
           ON s.slot_name = ${quoteLiteral(lockName)} AND s.database = current_database()
         LEFT JOIN pg_catalog.pg_stat_activity a
           ON a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l WHERE ${isHeld(lockName)}) AND a.pid <> ${ownPid}
        LIMIT 1`
    ),
    ([row]) => ({
      slotActive: row?.["has_slot"] === true ? row["slot_active"] === true : undefined,
      holder: row === undefined || row["pid"] === null ? undefined : holderOf(row)
    })
  )

/** Exact to the microsecond and independent of the session's time zone. */
const identity =
  "extract(epoch FROM a.backend_start)::text AS backend_start, extract(epoch FROM a.state_change)::text AS state_change"

const holderOf = (row: Readonly<Record<string, string | boolean | null>>): Holder => {
  const text = (column: string): string | null => {
    const value = row[column]
    return typeof value === "string" ? value : null
  }
  return {
    pid: Number(row["pid"]),
    backendStart: text("backend_start") ?? "",
    applicationName: text("application_name") ?? "",
    isWalsender: row["is_walsender"] === true,
    state: text("state"),
    stateChange: text("state_change"),
    query: text("query")
  }
}

/** Only this session, only if it has not moved since we looked, still holds the lock, and nobody streams. */
const terminate = Effect.fnUntraced(function* (options: LockBreakerOptions, holder: Holder) {
  const { admin, lockName, ownPid } = options
  const rows = yield* admin.query<{ readonly done: boolean }>(
    `SELECT pg_catalog.pg_terminate_backend(a.pid) AS done
       FROM pg_catalog.pg_stat_activity a
      WHERE a.pid = ${holder.pid} AND a.pid <> ${ownPid} AND a.datname = current_database()
        AND extract(epoch FROM a.backend_start)::text = $1
        AND extract(epoch FROM a.state_change)::text = $2
        AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND ${isHeld(lockName)})
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = ${quoteLiteral(lockName)} AND active)`,
    [holder.backendStart, holder.stateChange]
  )
  if (rows.length === 0) return
  yield* reportFault(
    "BATON-LOCK-BROKEN",
    `Terminated backend ${holder.pid}: it held the lock ${lockName} without streaming and without a sign of life. ` +
      "This instance takes over. If a service of yours was still behind it, it will connect again and wait."
  )
})
