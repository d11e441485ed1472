import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { faultEnded, reportFault } from "../telemetry/faults/ReportFault.ts"
import { failureCode } from "./FailureCode.ts"
import { Cause, Deferred, Effect, Exit, Layer, Option } from "effect"
import { duties } from "../health/Duties.ts"
import { startDuty } from "../shared/Duty.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { isStopping } from "../health/HealthState.ts"
import { ShapeApi } from "../http/shape/ShapeApi.ts"
import { firstRetryMillis, longestRetryMillis, provenMillis, sayAgainMillis } from "./InstanceTimings.ts"
import { Instance, InstanceFailed } from "./Instance.ts"
import { nowMillis } from "../shared/Timers.ts"

export interface InstanceInBackgroundOptions<R = never> {
  /**
   * Called when the instance meets what somebody has to mend (a wrong password, `wal_level`, a storage directory that
   * cannot be used) before it has ever been active, and again when that comes back after it was gone. Every attempt after
   * it says nothing until one succeeds.
   */
  readonly onFailure?: (error: InstanceFailed) => Effect.Effect<void, never, R>
  /** Called when what `onFailure` told of is mended. */
  readonly onHealed?: Effect.Effect<void, never, R>
}

/** What an attempt that ended asks an operator to do; `undefined` when it was asked to end. */
const failureOf = (exit: Exit.Exit<void, InstanceFailed>): InstanceFailed | undefined => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return undefined
  return Option.getOrElse(
    Cause.findErrorOption(exit.cause),
    () =>
      new InstanceFailed({
        reason: "mistake",
        cause: Cause.squash(exit.cause),
        message: `The instance ended by a mistake in Baton, please report it: ${Cause.pretty(exit.cause)}`
      })
  )
}

/**
 * Runs the instance beside a server of your own, for as long as the layer lives: it waits for the lock, takes over and
 * streams. When the layer is released the lock is given back first, which takes milliseconds, and replies ask their
 * clients to connect elsewhere. Provide the server to this layer, so that it is released after it and open requests are
 * answered from the successor's journal.
 *
 * What an operator has to mend (a wrong password, `wal_level`) is logged and told to `onFailure`, `/v1/health` says 503
 * `failed`, and the API goes on with the shapes that storage holds. It is tried again, after a second at first and then
 * every ten, so what is mended in the database heals by itself; what is wrong in the configuration needs a new start. Run
 * `Instance.run` yourself where a failure should end the process instead.
 */
export const instanceInBackgroundWith = <R = never>(
  options: InstanceInBackgroundOptions<R>
): Layer.Layer<never, never, Instance | ShapeApi | HealthRef | R> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const instance = yield* Instance
      const health = yield* HealthRef
      const api = yield* ShapeApi
      const context = yield* Effect.context<R>()
      const stopped = yield* Deferred.make<void>()
      const tell = (effect: Effect.Effect<void, never, R> = Effect.void) =>
        effect.pipe(
          Effect.provideContext(context),
          Effect.catchCause((cause) =>
            reportFault("BATON-HOST-CALLBACK", {
              message: "What this program does when Baton fails has failed itself.",
              cause
            })
          )
        )

      let said: { readonly message: string; readonly atMillis: number; readonly code: FaultCode } | undefined
      const failed = Effect.fnUntraced(function* (error: InstanceFailed) {
        const isNew = health.failure() === undefined
        yield* health.setFailure(error.message)
        const now = yield* nowMillis
        if (said?.message !== error.message || now - said.atMillis > sayAgainMillis) {
          const code = failureCode(error.cause)
          if (said !== undefined && said.code !== code)
            yield* faultEnded(said.code, { about: "instance", quietly: true })
          said = { message: error.message, atMillis: now, code }
          yield* reportFault(code, {
            message: `${error.message} Until then /v1/health says 503; it is tried again every ${longestRetryMillis / 1000} s.`,
            about: "instance"
          })
        }
        if (isNew) yield* tell(options.onFailure?.(error))
      })

      const healed = Effect.gen(function* () {
        if (health.failure() === undefined) return
        yield* health.setFailure(undefined)
        if (said !== undefined) yield* faultEnded(said.code, { about: "instance", quietly: true })
        said = undefined
        yield* Effect.logInfo("What had to be mended is mended.")
        yield* tell(options.onHealed)
      })
      /** Waiting for the lock is as good as active: the database was reached, and nothing was found wrong with it. */
      const proven: Effect.Effect<void> = Effect.gen(function* () {
        const active = yield* health.awaitState((state) => state === "active", provenMillis)
        if (Option.isNone(active) && health.current() !== "waiting") yield* proven
      })

      const loop = Effect.gen(function* () {
        let delayMillis = firstRetryMillis
        while (true) {
          const exit = yield* Effect.exit(
            Effect.raceFirst(instance.run, Effect.andThen(Effect.andThen(proven, healed), Effect.never))
          )
          const failure = failureOf(exit)
          if (failure === undefined || isStopping(health.current())) return
          // Whatever was held is gone with the attempt.
          yield* health.send("lockLost")
          if (health.failure() === undefined) delayMillis = firstRetryMillis
          yield* failed(failure)
          yield* Effect.raceFirst(Effect.sleep(delayMillis), Deferred.await(stopped))
          delayMillis = Math.min(delayMillis * 2, longestRetryMillis)
        }
      })
      yield* startDuty(duties.instanceInBackground, loop)
      yield* Effect.addFinalizer(() =>
        Effect.andThen(
          Deferred.succeed(stopped, undefined),
          Effect.andThen(api.beginDrain, instance.shutdown)
        )
      )
    })
  )

/** The same, for a program that looks at its log and at `/v1/health`. */
export const instanceInBackground: Layer.Layer<never, never, Instance | ShapeApi | HealthRef> =
  instanceInBackgroundWith({})
