import { Deferred, Effect, Fiber, Option } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { duties } from "../health/Duties.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { HttpServer } from "../http/node/HttpServer.ts"
import { makeSupervisor } from "../shared/Duty.ts"
import { nowMillis } from "../shared/Timers.ts"
import { lastAnswersMillis } from "./InstanceTimings.ts"
import { Instance, InstanceFailed } from "./Instance.ts"

/**
 * Runs an instance until it is asked to stop, then drains it: the lock is given back first, open requests are answered
 * from the successor's journal for as long as the grace period lasts, keep-alive connections end with their response.
 * Fails when the instance cannot run at all.
 */
export const runUntil = <R>(
  stop: Effect.Effect<void, never, R>
): Effect.Effect<void, InstanceFailed, Config | HealthRef | HttpServer | Instance | R> =>
  Effect.gen(function* () {
    const config = yield* Config
    const health = yield* HealthRef
    const server = yield* HttpServer
    const instance = yield* Instance
    const failed = yield* Deferred.make<never, InstanceFailed>()
    const supervisor = yield* makeSupervisor
    yield* supervisor.start(
      duties.instance,
      instance.run.pipe(Effect.catch((error) => Effect.asVoid(Deferred.fail(failed, error)))),
      { startImmediately: true }
    )
    yield* Effect.raceAllFirst([
      stop,
      Deferred.await(failed),
      Effect.mapError(
        supervisor.died,
        (cause) => new InstanceFailed({ reason: "dutyDied", message: cause.message, cause })
      )
    ])
    const began = yield* nowMillis
    const drain = yield* Effect.forkChild(server.beginDrain, { startImmediately: true })
    yield* instance.shutdown
    yield* Effect.logInfo(
      `Stopping: the lock is free after ${Math.round((yield* nowMillis) - began)} ms, ${server.running()} requests are still open`
    )
    yield* Fiber.join(drain)
    const idle = yield* Effect.timeoutOption(server.awaitIdle, config.shutdownGraceMillis)
    if (Option.isNone(idle)) {
      yield* server.expireHeld
      yield* Effect.timeoutOption(server.awaitIdle, lastAnswersMillis)
      yield* Effect.logInfo(
        `The grace period is over: ${server.running()} requests are cut off and go elsewhere`
      )
    }
    return health
  }).pipe(
    Effect.scoped,
    Effect.flatMap((health) => health.send("drained")),
    Effect.asVoid
  )
