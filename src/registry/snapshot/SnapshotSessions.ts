import { Context, Effect, Layer, type Scope } from "effect"
import type { ClientConfig } from "pg"
import { Config } from "../../config/BatonConfig.ts"
import { aboveLimit, type Limits, standardLimits } from "../../config/Limits.ts"
import { classifyPgError } from "../../postgres/errors/ClassifyPgError.ts"
import { clientOptions, errorSubject } from "../../postgres/connection/ConnectionOptions.ts"
import type { ErrorSubject } from "../../postgres/errors/ExplainPgError.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import { shareSnapshotPool } from "../../postgres/connection/Pools.ts"
import { type Place, SessionPlaces } from "./SessionPlaces.ts"
import { SnapshotSession } from "./SnapshotSession.ts"
import { currentTimers } from "../../shared/Timers.ts"

/** How often somebody who waits looks for a query that has to end. */
const lookMillis = 250
/** A request is told to come back when it has waited this long; its own limit is 45 s. */
const acquireTimeoutMillis = 30_000
const idleMillis = 60_000
/** Bound on ROLLBACK, after which the session is thrown away instead. */
const rollbackTimeoutMillis = 2000

/** A session, and whether it has served before: then it may have been lost without anybody noticing yet. */
interface AcquiredSession {
  readonly session: SnapshotSession
  readonly reused: boolean
}

/**
 * Sessions of the pooled database URL for snapshots and subset queries, at most `size` at a time. Connects when one is
 * needed, keeps idle ones for a minute, replaces lost ones: an outage fails who needs a session now and nobody later.
 *
 * Long queries do not keep everybody else out: while somebody waits they have half of the sessions, and those beyond are
 * ended with `gave_way` (`SessionPlaces`).
 */
export class SnapshotSessions extends Context.Service<
  SnapshotSessions,
  {
    readonly size: number
    /** A session until the scope closes, which ends whatever transaction or query it is in. */
    readonly acquire: Effect.Effect<AcquiredSession, PgError, Scope.Scope>
    /**
     * The same for a subset query of a shape. They never have all sessions: some stay for new shapes. Shapes take turns,
     * so that many queries of one keep a query of another waiting for one of them at most.
     */
    readonly acquireForSubset: (shape: string) => Effect.Effect<AcquiredSession, PgError, Scope.Scope>
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
      limits: config.limits,
      // Settings travel inside the transactions: a pooler would refuse or forget those of the session.
      options: clientOptions(target, config, { applicationName: "baton snapshot", settings: {} }),
      subject: errorSubject(target)
    })
  })
}

interface SnapshotSessionsOptions {
  readonly size: number
  /** How many of them subset queries may have; all by default. */
  readonly subsets?: number
  readonly limits?: Pick<Limits, "contendedMillis">
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
    const timers = yield* currentTimers
    const waitMillis = settings.acquireTimeoutMillis ?? acquireTimeoutMillis
    const subsets = settings.subsets ?? size
    const limits = { ...standardLimits, ...settings.limits }
    const places = new SessionPlaces({
      size,
      subsets,
      longMillis: limits.contendedMillis,
      now: timers.nowMillis
    })
    const idle = new Map<SnapshotSession, () => void>()
    let closed = false
    const classify = (error: unknown) => classifyPgError(error, subject)

    const forget = (session: SnapshotSession) => {
      idle.get(session)?.()
      idle.delete(session)
    }
    const keep = (session: SnapshotSession) => {
      const close = () => {
        forget(session)
        session.close()
      }
      idle.set(session, timers.after(idleMillis, close, "aside"))
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

    let isLooking = false
    const look = () => {
      isLooking = false
      places.makeRoom()
      if (places.isAwaited) lookSoon()
    }
    const lookSoon = () => {
      if (!isLooking) timers.after(lookMillis, look, "aside")
      isLooking = true
    }
    const wait = (shape: string | undefined): Effect.Effect<Place, PgError> =>
      Effect.suspend(() => {
        let place: Place | undefined
        let stopTimer: (() => void) | undefined
        return Effect.callback<Place, PgError>((resume) => {
          const withdraw = places.take(shape, (granted) => {
            stopTimer?.()
            place = granted
            resume(Effect.succeed(granted))
          })
          if (place !== undefined) return undefined
          stopTimer = timers.after(waitMillis, () => {
            withdraw()
            resume(Effect.fail(poolTimeout(waitMillis, shape === undefined ? size : subsets)))
          })
          lookSoon()
          return Effect.sync(() => {
            stopTimer?.()
            withdraw()
          })
        }).pipe(
          // Given just when its wish was withdrawn.
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              if (place !== undefined) places.release(place)
            })
          )
        )
      })

    const obtain = Effect.suspend((): Effect.Effect<AcquiredSession, PgError> => {
      // The one used last: the others get a chance to become old enough to be closed.
      const session = [...idle.keys()].at(-1)
      if (session === undefined)
        return Effect.map(SnapshotSession.connect(options, classify, forget, timers), (fresh) => ({
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

    const acquireFor = Effect.fnUntraced(function* (shape: string | undefined) {
      const place = yield* Effect.acquireRelease(
        wait(shape),
        (held) => Effect.sync(() => places.release(held)),
        {
          interruptible: true
        }
      )
      const acquired = yield* Effect.acquireRelease(obtain, giveBack, { interruptible: true })
      place.end = () => acquired.session.giveUp(gaveWay(limits))
      return acquired
    })
    return { size, acquire: acquireFor(undefined), acquireForSubset: acquireFor }
  })

const gaveWay = (limits: Limits): PgError =>
  ownPgError("gave_way", `${aboveLimit("contendedMillis", limits)}.`)

const poolTimeout = (millis: number, size: number): PgError =>
  ownPgError(
    "pool_timeout",
    `None of the ${size} database connections for snapshots became free within ${millis / 1000} s. This heals when ` +
      "running queries end. Raise ELECTRIC_DB_POOL_SIZE, or give slow snapshot queries an index."
  )
