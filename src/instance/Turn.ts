import { withJournalProgress } from "../storage/JournalProgress.ts"
import { tmpdir } from "node:os"
import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Deferred, Effect, Exit, Fiber, MutableRef, type Scope } from "effect"
import { BucketFault } from "../bucket/BucketFault.ts"
import { duties } from "../health/Duties.ts"
import { ownPgError, type PgError } from "../postgres/errors/PgError.ts"
import { type EnsuredPublication } from "../postgres/publication/Publication.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import { type ConsistentPoint, repairShapes } from "../registry/repair/Repair.ts"
import { makePreparedRoutes, type PreparedRoutes } from "../registry/routing/PreparedRoutes.ts"
import { readSlot } from "../replication/connection/Slot.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import { makeSupervisor } from "../shared/Duty.ts"
import { journalLsn, maxLsn } from "../shared/Lsn.ts"
import { ChainBroken } from "../storage/chain/ChainBroken.ts"
import { fromDisk } from "../storage/disk/DiskFault.ts"
import { writeProblem } from "../storage/disk/WriteCheck.ts"
import { Steps } from "../telemetry/Steps.ts"
import { needsNewSlot, StorageFailed, type TurnFailure } from "./AfterTurn.ts"
import { awaitImpatience } from "./duties/BucketPatience.ts"
import { awaitIdle } from "./duties/IdleDuty.ts"
import { keepReady } from "./duties/Readiness.ts"
import { hasConditions } from "./duties/Warmth.ts"
import {
  compactStorage,
  maintainStorage,
  quotaOf,
  type TurnEnd,
  watchStorage
} from "./duties/StorageDuties.ts"
import { handBack } from "./HandBack.ts"
import { handBackMillis, lockCheckMillis } from "./InstanceTimings.ts"
import { passOverFault } from "./PassOverFault.ts"
import { publishAll } from "./PublishAll.ts"
import { prepareSource } from "./PrepareSource.ts"
import { anewDefinition, redefineShapes } from "./Redefine.ts"
import type { Heartbeat } from "./silence/Heartbeat.ts"
import { makeHeartbeat } from "./silence/MakeHeartbeat.ts"
import {
  afterStreamFailure,
  comparisonBegan,
  comparisonEnded,
  type Comparisons,
  isCertain,
  mayCompare,
  noComparisons,
  receivedOf,
  heldSince,
  streamedSince,
  type StreamedBefore,
  type PassedPosition,
  type StreamFault,
  streamFrom
} from "./StreamFaults.ts"
import type { TurnFaults } from "./TurnFaults.ts"
import { type Actors, turnActors } from "./TurnActors.ts"
import { turnOrder, type TurnStepName } from "./TurnOrder.ts"

/** What an instance remembers from turn to turn. */
interface InstanceState {
  /** Storage has been read, and is followed. */
  readonly isLoaded: boolean
  /** It has streamed: its configuration is right. */
  readonly everActive: boolean
  readonly fault: StreamFault | undefined
  readonly passed: PassedPosition | undefined
  readonly streamed: StreamedBefore | undefined
  readonly comparisons: Comparisons
}

export const initialState: InstanceState = {
  isLoaded: false,
  everActive: false,
  fault: undefined,
  passed: undefined,
  streamed: undefined,
  comparisons: noComparisons
}

type Remembered = MutableRef.MutableRef<InstanceState>

export const remember = (state: Remembered, change: Partial<InstanceState>): void =>
  void MutableRef.update(state, (known) => ({ ...known, ...change }))

const lockGone = ownPgError(
  "connection_closed",
  "The connection with the lock was lost before this instance had taken over. It connects again and waits for its turn."
)

/**
 * One turn, in the order of its table. Fails when a step does, or when an actor has died; whatever happens, it ends as a
 * follower. `stopping` completes when the instance is asked to stop.
 */
