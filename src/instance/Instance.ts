import { Context, Deferred, Effect, Fiber, Layer, MutableRef, Schema } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { isStopping } from "../health/HealthState.ts"
import { afterFailure, noFailures, reconnectDelayMillis } from "../replication/ReconnectPolicy.ts"
import { StreamActor } from "../replication/StreamActor.ts"
import { currentTimers, nowMillis } from "../shared/Timers.ts"
import { Storage } from "../storage/Storage.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { LockActor } from "../lock/LockActor.ts"
import { StorageLevels } from "./duties/StorageLevels.ts"
import { type AfterTurn, afterTurn, failureReasons } from "./AfterTurn.ts"
import { handedOverMillis, sayAgainMillis } from "./InstanceTimings.ts"
import { TurnFaults } from "./TurnFaults.ts"
import { initialState, makeTurn, remember } from "./Turn.ts"

/** The service cannot run as it is configured. It ends; start it again when the cause is removed. */
export class InstanceFailed extends Schema.TaggedError<InstanceFailed>()("InstanceFailed", {
  /**
   * `storage`: its directory cannot be used; `database`: a `PgError` that does not pass; `dutyDied`: nothing looks after the
   * lock any more; `mistake`: one in Baton.
   */
  reason: Schema.Literals(failureReasons),
  message: Schema.String,
  /** The error that it comes from. */
  cause: Schema.Defect()
}) {}

/** Whether a warning is to be said: one that comes again and again, because something `lasts`, only now and then. */
const makeNews = () => {
  let said: { readonly warning: string; readonly atMillis: number } | undefined
  return (warning: string, lasts: boolean | undefined): Effect.Effect<boolean> =>
    Effect.map(nowMillis, (atMillis) => {
      const isKnown = said?.warning === warning && atMillis - said.atMillis < sayAgainMillis
      if (!isKnown) said = lasts === true ? { warning, atMillis } : undefined
      return !isKnown
    })
}

/** Tells the operator why a turn has ended, and whoever asks of a stream that has run why it does not any more. */
const makeTeller = Effect.fnUntraced(function* (faults: TurnFaults) {
  const { stream } = yield* Metrics
  const { epochMillis } = yield* currentTimers
  const isNews = makeNews()
  return ({ code, lasts, unreachable, warning }: Extract<AfterTurn, { readonly _tag: "Pause" }>) =>
    Effect.gen(function* () {
      if (warning === undefined) return
      if (stream.report !== undefined) stream.set("ended", epochMillis(), { cause: code, message: warning })
      if (yield* isNews(warning, lasts)) yield* faults.tell(code, warning, unreachable === true)
    })
})

/**
 * One instance from start to stop: reads storage, waits for the lock, takes over, streams, and goes back to waiting
 * whenever lock or database are lost. `run` ends only when it must not be tried again, or after `shutdown`.
 *
 * It supervises, and nothing else: `TurnOrder.ts` has the order in which the actors start and stop, `AfterTurn.ts` what the end
 * of a turn means, `health/Duties.ts` what the death of each duty means.
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
      const health = yield* HealthRef
      const storage = yield* Storage
      const replication = yield* StreamActor
      const stopping = yield* Deferred.make<void>()
      const state = MutableRef.make(initialState)
      const faults = new TurnFaults()
      const turn = yield* makeTurn(state, stopping, faults)

      const isReplica = (yield* Config).role === "replica"
      const load = Effect.gen(function* () {
        if (MutableRef.get(state).isLoaded) return
        yield* storage.load.pipe(
          Effect.mapError((cause) => new InstanceFailed({ reason: "storage", message: cause.message, cause }))
        )
        remember(state, { isLoaded: true })
        yield* health.send(isReplica ? "replicates" : "storageLoaded")
      })

      const awaitWaking = Effect.raceFirst(
        health.awaitState((now) => now !== "asleep", "1000 weeks"),
        Deferred.await(stopping)
      )

      const told = yield* makeTeller(faults)

      /** The loop over turns. */
      const run = Effect.gen(function* () {
        yield* load
        // It has no turns: storage is followed by itself.
        if (isReplica) return yield* Deferred.await(stopping)
        let failures = noFailures
        while (!isStopping(health.current())) {
          const fiber = yield* Effect.forkChild(Effect.scoped(turn), { startImmediately: true })
          const exit = yield* Effect.raceFirst(
            Fiber.await(fiber),
            Effect.as(Deferred.await(stopping), undefined)
          )
          if (exit === undefined) {
            yield* Fiber.interrupt(fiber)
            break
          }
          const stream = yield* replication.state
          const failed = afterFailure(failures, stream._tag === "disconnected" ? stream.streamedMillis : 0)
          const delayMillis = reconnectDelayMillis(failed)
          const wasActive = health.current() === "active"
          const next = afterTurn(exit, { ...MutableRef.get(state), wasActive, delayMillis })
          if (next._tag === "Stop") break
          yield* health.send(next.event)
          if (next._tag === "Fail") {
            return yield* new InstanceFailed({
              reason: next.reason,
              message: next.message,
              cause: next.cause
            })
          }
          if (next._tag === "Pause") {
            failures = failed
            yield* told(next)
            if (next.isConnecting) yield* Effect.logInfo(`Reconnecting in ${delayMillis}ms`)
            yield* Effect.raceFirst(Effect.sleep(delayMillis), Deferred.await(stopping))
            continue
          }
          failures = noFailures
          if (next._tag === "Yield")
            yield* Effect.raceFirst(Effect.sleep(handedOverMillis), Deferred.await(stopping))
          if (next._tag === "Sleep") {
            yield* Effect.logInfo(
              "Closing all database connections: no changes for the idle time-out. The next request opens them again."
            )
            yield* awaitWaking
          }
        }
        // It had nothing to give back any more when it was asked to stop.
        if (health.current() === "releasing") yield* health.send("lockReleased")
      })

      const levels = yield* StorageLevels
      const tooNew = Effect.mapError(
        levels.tooNew,
        (cause) => new InstanceFailed({ reason: "storage", message: cause.message, cause })
      )
      const running = MutableRef.make<Fiber.Fiber<void, InstanceFailed> | undefined>(undefined)
      return Instance.of({
        run: Effect.gen(function* () {
          const looped = Effect.raceFirst(run, tooNew)
          const fiber = yield* Effect.forkChild(looped, { startImmediately: true })
          MutableRef.set(running, fiber)
          yield* Fiber.join(fiber)
        }),
        shutdown: Effect.fn("Instance.shutdown")(function* () {
          yield* health.send("shutdown")
          yield* Deferred.succeed(stopping, undefined)
          const fiber = MutableRef.get(running)
          if (fiber !== undefined) yield* Fiber.await(fiber)
        })()
      })
    })
  ).pipe(Layer.provide([LockActor.layer, StreamActor.layer, StorageLevels.layer]))
}
