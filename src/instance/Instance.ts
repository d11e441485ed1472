import { Cause, Context, Data, Deferred, Effect, Exit, Fiber, Layer, Option, Schema } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { duties } from "../health/Duties.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { isStopping } from "../health/HealthState.ts"
import { LockService } from "../lock/LockService.ts"
import { type EnsuredPublication, Publication } from "../postgres/publication/Publication.ts"
import { ownPgError, type PgError } from "../postgres/errors/PgError.ts"
import { makeClauseMatcher } from "../registry/routing/Matcher.ts"
import { PreparedRoutes } from "../registry/routing/PreparedRoutes.ts"
import { openSession, type RegistrySession } from "../registry/RegistrySession.ts"
import { CurrentSession } from "../registry/ShapeRegistryLive.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import { afterFailure, noFailures, reconnectDelayMillis } from "../replication/ReconnectPolicy.ts"
import { readSlot } from "../replication/connection/Slot.ts"
import { ReplicationStream } from "../replication/ReplicationStream.ts"
import { Storage } from "../storage/Storage.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { writeProblem } from "../storage/disk/WriteCheck.ts"
import { duty, DutyDied, makeSupervisor } from "../shared/Duty.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Steps } from "../telemetry/Steps.ts"
import { loadParser } from "../where/index.ts"
import { SessionServices } from "./SessionServices.ts"
import { passOverFault } from "./PassOverFault.ts"
import {
  afterStreamFailure,
  isCertain,
  type PassedPosition,
  type StreamFault,
  streamFrom
} from "./StreamFaults.ts"
import { maintainStorage, type TurnEnd, watchStorage } from "./StorageDuties.ts"
import { reasonToPurge } from "./Takeover.ts"
import { Warmth } from "./Warmth.ts"

/** The service cannot run as it is configured. It ends; start it again when the cause is removed. */
export class InstanceFailed extends Schema.TaggedError<InstanceFailed>()("InstanceFailed", {
  message: Schema.String
}) {}

/** Flushing and acknowledging before the lock is given back may take this long. */
const handBackMillis = 2000
const lockCheckMillis = 5000
/** How often a waiting instance looks for shapes whose conditions it does not know. */
const preparingMillis = 500

/** Storage cannot be taken over now: what an operator has to mend. */
class StorageFailed extends Data.TaggedError("StorageFailed")<{ readonly message: string }> {}

/**
 * One instance from start to stop: reads storage, waits for the lock, takes over, streams, and goes back to waiting
 * whenever lock or database are lost. `run` ends only when it must not be tried again, or after `shutdown`.
 */
export class Instance extends Context.Service<
  Instance,
  {
    /** Never succeeds before `shutdown`; fails with what an operator has to mend. May be run again after that. */
    readonly run: Effect.Effect<void, InstanceFailed>
    /**
     * Gives the lock back first (what was received is made durable and acknowledged), then goes on as a follower so that
     * open requests can be answered. Completes when the lock is free.
     */
    readonly shutdown: Effect.Effect<void>
  }