export const makeTurn = Effect.fnUntraced(function* (
  state: Remembered,
  stopping: Deferred.Deferred<void>,
  faults: TurnFaults
) {
  const actors = yield* turnActors
  const { lock, replication, services, sessions, storage } = actors
  const routes = yield* makePreparedRoutes(services.makeMatcher, storage.engine.listeners)
  const order = Object.keys(turnOrder) as ReadonlyArray<TurnStepName>
  const inOrder = Effect.gen(function* () {
    const steps = new Turn(actors, state, stopping, routes, faults).start
    let end: TurnEnd | undefined
    for (const step of order) end = (yield* steps[step]) ?? undefined
    return end ?? (yield* Effect.die(new Error("a turn has ended before its stream")))
  })
  return Effect.raceAllFirst([lock.died, replication.died, sessions.died, inOrder])
})

type Started = Effect.Effect<TurnEnd | void, TurnFailure, Scope.Scope>

class Turn {
  private readonly actors: Actors
  private readonly state: Remembered
  private readonly stopping: Deferred.Deferred<void>
  private readonly faults: TurnFaults
  private readonly routes: PreparedRoutes
  private readonly steps: Steps
  private readonly own: ReturnType<Actors["services"]["forSession"]>
  // Each is there once its step is done, and the table has those first that others stand on.
  private connection!: ReplicationConnection
  private heldSinceMillis!: number
  private ensuring!: Fiber.Fiber<EnsuredPublication, PgError>
  private heartbeat!: Heartbeat
  private session!: RegistrySession
  /** What shapes have cannot be continued, for this reason. */
  private readonly lost = Deferred.makeUnsafe<string>()
  /** Storage and database have nothing to do with each other until it is sure that this instance is to take over. */
  private readonly sure = Deferred.makeUnsafe<void>()

  constructor(
    actors: Actors,
    state: Remembered,
    stopping: Deferred.Deferred<void>,
    routes: PreparedRoutes,
    faults: TurnFaults
  ) {
    this.actors = actors
    this.state = state
    this.stopping = stopping
    this.faults = faults
    this.routes = routes
    this.own = actors.services.forSession((reason) => this.losePosition(reason))
    this.steps = new Steps(this.engine.timers.nowMillis)
  }

  private get engine() {
    return this.actors.storage.engine
  }

  /** What stops it again is registered with the scope before the next one is started. */
  readonly start: Readonly<Record<TurnStepName, Started>> = {
    connection: Effect.suspend(() => this.connect()),
    lock: Effect.suspend(() => this.holdLock()),
    publication: Effect.suspend(() => this.lookAtPublication()),
    storage: Effect.suspend(() => this.takeOver()),
    session: Effect.suspend(() => this.openSession()),
    source: Effect.suspend(() => this.prepareSource()),
    stream: Effect.suspend(() => {
      const { fault } = MutableRef.get(this.state)
      return isCertain(fault) ? this.getPast(fault) : this.streamAndLookAfter()
    })
  }

  private connect() {
    const { levels, replication } = this.actors
    return Effect.flatMap(replication.connect, (connection) => {
      this.connection = connection
      return Effect.andThen(this.faults.connected, levels.connected(connection.backendPid))
    })
  }

  private holdLock() {
    const { lock, warmth } = this.actors
    const ready = keepReady(this.engine, this.routes, warmth)
    return Effect.andThen(
      Effect.raceFirst(lock.hold(this.connection), ready),
      Effect.sync(() => {
        this.heldSinceMillis = this.engine.timers.nowMillis()
        this.steps.begin()
      })
    )
  }

  private lookAtPublication() {
    const { conditions, publication, services } = this.actors
    const look = Effect.andThen(services.record.load, publication.ensureExists)
    const whenSure = <A, E>(work: Effect.Effect<A, E>) =>
      Effect.forkScoped(Effect.andThen(Deferred.await(this.sure), work))
    return Effect.gen({ self: this }, function* () {
      this.ensuring = yield* whenSure(look)
      // Nobody has looked whether types and functions are others by now since it waits.
      if (hasConditions(this.engine)) yield* whenSure(conditions.renew ?? Effect.void)
    })
  }

