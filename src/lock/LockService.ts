import { Context, Effect, Layer } from "effect"
import { Config } from "../config/BatonConfig.ts"
import type { PgError } from "../postgres/errors/PgError.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import { type LockBreakerOptions, runLockBreaker } from "./LockBreaker.ts"
import { lockKey } from "./LockKey.ts"
import { renewWaitMillis } from "./LockTimings.ts"
import { nowMillis } from "../shared/Timers.ts"

/** What the lock is taken on. */
export type LockConnection = Pick<ReplicationConnection, "query" | "backendPid" | "walSenderTimeoutMillis">

export type AcquireOptions = Pick<
  LockBreakerOptions,
  "lockName" | "admin" | "tickMillis" | "patienceMillis"
> & {
  /** Default 5 min. */
  readonly renewWaitMillis?: number
}

/**
 * Waits for the advisory lock that makes one instance the active one, as the first act on its replication connection.
 * It is held for as long as that connection lives, and nothing else releases it.
 *
 * A wait that Postgres cancels because of `statement_timeout` begins again at once; any other failure is the
 * connection's. Interrupting the wait destroys the connection, and Postgres removes the backend within
 * `client_connection_check_interval`. Meanwhile the lock breaker looks after a dead holder every 10 s.
 */
export const acquireLock = (
  connection: LockConnection,
  options: AcquireOptions
): Effect.Effect<void, PgError> =>
  Effect.gen(function* () {
    const { lockName } = options
    const startedAt = yield* nowMillis
    yield* Effect.logInfo(`Acquiring the lock ${lockName}`)
    const wait = connection
      .query(`SELECT pg_advisory_lock(${lockKey(lockName)}); SET statement_timeout = 0`)
      .pipe(Effect.retry({ while: (error) => error.kind === "statement_timeout" }))
    yield* Effect.raceFirst(
      Effect.andThen(
        connection.query(`SET statement_timeout = ${options.renewWaitMillis ?? renewWaitMillis}`),
        wait
      ),
      runLockBreaker({
        ...options,
        ownPid: connection.backendPid,
        walSenderTimeoutMillis: connection.walSenderTimeoutMillis
      })
    )
    yield* Effect.logInfo(
      `Acquired the lock ${lockName} after ${Math.round((yield* nowMillis) - startedAt)} ms`
    )
  })

/** The lock of this deployment: named after the slot, one holder at a time across all instances. */
export class LockService extends Context.Service<
  LockService,
  {
    /** See `acquireLock`. Completes when the connection holds the lock. */
    readonly acquire: (connection: LockConnection) => Effect.Effect<void, PgError>
  }
>()("baton/lock/LockService") {
  static readonly layer = Layer.effect(
    LockService,
    Effect.gen(function* () {
      const { slotName } = yield* Config
      const admin = yield* AdminPool
      return LockService.of({
        acquire: (connection) => acquireLock(connection, { lockName: slotName, admin })
      })
    })
  )
}
