import { Deferred, Effect, Exit, Fiber, MutableRef, type Scope } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { duties } from "../health/Duties.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { LockActor } from "../lock/LockActor.ts"
import { ownPgError, type PgError } from "../postgres/errors/PgError.ts"
import { Publication } from "../postgres/publication/Publication.ts"
import { openSession, type RegistrySession } from "../registry/RegistrySession.ts"
import { PreparedRoutes } from "../registry/routing/PreparedRoutes.ts"
import { CurrentSession } from "../registry/ShapeRegistryLive.ts"
import { readSlot } from "../replication/connection/Slot.ts"
import { ReplicationStream } from "../replication/ReplicationStream.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import { makeSupervisor } from "../shared/Duty.ts"
import { writeProblem } from "../storage/disk/WriteCheck.ts"
import { Storage } from "../storage/Storage.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Steps } from "../telemetry/Steps.ts"
import { needsNewSlot, StorageFailed, type TurnFailure } from "./AfterTurn.ts"
import { awaitIdle } from "./duties/IdleDuty.ts"
import { keepReady } from "./duties/Readiness.ts"
import { maintainStorage, type TurnEnd, watchStorage } from "./duties/StorageDuties.ts"
import { StorageLevels } from "./duties/StorageLevels.ts"
import { Warmth } from "./duties/Warmth.ts"
import { handBack } from "./HandBack.ts"
import { handBackMillis, lockCheckMillis } from "./InstanceTimings.ts"
import { passOverFault } from "./PassOverFault.ts"
import { prepareSource } from "./PrepareSource.ts"
import { SessionServices } from "./SessionServices.ts"
import {
  afterStreamFailure,
  isCertain,
  type PassedPosition,
  type StreamFault,
  streamFrom
} from "./StreamFaults.ts"

/** What an instance remembers from turn to turn. */
interface InstanceState {
  /** Storage has been read, and is followed. */
  readonly isLoaded: boolean
  /** It has streamed: its configuration is right. */
  readonly everActive: boolean
  /** When this turn began to stream; `undefined` if it has not. */
  readonly streamingSinceMillis: number | undefined
  readonly fault: StreamFault | undefined
  readonly passed: PassedPosition | undefined
}

export const initialState: InstanceState = {
  isLoaded: false,
  everActive: false,
  streamingSinceMillis: undefined,
  fault: undefined,
  passed: undefined
}

/** The actors that a turn brings together. Each owns its state and its fibers; the turn owns their order. */
const turnActors = Effect.all({
  config: Config,
  health: HealthRef,
  replication: ReplicationStream,
  publication: Publication,
  lock: LockActor,
  storage: Storage,
  sessions: CurrentSession,
  services: SessionServices,
  warmth: Warmth,
  levels: StorageLevels,
  metrics: Metrics
})

type Actors = Effect.Success<typeof turnActors>

type Remembered = MutableRef.MutableRef<InstanceState>

export const remember = (state: Remembered, change: Partial<InstanceState>): void =>
  void MutableRef.update(state, (known) => ({ ...known, ...change }))

const lockGone = ownPgError(
  "connection_closed",
  "The connection with the lock was lost before this instance had taken over. It connects again and waits for its turn."
)

/**
 * One turn: connection, lock, takeover, stream, hand-back. Fails when any of it does; whatever happens, it ends as a
 * follower. `stopping` completes when the instance is asked to stop.
 */
export const makeTurn = Effect.fnUntraced(function* (state: Remembered, stopping: Deferred.Deferred<void>) {
  const actors = yield* turnActors
  const { health, levels, lock, replication, services, storage, warmth } = actors
  const routes = new PreparedRoutes(services.makeMatcher)
  const ready = keepReady(storage.engine, routes, warmth)
  const turn: Effect.Effect<TurnEnd, TurnFailure, Scope.Scope> = Effect.gen(function* () {
    const connection = yield* replication.connect
    yield* health.send("databaseUp")
    yield* levels.connected(connection.backendPid)
    yield* Effect.raceFirst(lock.hold(connection), ready)
    return yield* Effect.scoped(new Holding(actors, state, stopping, routes, connection).whole)
  })
  return Effect.raceFirst(lock.died, turn)
})