  private openSession() {
    return Effect.gen({ self: this }, function* () {
      const { actors, connection, engine, own, steps } = this
      this.heartbeat = makeHeartbeat(actors, connection, engine, (lsn) => this.session.sink.needless(lsn))
      this.session = yield* actors.sessions.open({
        ...own,
        moves: {
          ...own.moves,
          // Beside the storage rather than in it: its disk must not become full of what is not worth keeping.
          directories: [tmpdir(), actors.config.storageDir],
          askForPosition: () => connection.askForPosition(),
          definedAnew: anewDefinition(actors),
          inspector: actors.inspector,
          positionLost: (reason) => this.losePosition(reason)
        },
        engine,
        maxShapes: actors.config.maxShapes,
        unreadMillis: actors.config.shapeDropAfterMillis,
        quota: quotaOf(actors.config),
        onReached: (lsn) => this.heartbeat.reached(lsn),
        prepared: this.routes,
        onDurable: () => connection.notifyDurable()
      })
      steps.done("session")
    })
  }

  /** See `repairShapes`. */
  private readonly repair = (session: RegistrySession, point: ConsistentPoint) => {
    const { actors, engine, own } = this
    const { inspector, logs, metrics, snapshots } = actors
    const { writer } = engine
    if (writer === undefined) return Effect.die(new Error("storage has not been taken over"))
    const { makeMatcher } = own
    const counts = metrics.comparisons
    const services = { engine, writer, logs, sessions: snapshots, inspector, makeMatcher, counts }
    return Effect.mapError(repairShapes(services, session, point), (error) =>
      error._tag === "PgError" ? error : new StorageFailed({ message: error.message, passing: true })
    )
  }

  private prepareSource() {
    return Effect.gen({ self: this }, function* () {
      const { actors, connection, engine, own, session, steps } = this
      const ensured = yield* Fiber.join(this.ensuring)
      steps.done("publication")
      const { slotName } = actors.config
      const streamed = heldSince(MutableRef.get(this.state).streamed, engine.at.epoch)
      remember(this.state, { streamed })
      const source = {
        engine,
        replication: actors.replication,
        record: actors.services.record,
        slotName,
        receivedLsn: receivedOf(streamed, engine.store.source),
        publishTables: ({ drop, shapes }: RegistrySession) =>
          publishAll(actors.services.record, shapes, own.publish, drop),
        redefine: (opened: RegistrySession, isOther: boolean) => redefineShapes(actors, opened, isOther),
        repair: this.repair
      }
      yield* prepareSource(source, connection, session, ensured, steps)
    })
  }