>()("baton/instance/Instance") {
  static readonly layer = Layer.effect(
    Instance,
    Effect.gen(function* () {
      const config = yield* Config
      const health = yield* HealthRef
      const replication = yield* ReplicationStream
      const publication = yield* Publication
      const lock = yield* LockService
      const storage = yield* Storage
      const sessions = yield* CurrentSession
      const services = yield* SessionServices
      const warmth = yield* Warmth
      const metrics = yield* Metrics
      const { engine } = storage
      const stopping = yield* Deferred.make<void>()
      let everActive = false
      let isLoaded = false
      let fault: StreamFault | undefined
      let passed: PassedPosition | undefined

      const routes = new PreparedRoutes(makeClauseMatcher(config.limits))
      /** What can be done for a takeover before there is one. Never ends: where it fails, the takeover does the work. */
      const getReady = duty(
        duties.readiness,
        Effect.all(
          [
            warmth.keep,
            Effect.suspend(() => (hasConditions(engine) ? loadParser : Effect.void)),
            Effect.forever(
              Effect.andThen(
                Effect.suspend(() => routes.prepare(engine.store.all())),
                Effect.sleep(preparingMillis)
              )
            )
          ],
          { concurrency: "unbounded" }
        )
      ).pipe(Effect.andThen(Effect.never))

      /** Connection, lock, takeover, stream; fails when any of it does. */
      const turn = Effect.gen(function* () {
        const connection = yield* replication.connect
        yield* health.send("databaseUp")
        yield* Effect.raceFirst(lock.acquire(connection), getReady)
        yield* health.send("lockGranted")
        return yield* holdLock(connection)
      })

      /** From the lock to its loss. Whatever happens, this ends as a follower. */
      const holdLock = (connection: ReplicationConnection) =>
        Effect.scoped(
          Effect.gen(function* () {
            const began = engine.timers.nowMillis()
            const steps = new Steps(engine.timers.nowMillis)
            const runNow = Effect.runPromiseWith(yield* Effect.context<never>())
            // Storage and database have nothing to do with each other until both have been looked at.
            const sure = yield* Deferred.make<void>()
            const ensuring = yield* Effect.forkScoped(
              Effect.andThen(
                Deferred.await(sure),
                Effect.andThen(services.record.load, publication.ensureExists)
              )
            )
            const stillHeld = async () => {
              const held = await runNow(holdsLock(connection))
              if (held) Deferred.doneUnsafe(sure, Effect.void)
              return held
            }
            const taken = yield* Effect.acquireRelease(
              Effect.tryPromise({
                try: () => engine.takeOver(stillHeld, steps, () => runNow(confirmed(connection))),
                catch: (cause) =>
                  new StorageFailed({
                    message: writeProblem(
                      { variable: "ELECTRIC_STORAGE_DIR", path: config.storageDir },
                      cause
                    ).message
                  })
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
            const own = services.forSession()
            const session = yield* openSession({
              ...own,
              engine,
              maxShapes: config.maxShapes,
              prepared: routes,
              onDurable: () => connection.notifyDurable()
            })
            steps.done("session")
            const ensured = yield* Fiber.join(ensuring)
            steps.done("publication")
            yield* prepareSource(connection, session, ensured, steps)
            if (isCertain(fault)) return yield* getPast(connection, session, own.ancestors, fault)
            const supervisor = yield* makeSupervisor
            yield* supervisor.start(duties.lookAhead, services.lookAhead)
            const idle = yield* Deferred.make<TurnEnd>()
            yield* supervisor.start(duties.maintenance, maintainStorage(engine, config))
            yield* supervisor.start(duties.fence, watchStorage(engine, health, idle))
            const started = yield* Deferred.make<void>()
            const stream = replication.stream(connection, {
              sink: session.sink,
              fromLsn: streamFrom(passed, connection, engine.store.positionLsn),
              onStarted: Effect.gen(function* () {
                sessions.set(session)
                everActive = true
                yield* health.send("streamStarted")
                const takeoverMillis = engine.timers.nowMillis() - began
                metrics.takeovers++
                metrics.takeoverMillis = takeoverMillis
                steps.done("START_REPLICATION")
                yield* Effect.logDebug(`The takeover step by step: ${steps}`)
                yield* Effect.logInfo(
                  `Starting replication from postgres; active ${Math.round(takeoverMillis)} ms after the lock, with ${engine.store.count} shapes`
                )
                yield* Deferred.succeed(started, undefined)
              })
            })
            yield* supervisor.start(
              duties.tablesAndPublication,
              Effect.andThen(
                Deferred.await(started),
                services.whileActive(session, Effect.asVoid(Deferred.succeed(idle, "beginAnew")))
              )
            )
            if (config.replicationIdleTimeoutMillis !== undefined) {
              yield* supervisor.start(
                duties.idleTimeout,
                watchIdle(config.replicationIdleTimeoutMillis, services.lastTransactionMillis, engine, idle)
              )
            }
            const whileStreaming = Effect.raceFirst(stream, Deferred.await(idle)).pipe(
              Effect.tapError((error) =>
                Effect.sync(() => {
                  const { positionLsn } = engine.store
                  fault = afterStreamFailure(fault, error, session.sink.openTransaction, positionLsn)
                })
              ),
              Effect.tapError(noteLostSlot)
            )
            return yield* Effect.ensuring(
              Effect.raceFirst(whileStreaming, supervisor.died),
              handBack(connection, session)
            )
          })
        )

      /** In the journal, because the next holder of the lock may be another instance. */
      const noteLostSlot = (error: PgError) =>
        Effect.sync(() => {
          if (needsNewSlot(error)) engine.writing?.write({ t: "slotLost" })
        })

      /** The stream has stopped at the same change more than once: it goes on behind it. */
      const getPast = (
        connection: ReplicationConnection,
        session: RegistrySession,
        ancestors: (oid: number) => Effect.Effect<ReadonlyArray<number>>,
        certain: StreamFault
      ) =>
        passOverFault({ replication, store: engine.store, ancestors }, connection, session, certain).pipe(
          Effect.tapError(noteLostSlot),
          Effect.ensuring(handBack(connection, session)),
          Effect.map((lsn): TurnEnd => {
            const { systemId, timeline } = connection
            passed = { systemId, timeline, lsn }
            fault = undefined
            return "beginAnew"
          })
        )

      /** The connection, and the lock with it, is still there. No longer than a stopping instance may wait for an answer. */
      const holdsLock = (connection: ReplicationConnection) =>
        Effect.raceFirst(
          connection
            .query("SELECT")
            .pipe(Effect.timeout(lockCheckMillis), Effect.exit, Effect.map(Exit.isSuccess)),
          Effect.as(Deferred.await(stopping), false)
        )

      /** What the slot was told is safe, where storage goes on from it: storage that is not behind it has been read whole. */
      const confirmed = ({ query, systemId, timeline }: ReplicationConnection) => {
        const { source } = engine.store
        const isOurs = source?.systemId === systemId && source.timeline === timeline
        return isOurs && source.slot === config.slotName
          ? readSlot(query, config.slotName).pipe(
              Effect.timeout(lockCheckMillis),
              Effect.match({
                onFailure: () => undefined,
                onSuccess: (slot) => slot?.confirmedFlushLsn ?? undefined
              })
            )
          : Effect.succeed(undefined)
      }

      /** No more shapes; what was received is made durable and acknowledged; then the lock is free. */
      const handBack = (connection: ReplicationConnection, session: RegistrySession) =>
        Effect.gen(function* () {
          const steps = new Steps(engine.timers.nowMillis)
          sessions.set(undefined)
          yield* Effect.promise(() => session.sink.handBack()).pipe(Effect.timeoutOption(handBackMillis))
          steps.done("flush")
          yield* connection.close
          steps.done("close")
          yield* Effect.logDebug(`Giving the lock back step by step: ${steps}`)
        })

      /** Makes a new slot in place of one that Postgres has given up. */
      const usableSlot = (connection: ReplicationConnection) =>
        replication
          .ensureSlot(connection)
          .pipe(
            Effect.catchIf(needsNewSlot, ({ message }) =>
              Effect.logWarning(message).pipe(
                Effect.andThen(replication.dropSlot(connection)),
                Effect.andThen(replication.ensureSlot(connection))
              )
            )
          )

      const prepareSource = (
        connection: ReplicationConnection,
        session: RegistrySession,
        ensured: EnsuredPublication,
        steps: Steps
      ) =>
        Effect.gen(function* () {
          const { store } = engine
          // A slot of before does not go with a new publication: Postgres would fail to decode with it.
          if (store.slotIsLost || ensured.created) yield* replication.dropSlot(connection)
          const slot = yield* usableSlot(connection)
          steps.done("slot")
          const source = {
            systemId: connection.systemId,
            timeline: connection.timeline,
            slot: config.slotName
          }
          const reason = reasonToPurge({
            storedSource: store.source,
            source,
            shapes: store.count,
            publicationCreated: ensured.created,
            slotCreated: slot.created,
            confirmedFlushLsn: slot.confirmedFlushLsn,
            storedLsn: store.positionLsn
          })
          const stale =
            reason ?? (ensured.repaired ? "the publication did not carry all operations" : undefined)
          if (stale !== undefined) session.purge(stale)
          // What it was like before counts for shapes from before.
          services.record.begin(session.shapes)
          const stored = store.source
          const isNew =
            store.slotIsLost ||
            stored?.systemId !== source.systemId ||
            stored.timeline !== source.timeline ||
            stored.slot !== source.slot
          if (isNew) engine.writing?.write({ t: "source", ...source })
          session.sink.startAt(slot.confirmedFlushLsn)
          // What is as it was when the journal ended need not be on disk before the stream begins: nothing of the stream is
          // acknowledged before.
          if (isNew || stale !== undefined) {
            yield* Effect.promise(async () => {
              await engine.writer?.durable()
            })
          }
          steps.done("position")
        })

      /** The loop over turns. */
      const run = Effect.gen(function* () {
        if (!isLoaded) {
          yield* storage.load.pipe(Effect.mapError(({ message }) => new InstanceFailed({ message })))
          isLoaded = true
          yield* health.send("storageLoaded")
        }
        let failures = noFailures
        while (!isStopping(health.current())) {
          const began = engine.timers.nowMillis()
          const wasActive = () => health.current() === "active"
          const fiber = yield* Effect.forkChild(Effect.scoped(turn), { startImmediately: true })
          const exit = yield* Effect.raceFirst(
            Fiber.await(fiber),
            Effect.as(Deferred.await(stopping), undefined)
          )
          if (exit === undefined) {
            yield* Fiber.interrupt(fiber)
            break
          }
          if (Exit.isSuccess(exit)) {
            // Whoever was frozen may find that it is fenced off, and that nothing has happened for long, at the same moment.
            if (exit.value === "idle" && wasActive()) {
              yield* health.send("slept")
              yield* Effect.logInfo(
                "Closing all database connections: no changes for the idle time-out. The next request opens them again."
              )
              yield* Effect.raceFirst(
                health.awaitState((state) => state !== "asleep", "1000 weeks"),
                Deferred.await(stopping)
              )
            } else yield* health.send("lockLost")
            failures = noFailures
            continue
          }
          const streamed = wasActive() ? engine.timers.nowMillis() - began : 0
          failures = afterFailure(failures, streamed)
          const failure = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
          if (failure === undefined && Cause.hasInterruptsOnly(exit.cause)) break
          const delay = reconnectDelayMillis(failures)
          if (failure instanceof DutyDied) {
            yield* health.send("lockLost")
            if (failure.after === "endProcess") return yield* new InstanceFailed({ message: failure.message })
            yield* Effect.logInfo(`Reconnecting in ${delay}ms`)
          } else if (failure instanceof StorageFailed) {
            yield* health.send("storageFailed")
            yield* Effect.logWarning(
              `Storage cannot be taken over: ${failure.message}. The lock is given back, and this is tried again in ${delay} ms; shapes that exist are served, new ones cannot be made.`
            )
          } else {
            const error = failure ?? ownPgError("unknown", stumbled(exit.cause))
            yield* health.send(error.unreachable ? "databaseDown" : "lockLost")
            if (error.recovery === "fatal" && !everActive)
              return yield* new InstanceFailed({ message: error.message })
            yield* Effect.logWarning(
              failure === undefined || needsNewSlot(error)
                ? error.message
                : `Database connection in replication mode failed: ${error.message}`
            )
            yield* Effect.logInfo(`Reconnecting in ${delay}ms`)
          }
          yield* Effect.raceFirst(Effect.sleep(delay), Deferred.await(stopping))
        }
        if (health.current() === "releasing") yield* health.send("lockReleased")
      })

      let finished: Fiber.Fiber<void, InstanceFailed> | undefined
      return Instance.of({
        run: Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(run, { startImmediately: true })
          finished = fiber
          yield* Fiber.join(fiber)
        }),
        shutdown: Effect.gen(function* () {
          yield* health.send("shutdown")
          yield* Deferred.succeed(stopping, undefined)
          if (finished !== undefined) yield* Fiber.await(finished)
        })
      })
    })
  )
}

const lockGone = ownPgError(
  "connection_closed",
  "The connection with the lock was lost before this instance had taken over. It connects again and waits for its turn."
)

/** Without any, the parser of conditions is not worth its memory before the first one comes. */
const hasConditions = ({ store }: StorageEngine): boolean => {
  for (const shape of store.all()) if (shape.hasCondition) return true
  return false
}

const stumbled = (cause: Cause.Cause<unknown>): string =>
  `The instance stumbled: ${Cause.pretty(cause)}. It is tried again.`

const needsNewSlot = (error: PgError | StorageFailed): boolean =>
  error._tag === "PgError" && error.recovery === "recreateSlot"

const watchIdle = (
  timeoutMillis: number,
  lastTransactionMillis: () => number,
  { timers }: StorageEngine,
  ended: Deferred.Deferred<TurnEnd>
) =>
  Effect.gen(function* () {
    const began = timers.nowMillis()
    while (true) {
      yield* Effect.sleep(Math.min(timeoutMillis, 1000))
      if (timers.nowMillis() - Math.max(began, lastTransactionMillis()) >= timeoutMillis) {
        yield* Deferred.succeed(ended, "idle")
        return
      }
    }
  })