/** From the lock to its loss. */
class Holding {
  private readonly actors: Actors
  private readonly state: Remembered
  private readonly stopping: Deferred.Deferred<void>
  private readonly routes: PreparedRoutes
  private readonly connection: ReplicationConnection
  private readonly beganMillis: number
  private readonly steps: Steps

  constructor(
    actors: Actors,
    state: Remembered,
    stopping: Deferred.Deferred<void>,
    routes: PreparedRoutes,
    connection: ReplicationConnection
  ) {
    this.actors = actors
    this.state = state
    this.stopping = stopping
    this.routes = routes
    this.connection = connection
    const { nowMillis } = actors.storage.engine.timers
    this.beganMillis = nowMillis()
    this.steps = new Steps(nowMillis)
  }

  private get engine() {
    return this.actors.storage.engine
  }

  get whole(): Effect.Effect<TurnEnd, TurnFailure, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { actors, connection, engine, steps } = this
      const { config, publication, services } = actors
      // Storage and database have nothing to do with each other until both have been looked at.
      const sure = yield* Deferred.make<void>()
      const ensuring = yield* Effect.forkScoped(
        Effect.andThen(Deferred.await(sure), Effect.andThen(services.record.load, publication.ensureExists))
      )
      yield* this.takeOver(sure)
      const own = services.forSession()
      const session = yield* openSession({
        ...own,
        engine,
        maxShapes: config.maxShapes,
        prepared: this.routes,
        onDurable: () => connection.notifyDurable()
      })
      steps.done("session")
      const ensured = yield* Fiber.join(ensuring)
      steps.done("publication")
      const source = {
        engine,
        replication: actors.replication,
        record: services.record,
        slotName: config.slotName
      }
      yield* prepareSource(source, connection, session, ensured, steps)
      const { fault } = MutableRef.get(this.state)
      return yield* isCertain(fault)
        ? this.getPast(session, own.ancestors, fault)
        : this.streamAndLookAfter(session)
    })
  }

  /** Storage becomes this instance's to write, for as long as the scope is open. */
  private takeOver(sure: Deferred.Deferred<void>) {
    return Effect.gen({ self: this }, function* () {
      const { actors, engine, steps } = this
      const runNow = Effect.runPromiseWith(yield* Effect.context<never>())
      const stillHeld = async () => {
        const held = await runNow(this.holdsLock)
        if (held) Deferred.doneUnsafe(sure, Effect.void)
        return held
      }
      const place = { variable: "ELECTRIC_STORAGE_DIR", path: actors.config.storageDir }
      const taken = yield* Effect.acquireRelease(
        Effect.tryPromise({
          try: () => engine.takeOver(stillHeld, steps, () => runNow(this.confirmed)),
          catch: (cause) => new StorageFailed({ message: writeProblem(place, cause).message })
        }),
        () => Effect.promise(() => engine.release(handBackMillis))
      )
      if (taken === undefined) return yield* lockGone
      const { droppedIncomplete } = taken
      if (droppedIncomplete.length > 0) {
        yield* Effect.logInfo(
          `Dropped ${droppedIncomplete.length} shapes whose snapshot was cut off when the last holder of the lock ended. Clients fetch them again. ${droppedIncomplete.slice(0, 20).join(", ")}${droppedIncomplete.length > 20 ? ", ..." : ""}`
        )
      }
    })
  }

  /** The stream, and the duties of the active instance beside it. */
  private streamAndLookAfter(session: RegistrySession): Effect.Effect<TurnEnd, TurnFailure, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { actors, connection, engine } = this
      const { config, health, replication, services } = actors
      const supervisor = yield* makeSupervisor
      yield* supervisor.start(duties.lookAhead, services.lookAhead)
      const ended = yield* Deferred.make<TurnEnd>()
      yield* supervisor.start(duties.maintenance, maintainStorage(engine, config))
      yield* supervisor.start(duties.level, actors.levels.whileActive)
      yield* supervisor.start(duties.fence, watchStorage(engine, health, ended))
      const started = yield* Deferred.make<void>()
      const stream = replication.stream(connection, {
        sink: session.sink,
        fromLsn: streamFrom(MutableRef.get(this.state).passed, connection, engine.store.positionLsn),
        onStarted: Effect.andThen(this.started(session), Deferred.succeed(started, undefined))
      })
      const beginAnew = Effect.asVoid(Deferred.succeed(ended, "beginAnew"))
      yield* supervisor.start(
        duties.tablesAndPublication,
        Effect.andThen(Deferred.await(started), services.whileActive(session, beginAnew))
      )
      const { replicationIdleTimeoutMillis } = config
      if (replicationIdleTimeoutMillis !== undefined) {
        const idle = awaitIdle(replicationIdleTimeoutMillis, services.lastTransactionMillis, engine.timers)
        yield* supervisor.start(duties.idleTimeout, Effect.andThen(idle, Deferred.succeed(ended, "idle")))
      }
      const whileStreaming = Effect.raceFirst(stream, Deferred.await(ended)).pipe(
        Effect.tapError((error) => Effect.sync(() => this.noteFault(error, session))),
        Effect.tapError(this.noteLostSlot)
      )
      return yield* Effect.ensuring(Effect.raceFirst(whileStreaming, supervisor.died), this.handBack(session))
    })
  }

  private started(session: RegistrySession): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const { actors, engine, steps } = this
      actors.sessions.set(session)
      remember(this.state, { everActive: true, streamingSinceMillis: engine.timers.nowMillis() })
      yield* actors.health.send("streamStarted")
      const takeoverMillis = engine.timers.nowMillis() - this.beganMillis
      actors.metrics.takeovers.update(1)
      actors.metrics.takeoverMillis.update(takeoverMillis)
      steps.done("START_REPLICATION")
      yield* Effect.logDebug(`The takeover step by step: ${steps}`)
      yield* Effect.logInfo(
        `Starting replication from postgres; active ${Math.round(takeoverMillis)} ms after the lock, with ${engine.store.count} shapes`
      )
    })
  }

  private noteFault(error: PgError, session: RegistrySession): void {
    const { fault } = MutableRef.get(this.state)
    const { positionLsn } = this.engine.store
    remember(this.state, {
      fault: afterStreamFailure(fault, error, session.sink.openTransaction, positionLsn)
    })
  }

  /** In the journal, because the next holder of the lock may be another instance. */
  private readonly noteLostSlot = (error: PgError) =>
    Effect.sync(() => {
      if (needsNewSlot(error)) this.engine.writing?.write({ t: "slotLost" })
    })

  /** The stream has stopped at the same change more than once: it goes on behind it. */
  private getPast(
    session: RegistrySession,
    ancestors: (oid: number) => Effect.Effect<ReadonlyArray<number>>,
    certain: StreamFault
  ): Effect.Effect<TurnEnd, PgError> {
    const { actors, connection, engine } = this
    const services = { replication: actors.replication, store: engine.store, ancestors }
    return passOverFault(services, connection, session, certain).pipe(
      Effect.tapError(this.noteLostSlot),
      Effect.ensuring(this.handBack(session)),
      Effect.map((lsn): TurnEnd => {
        const { systemId, timeline } = connection
        remember(this.state, { passed: { systemId, timeline, lsn }, fault: undefined })
        return "beginAnew"
      })
    )
  }

  private handBack(session: RegistrySession): Effect.Effect<void> {
    const { lock, sessions } = this.actors
    return handBack({ sessions, lock, timers: this.engine.timers }, this.connection, session)
  }

  /** The connection, and the lock with it, is still there. No longer than a stopping instance may wait for an answer. */
  private get holdsLock(): Effect.Effect<boolean> {
    const answered = this.connection
      .query("SELECT")
      .pipe(Effect.timeout(lockCheckMillis), Effect.exit, Effect.map(Exit.isSuccess))
    return Effect.flatMap(this.actors.lock.state, ({ _tag }) =>
      _tag === "held"
        ? Effect.raceFirst(answered, Effect.as(Deferred.await(this.stopping), false))
        : Effect.succeed(false)
    )
  }

  /** What the slot was told is safe, where storage goes on from it: storage that is not behind it has been read whole. */
  private get confirmed(): Effect.Effect<bigint | undefined> {
    const { query, systemId, timeline } = this.connection
    const { slotName } = this.actors.config
    const { source } = this.engine.store
    const isOurs = source?.systemId === systemId && source.timeline === timeline
    return isOurs && source.slot === slotName
      ? readSlot(query, slotName).pipe(
          Effect.timeout(lockCheckMillis),
          Effect.match({
            onFailure: () => undefined,
            onSuccess: (slot) => slot?.confirmedFlushLsn ?? undefined
          })
        )
      : Effect.succeed(undefined)
  }
}