  /** Storage becomes this instance's to write, for as long as the scope is open. */
  private takeOver() {
    return Effect.gen({ self: this }, function* () {
      const { actors, engine, steps } = this
      const runNow = Effect.runPromiseWith(yield* Effect.context<never>())
      const stillHeld = async () => {
        const held = await runNow(this.holdsLock)
        if (held) Deferred.doneUnsafe(this.sure, Effect.void)
        return held
      }
      const isWanted = () => !Deferred.isDoneUnsafe(this.stopping)
      const place = { variable: "ELECTRIC_STORAGE_DIR", path: actors.config.storageDir }
      const taken = yield* Effect.acquireRelease(
        withJournalProgress(
          "takeover",
          engine,
          Effect.tryPromise({
            try: () => engine.takeOver(stillHeld, steps, () => runNow(this.confirmed), isWanted),
            catch: (cause) =>
              cause instanceof BucketFault
                ? new StorageFailed({ message: cause.message, passing: cause.passing })
                : cause instanceof ChainBroken
                  ? new StorageFailed({ message: cause.message })
                  : new StorageFailed({ message: writeProblem(place, cause).message })
          })
        ),
        () =>
          Effect.catch(
            fromDisk(() => engine.release(handBackMillis)),
            ({ message }) =>
              reportFault("BATON-STORAGE-CLOSE", `Storage was not given back as it should be: ${message}.`)
          )
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
  private streamAndLookAfter(): Effect.Effect<TurnEnd, TurnFailure, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { actors, connection, engine, session } = this
      const { admin, config, health, replication, services } = actors
      const supervisor = yield* makeSupervisor
      yield* supervisor.start(duties.lookAhead, services.lookAhead)
      yield* supervisor.start(duties.moves, session.followMoves)
      const ended = yield* Deferred.make<TurnEnd>()
      yield* supervisor.start(duties.maintenance, maintainStorage(engine, config))
      yield* supervisor.start(duties.compaction, compactStorage(engine, config))
      yield* supervisor.start(duties.level, actors.levels.whileActive)
      yield* supervisor.start(duties.fence, watchStorage(engine, health, ended))
      const started = yield* Deferred.make<void>()
      yield* supervisor.start(duties.heartbeat, Effect.andThen(Deferred.await(started), this.heartbeat.run))
      const fromLsn = streamFrom(MutableRef.get(this.state).passed, connection, engine.store.resumeLsn)
      session.sink.followOn(fromLsn)
      const stream = replication.stream(connection, {
        sink: session.sink,
        shift: engine.store.shift,
        fromLsn,
        onStarted: Effect.andThen(this.started, Deferred.succeed(started, undefined))
      })
      const beginAnew = Effect.asVoid(Deferred.succeed(ended, "beginAnew"))
      yield* supervisor.start(
        duties.tablesAndPublication,
        Effect.andThen(Deferred.await(started), services.whileActive(session, beginAnew))
      )
      yield* supervisor.start(duties.verify, Effect.andThen(Deferred.await(started), this.verify))
      const { bucket, replicationIdleTimeoutMillis } = config
      if (bucket?.patienceMillis !== undefined && engine.bucketStatus !== undefined) {
        const handOver = Deferred.succeed(ended, "handOver")
        const { patienceMillis } = bucket
        const impatience = awaitImpatience(engine.bucketStatus, patienceMillis, admin, config.slotName)
        yield* supervisor.start(duties.bucketPatience, Effect.andThen(impatience, handOver))
      }
      if (replicationIdleTimeoutMillis !== undefined) {
        const idle = awaitIdle(replicationIdleTimeoutMillis, services.lastTransactionMillis, engine.timers)
        yield* supervisor.start(duties.idleTimeout, Effect.andThen(idle, Deferred.succeed(ended, "idle")))
      }
      const whileStreaming = Effect.raceAllFirst([stream, Deferred.await(ended), this.untilLost]).pipe(
        Effect.tapError((error) => Effect.sync(() => this.noteFault(error))),
        Effect.tapError(this.noteLostSlot)
      )
      const ending = Effect.andThen(
        Effect.sync(() => this.noteStreamed()),
        this.handBack
      )
      return yield* Effect.ensuring(Effect.raceFirst(whileStreaming, supervisor.died), ending)
    })
  }

  private get started(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const { actors, engine, session, steps } = this
      yield* actors.sessions.begin(session)
      const { comparisons } = MutableRef.get(this.state)
      remember(this.state, {
        everActive: true,
        comparisons: comparisonEnded(comparisons, engine.timers.nowMillis())
      })
      yield* this.faults.active
      const takeoverMillis = engine.timers.nowMillis() - this.heldSinceMillis
      actors.metrics.takeovers.update(1)
      actors.metrics.takeoverSeconds.update(takeoverMillis / 1000)
      actors.metrics.events?.active(takeoverMillis, engine.store.count)
      steps.done("START_REPLICATION")
      actors.metrics.takeoverHistory.add({
        atMillis: engine.timers.epochMillis(),
        epoch: engine.at.epoch,
        millis: takeoverMillis,
        steps: steps.taken
      })
      yield* Effect.logDebug(`The takeover step by step: ${steps}`)
      yield* Effect.logInfo(
        `Starting replication from postgres; active ${Math.round(takeoverMillis)} ms after the lock, with ${engine.store.count} shapes`
      )
    })
  }

  private readonly verify = Effect.suspend(() => {
    const { actors, connection, own } = this
    const losePosition = (reason: string) => this.losePosition(reason)
    const { askForPosition } = connection
    return actors.verifier.whileActive({
      ...actors,
      makeMatcher: own.makeMatcher,
      askForPosition,
      losePosition
    })
  })
  private noteStreamed(): void {
    const { connection, engine, heartbeat } = this
    const { systemId, timeline } = connection
    const lsn = maxLsn(engine.store.positionLsn, heartbeat.receivedLsn)
    const now = { systemId, timeline, epoch: engine.at.epoch, lsn }
    remember(this.state, { streamed: streamedSince(MutableRef.get(this.state).streamed, now) })
  }

  private losePosition(reason: string): void {
    // In the journal, because the next holder of the lock may be another instance.
    this.engine.writing?.write({ t: "slotLost" })
    Deferred.doneUnsafe(this.lost, Effect.succeed(reason))
  }

  private get untilLost(): Effect.Effect<TurnEnd> {
    return Effect.flatMap(Deferred.await(this.lost), (reason) =>
      Effect.as(
        reportFault(
          "BATON-SHAPE-COMPARED",
          `What shapes have cannot be continued: ${reason}. All shapes are compared with the database now.`
        ),
        "beginAnew"
      )
    )
  }

  private noteFault(error: PgError): void {
    const { fault } = MutableRef.get(this.state)
    const { resumeLsn } = this.engine.store
    remember(this.state, {
      fault: afterStreamFailure(fault, error, this.session.sink.openTransaction, resumeLsn)
    })
  }

  /** In the journal, because the next holder of the lock may be another instance. */
  private readonly noteLostSlot = (error: PgError) =>
    Effect.sync(() => {
      if (needsNewSlot(error)) this.engine.writing?.write({ t: "slotLost" })
    })

  /** The stream has stopped at the same change more than once: it goes on behind it. */
  private getPast(certain: StreamFault): Effect.Effect<TurnEnd, PgError> {
    const { actors, connection, engine, session } = this
    const services = { replication: actors.replication, store: engine.store, ancestors: this.own.ancestors }
    const now = engine.timers.nowMillis()
    const { comparisons } = MutableRef.get(this.state)
    return passOverFault(services, connection, session, certain, mayCompare(comparisons, now)).pipe(
      Effect.tapError(this.noteLostSlot),
      Effect.tap((lsn) => {
        if (lsn !== undefined) return Effect.void
        engine.writing?.write({ t: "slotLost" })
        remember(this.state, { comparisons: comparisonBegan(comparisons, now) })
        return Effect.void
      }),
      Effect.ensuring(this.handBack),
      Effect.map((lsn): TurnEnd => {
        const { systemId, timeline } = connection
        const passed = lsn === undefined ? undefined : { systemId, timeline, lsn }
        remember(this.state, { passed, fault: undefined })
        return "beginAnew"
      })
    )
  }

  private get handBack(): Effect.Effect<void> {
    const { lock, sessions } = this.actors
    return handBack({ sessions, lock, timers: this.engine.timers }, this.connection, this.session)
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
    const { shift, source } = this.engine.store
    const isOurs = source?.systemId === systemId && source.timeline === timeline
    return isOurs && source.slot === slotName
      ? readSlot(query, slotName).pipe(
          Effect.timeout(lockCheckMillis),
          Effect.match({
            onFailure: () => undefined,
            onSuccess: (slot) =>
              slot?.confirmedFlushLsn == null ? undefined : journalLsn(slot.confirmedFlushLsn, shift)
          })
        )
      : Effect.succeed(undefined)
  }
}
