import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { BucketTrouble } from "../../bucket/BucketWatch.ts"
import { isWanted } from "../../lock/LockKey.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { BucketStatus, Unshipped } from "../../storage/BucketStatus.ts"
import { longestPatienceLookMillis } from "./DutyTimings.ts"

/** Whether the bucket has taken nothing for so long, although there was something to take. */
export const isImpatient = (
  trouble: BucketTrouble | undefined,
  unshipped: Unshipped,
  patienceMillis: number,
  nowMillis: number
): boolean =>
  trouble !== undefined &&
  unshipped.bytes > 0 &&
  Math.min(nowMillis - trouble.sinceMillis, unshipped.millis) >= patienceMillis

/** Another instance waits for the lock. */
const isAwaited = (admin: Queryable, lockName: string): Effect.Effect<boolean, PgError> =>
  Effect.map(
    admin.query(
      `SELECT l.pid FROM pg_catalog.pg_locks l WHERE NOT l.granted AND ${isWanted(lockName)} LIMIT 1`
    ),
    (rows) => rows.length > 0
  )

/**
 * Completes when the bucket has taken nothing from this instance for longer than its patience, and another instance waits for the
 * lock: that one may reach the bucket. As long as nobody waits this instance stays, because it is better than none.
 */
export const awaitImpatience = (
  { timers, unshipped, watch }: BucketStatus,
  patienceMillis: number,
  admin: Queryable,
  lockName: string
): Effect.Effect<void> => {
  const pauseMillis = Math.min(longestPatienceLookMillis, patienceMillis)
  const isOver = Effect.suspend(() =>
    isImpatient(watch.trouble("write"), unshipped(), patienceMillis, timers.nowMillis())
      ? isAwaited(admin, lockName)
      : Effect.succeed(false)
  ).pipe(
    Effect.catch(({ message }) =>
      Effect.as(Effect.logDebug(`It is not known whether another instance waits: ${message}`), false)
    )
  )
  const look: Effect.Effect<void> = Effect.sleep(pauseMillis).pipe(
    Effect.andThen(isOver),
    Effect.flatMap((over) =>
      over
        ? reportFault(
            "BATON-BUCKET-PATIENCE",
            `The bucket has taken nothing from this instance for more than ${patienceMillis / 1000} s (BATON_BUCKET_PATIENCE), and another instance waits: the lock is handed over. What is not in the bucket comes from Postgres again.`
          )
        : look
    )
  )
  return look
}
