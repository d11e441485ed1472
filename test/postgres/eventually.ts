import { Effect } from "effect"

/** Waits for a condition, by the real clock; dies with what it waited for when the deadline passes. */
export const eventually = <E, R>(
  what: string,
  condition: Effect.Effect<boolean, E, R>,
  deadlineMillis = 10_000
): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const deadline = Date.now() + deadlineMillis
    while (!(yield* condition)) {
      if (Date.now() > deadline) {
        return yield* Effect.die(new Error(`Not true after ${deadlineMillis} ms: ${what}`))
      }
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 10)))
    }
  })
