import { Context, Effect, Layer, type Scope } from "effect"
import type { ClientConfig } from "pg"
import { Config } from "../../config/BatonConfig.ts"
import { aboveLimit, type Limits, standardLimits } from "../../config/Limits.ts"
import { classifyPgError } from "../../postgres/errors/ClassifyPgError.ts"
import { clientOptions, errorSubject } from "../../postgres/connection/ConnectionOptions.ts"
import type { ErrorSubject } from "../../postgres/errors/ExplainPgError.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import { shareSnapshotPool } from "../../postgres/connection/Pools.ts"
import { AwaitedPlaces } from "./AwaitedPlaces.ts"
import { IdleSessions } from "./IdleSessions.ts"
import { SnapshotSession, snapshotReadBytes } from "./SnapshotSession.ts"
import { currentTimers } from "../../shared/Timers.ts"
import { acquireTimeoutMillis, rollbackTimeoutMillis } from "../RegistryTimings.ts"

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
      options: clientOptions(target, config, {
        applicationName: "baton snapshot",
        settings: {},
        readBufferBytes: snapshotReadBytes
      }),
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
    const limits = { ...standardLimits, ...settings.limits }
    const places = new AwaitedPlaces(
      {
        size,
        subsets: settings.subsets ?? size,
        longMillis: limits.contendedMillis,
        waitMillis: settings.acquireTimeoutMillis ?? acquireTimeoutMillis
      },
      timers
    )
    const idle: Idle = new IdleSessions(timers)
    yield* Effect.addFinalizer(() => Effect.sync(() => idle.close()))
    const connect = SnapshotSession.connect(
      options,
      (error) => classifyPgError(error, subject),
      (lost) => idle.forget(lost),
      timers
    )
    const acquireFor = Effect.fnUntraced(function* (shape: string | undefined) {
      const place = yield* places.hold(shape)
      const acquired = yield* Effect.acquireRelease(
        obtain(idle, connect),
        ({ session }) => giveBack(idle, session),
        { interruptible: true }
      )
      place.end = () => acquired.session.giveUp(gaveWay(limits))
      return acquired
    })
    return { size, acquire: acquireFor(undefined), acquireForSubset: acquireFor }
  })

type Idle = IdleSessions<SnapshotSession>

const obtain = (
  idle: Idle,
  connect: Effect.Effect<SnapshotSession, PgError>
): Effect.Effect<AcquiredSession, PgError> =>
  Effect.suspend((): Effect.Effect<AcquiredSession, PgError> => {
    const session = idle.take()
    return session === undefined
      ? Effect.map(connect, (fresh) => ({ session: fresh, reused: false }))
      : Effect.succeed({ session, reused: true })
  })

/** Nobody else is given a session in which something still runs, or a transaction is open. */
const giveBack = Effect.fnUntraced(function* (idle: Idle, session: SnapshotSession) {
  if (session.busy) session.giveUp()
  if (session.usable && !session.isIdle)
    yield* Effect.catchCause(
      session.run("ROLLBACK", { millis: rollbackTimeoutMillis, failure: noRollback }),
      () => Effect.sync(() => session.giveUp())
    )
  if (session.usable) idle.keep(session)
})

/** Nobody is told. */
const noRollback = ownPgError("connection_timeout", "Postgres did not end a transaction in time.")

const gaveWay = (limits: Limits): PgError =>
  ownPgError("gave_way", `${aboveLimit("contendedMillis", limits)}.`)
