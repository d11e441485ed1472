import { mistake } from "../shared/GeneralFaults.ts"
import { tellFault } from "../shared/TellFault.ts"
import { Context, Duration, Effect, Layer, Option, Stream, SubscriptionRef } from "effect"
import { startActor } from "../shared/Actor.ts"
import { duties } from "./Duties.ts"
import { type HealthEvent, type HealthState, transition } from "./HealthState.ts"

/**
 * The state of this instance: an actor that is told what happens by those of lock and stream, by storage and by the instance,
 * and that everybody reads. See `HealthState.ts` for the table.
 */
export class HealthRef extends Context.Service<
  HealthRef,
  {
    /** The state now, without an Effect: for request handlers. */
    readonly current: () => HealthState
    readonly get: Effect.Effect<HealthState>
    /**
     * Applies an event and returns the state after it. An event that cannot happen in the present state is logged and
     * changes nothing.
     */
    readonly send: (event: HealthEvent) => Effect.Effect<HealthState>
    /** What an operator has to mend before this instance can go on, as long as it is so: then it answers 503 as well. */
    readonly failure: () => string | undefined
    readonly setFailure: (message: string | undefined) => Effect.Effect<void>
    /** The present state first, then every change of it. */
    readonly changes: Stream.Stream<HealthState>
    /** The first state, the present one included, that `accepts` holds for; `None` when there was none in time. */
    readonly awaitState: (
      accepts: (state: HealthState) => boolean,
      timeout: Duration.Input
    ) => Effect.Effect<Option.Option<HealthState>>
  }
>()("baton/health/HealthRef") {
  /** Begins in `starting`. */
  static readonly layer = Layer.effect(
    HealthRef,
    Effect.gen(function* () {
      const ref = yield* SubscriptionRef.make<HealthState>("starting")
      const actor = yield* startActor(duties.healthRef)

      const apply = Effect.fnUntraced(function* (event: HealthEvent) {
        const [before, after] = yield* SubscriptionRef.modify(ref, (state) => {
          const next = transition(state, event)
          return [[state, next] as const, next ?? state]
        })
        if (after === null) {
          yield* tellFault(mistake, {
            message:
              `The event ${event} cannot happen while this instance is ${before}; it was ignored. ` +
              "This is a bug in Baton, please report it. The service goes on."
          })
          return before
        }
        if (after !== before) yield* Effect.logInfo(`Health: ${before} -> ${after} (${event})`)
        return after
      })

      let failure: string | undefined
      return HealthRef.of({
        ...observed(ref),
        send: (event) => actor.ask(apply(event)),
        failure: () => failure,
        setFailure: (message) => actor.ask(Effect.sync(() => void (failure = message)))
      })
    })
  )
}

/** What can be seen of a state that somebody else sets. */
export const observed = (
  ref: SubscriptionRef.SubscriptionRef<HealthState>
): Omit<HealthRef["Service"], "send" | "failure" | "setFailure"> => {
  const changes = Stream.changes(SubscriptionRef.changes(ref))
  return {
    current: () => SubscriptionRef.getUnsafe(ref),
    get: SubscriptionRef.get(ref),
    changes,
    awaitState: (accepts, timeout) =>
      Effect.suspend(() => {
        const now = SubscriptionRef.getUnsafe(ref)
        return accepts(now)
          ? Effect.succeed(Option.some(now))
          : Effect.map(
              Effect.timeoutOption(Stream.runHead(Stream.filter(changes, accepts)), timeout),
              Option.flatten
            )
      })
  }
}
