import { Deferred, Effect, Exit } from "effect"
import { nowMillis } from "./Timers.ts"

/**
 * Shares a look at something that may have changed: whoever asks gets the outcome of a look that began after they asked.
 * However many ask, there is one look at a time, and at most one in `spacingMillis`; so nobody can make it a storm by asking
 * again and again, and whoever is alone does not wait.
 */
export const makeFreshLook = <A, E>(look: Effect.Effect<A, E>, spacingMillis = 0): Effect.Effect<A, E> => {
  let waiting: Deferred.Deferred<A, E> | undefined
  let running: Effect.Effect<unknown> = Effect.void
  let lastBeganMillis = -Infinity

  /** Runs to its end even if nobody waits for it any longer: others may have joined. */
  const begin = (answer: Deferred.Deferred<A, E>) =>
    Effect.gen(function* () {
      yield* running
      const pause = lastBeganMillis + spacingMillis - (yield* nowMillis)
      if (pause > 0) yield* Effect.sleep(pause)
      lastBeganMillis = yield* nowMillis
      waiting = undefined
      const done = Deferred.makeUnsafe<void>()
      running = Deferred.await(done)
      yield* Effect.onExit(look, (exit) =>
        Effect.sync(() => {
          Deferred.doneUnsafe(done, Exit.void)
          Deferred.doneUnsafe(answer, exit)
        })
      )
    })

  return Effect.suspend(() => {
    if (waiting !== undefined) return Deferred.await(waiting)
    const answer = Deferred.makeUnsafe<A, E>()
    waiting = answer
    return Effect.andThen(
      Effect.forkDetach(Effect.exit(begin(answer)), { startImmediately: true }),
      Deferred.await(answer)
    )
  })
}
