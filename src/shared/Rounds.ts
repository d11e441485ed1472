import { Deferred, Effect } from "effect"

/**
 * Runs `work` for everybody who asks, in rounds: whoever asks gets a round that begins after that, and those who ask
 * while one is under way share the next one. So however many ask, one round runs at a time.
 */
export const makeRounds = (work: Effect.Effect<void>): Effect.Effect<void> => {
  let current: Deferred.Deferred<void> | undefined
  let next: Deferred.Deferred<void> | undefined

  const begin = (round: Deferred.Deferred<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      current = round
      return Effect.onExit(work, (exit) =>
        Effect.suspend(() => {
          current = undefined
          const following = next
          next = undefined
          Deferred.doneUnsafe(round, exit)
          return following === undefined ? Effect.void : Effect.asVoid(Effect.forkDetach(begin(following)))
        })
      )
    })

  return Effect.suspend(() => {
    if (current !== undefined) return Deferred.await((next ??= Deferred.makeUnsafe()))
    const round = Deferred.makeUnsafe<void>()
    // Detached: a client that goes away must not take the round from the others.
    return Effect.andThen(Effect.forkDetach(begin(round), { startImmediately: true }), Deferred.await(round))
  })
}
