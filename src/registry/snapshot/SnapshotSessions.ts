import { Context, Effect, Layer, type Scope, Semaphore } from "effect"
import type { ClientConfig } from "pg"
import { Config } from "../../config/BatonConfig.ts"
import { classifyPgError } from "../../postgres/classifyPgError.ts"
import { clientOptions, errorSubject } from "../../postgres/ConnectionOptions.ts"
import type { ErrorSubject } from "../../postgres/explainPgError.ts"
import { ownPgError, type PgError } from "../../postgres/PgError.ts"
import { shareSnapshotPool } from "../../postgres/Pools.ts"
import { SnapshotSession } from "./SnapshotSession.ts"

/** A request is told to come back when it has waited this long; its own limit is 45 s. */
const acquireTimeoutMillis = 30_000
const idleMillis = 60_000
/** Bound on ROLLBACK, after which the session is thrown away instead. */
const rollbackTimeoutMillis = 2000

/** A session, and whether it has served before: then it may have been lost without anybody noticing yet. */
export interface AcquiredSession {
  readonly session: SnapshotSession
  readonly reused: boolean
}

/**
 * Sessions of the pooled database URL for snapshots and subset queries, at most `size` at a time. Connects when one is
 * needed, keeps idle ones for a minute, replaces lost ones: an outage fails who needs a session now and nobody later.
 */
export class SnapshotSessions extends Context.Service<
  SnapshotSessions,
  {
    readonly size: number
    /** A session until the scope closes, which ends whatever transaction or query it is in. */
    readonly acquire: Effect.Effect<AcquiredSession, PgError, Scope.Scope>
    /** The same for a subset query. They never have all sessions: some stay for the shapes of others. */
    readonly acquireForSubset: Effect.Effect<AcquiredSession, PgError, Scope.Scope>
  }
>()("baton/registry/SnapshotSessions") {
  static readonly layer = Layer.effect(
    SnapshotSessions,
    configuredSessions(
      ({ main }) => main,
      (size) => Math.max(1, Math.floor((size * 3) / 4))
    )
  )
  /** For the subset queries of an HTTP worker, which makes no shapes. */
  static readonly layerWorker = Layer.effect(
    SnapshotSessions,
    configuredSessions(
      ({ worker }) => worker,
      (size) => size
    )
  )
}

function configuredSessions(
  size: (shares: ReturnType<typeof shareSnapshotPool>) => number,
  forSubsets: (size: number) => number
) {
  return Effect.gen(function* () {
    const config = yield* Config
    const target = config.pooledDatabase
    const all = size(shareSnapshotPool(config.dbPoolSize, config.httpWorkers))
    return yield* makeSnapshotSessions({
      size: all,
      subsets: Math.min(forSubsets(all), config.limits.subsetQueries),
      // Settings travel inside the transactions: a pooler would refuse or forget those of the session.
      options: clientOptions(target, config, { applicationName: "baton snapshot", settings: {} }),
      subject: errorSubject(target)
    })
  })
}

export interface SnapshotSessionsOptions {
  readonly size: number
  /** How many of them subset queries may have; all by default. */
  readonly subsets?: number
  readonly options: ClientConfig
  /** Names the database in messages. */
  readonly subject: ErrorSubject
  readonly acquireTimeoutMillis?: number
}

export const makeSnapshotSessions = (
  settings: SnapshotSessionsOptions
): Effect.Effect<SnapshotSessions["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const { options, size, subject } = settings
    const waitMillis = settings.acquireTimeoutMillis ?? acquireTimeoutMillis
    const subsets = settings.subsets ?? size
    const permits = yield* Semaphore.make(size)
    const subsetPermits = yield* Semaphore.make(subsets)
    const idle = new Map<SnapshotSession, NodeJS.Timeout>()
    let closed = false
    const classify = (error: unknown) => classifyPgError(error, subject)

    const forget = (session: SnapshotSession) => {
      clearTimeout(idle.get(session))
      idle.delete(session)
    }
    const keep = (session: SnapshotSession) => {
      const timer = setTimeout(() => {
        forget(session)
        session.close()
      }, idleMillis)
      timer.unref()
      idle.set(session, timer)
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
        for (const session of idle.keys()) {
          forget(session)
          session.close()
        }
      })
    )

    const permitOf = (semaphore: Semaphore.Semaphore, count: number) =>
      Effect.acquireRelease(
        semaphore.take(1).pipe(
          Effect.timeoutOrElse({
            duration: waitMillis,
            orElse: () => Effect.fail(poolTimeout(waitMillis, count))
          })
        ),
        () => semaphore.release(1),
        { interruptible: true }
      )

    const obtain = Effect.suspend((): Effect.Effect<AcquiredSession, PgError> => {
      // The one used last: the others get a chance to become old enough to be closed.
      const session = [...idle.keys()].at(-1)
      if (session === undefined)
        return Effect.map(SnapshotSession.connect(options, classify, forget), (fresh) => ({
          session: fresh,
          reused: false
        }))
      forget(session)
      return Effect.succeed({ session, reused: true })
    })

    const giveBack = ({ session }: AcquiredSession) =>
      Effect.gen(function* () {
        if (session.busy) session.giveUp()
        if (session.usable && !session.isIdle)
          yield* session.run("ROLLBACK").pipe(
            Effect.timeout(rollbackTimeoutMillis),
            Effect.catchCause(() => Effect.sync(() => session.giveUp()))
          )
        if (!session.usable) return
        if (closed) session.close()
        else keep(session)
      })

    const acquire = Effect.gen(function* () {
      yield* permitOf(permits, size)
      return yield* Effect.acquireRelease(obtain, giveBack, { interruptible: true })
    })
    return { size, acquire, acquireForSubset: Effect.andThen(permitOf(subsetPermits, subsets), acquire) }
  })

const poolTimeout = (millis: number, size: number): PgError =>
  ownPgError(
    "pool_timeout",
    `None of the ${size} database connections for snapshots became free within ${millis / 1000} s. This heals when ` +
      "running queries end. Raise ELECTRIC_DB_POOL_SIZE, or give slow snapshot queries an index."
  )
