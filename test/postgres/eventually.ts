import { Effect } from "effect"
import { patient } from "../../testing/Load.ts"

/** Waits for a condition, by the real clock; dies with what it waited for when the deadline, which grows with the load, passes. */
export const eventually = <E, R>(
  what: string,
  condition: Effect.Effect<boolean, E, R>,
  deadlineMillis = 10_000
): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const began = performance.now()
    while (!(yield* condition)) {
      if (performance.now() - began > patient(deadlineMillis)) {
        return yield* Effect.die(new Error(`Not true after ${deadlineMillis} ms: ${what}`))
      }
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 10)))
    }
  })
