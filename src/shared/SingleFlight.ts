import { Deferred, Effect, type Scope } from "effect"

/** The result of shared work, and whether this caller joined work that had begun before it asked. */
interface Flight<A> {
  readonly value: A
  readonly joined: boolean
}

/** The work belongs to the key: whoever asks while it runs gets its result. */
export type SingleFlight<A, E> = (key: string, work: Effect.Effect<A, E>) => Effect.Effect<Flight<A>, E>

/**
 * Runs work at most once at a time per key: whoever asks while it runs gets its result. It belongs to the scope and not
 * to its first caller, so a caller that goes away does not take it from the others.
 */
export const makeSingleFlight = <A, E>(): Effect.Effect<SingleFlight<A, E>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const underWay = new Map<string, Deferred.Deferred<A, E>>()
    return (key, work) =>
      Effect.suspend(() => {
        const other = underWay.get(key)
        if (other !== undefined) {
          return Effect.map(Deferred.await(other), (value) => ({ value, joined: true }))
        }
        const deferred = Deferred.makeUnsafe<A, E>()
        underWay.set(key, deferred)
        const run = Effect.onExit(work, (exit) =>
          Effect.sync(() => {
            underWay.delete(key)
            Deferred.doneUnsafe(deferred, exit)
          })
        )
        return Effect.andThen(
          Effect.forkIn(Effect.exit(run), scope, { startImmediately: true }),
          Effect.map(Deferred.await(deferred), (value) => ({ value, joined: false }))
        )
      })
  })
