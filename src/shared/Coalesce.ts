import { Deferred, Effect, type Exit, Scope } from "effect"
import { nowMillis } from "./Timers.ts"

/** The result of shared work, and whether this caller joined work that had begun before it asked. */
interface Flight<A> {
  readonly value: A
  readonly joined: boolean
}

/**
 * Runs work at most once at a time per key: a caller that asks while it runs gets its result. It belongs to the scope, or where
 * there is none to nobody, and never to its first caller: one that goes away does not take it from the others.
 */
export class SingleFlight<A, E> {
  private readonly scope: Scope.Scope | undefined
  private readonly underWay = new Map<string, Deferred.Deferred<A, E>>()

  constructor(scope?: Scope.Scope) {
    this.scope = scope
  }

  /** How many run now. */
  get running(): number {
    return this.underWay.size
  }

  has(key: string): boolean {
    return this.underWay.has(key)
  }

  join(key: string, work: Effect.Effect<A, E>): Effect.Effect<Flight<A>, E> {
    return Effect.suspend(() => {
      const other = this.underWay.get(key)
      if (other !== undefined) return Effect.map(Deferred.await(other), (value) => ({ value, joined: true }))
      const deferred = Deferred.makeUnsafe<A, E>()
      this.underWay.set(key, deferred)
      const run = Effect.exit(
        Effect.onExit(work, (exit) =>
          Effect.sync(() => {
            this.underWay.delete(key)
            Deferred.doneUnsafe(deferred, exit)
          })
        )
      )
      return Effect.andThen(
        this.scope === undefined ? Effect.forkDetach(run, atOnce) : Effect.forkIn(run, this.scope, atOnce),
        Effect.map(Deferred.await(deferred), (value) => ({ value, joined: false }))
      )
    })
  }
}

const atOnce = { startImmediately: true }

/** Of the scope of the Effect that asks. */
export const makeSingleFlight = <A, E>(): Effect.Effect<SingleFlight<A, E>, never, Scope.Scope> =>
  Effect.map(Scope.Scope, (scope) => new SingleFlight<A, E>(scope))

/**
 * A question that many ask at once, and whose answer must not be older than the asking: those who ask while it is being
 * answered share the next answer. There is one look at a time. `pause`: what is waited for before a look begins.
 */
export class FreshLook<A> {
  private readonly look: () => Promise<A>
  private readonly pause: () => Promise<void> | undefined
  private running: Promise<void> | undefined
  private waiting: Promise<A> | undefined

  constructor(look: () => Promise<A>, pause: () => Promise<void> | undefined = () => undefined) {
    this.look = look
    this.pause = pause
  }

  ask(): Promise<A> {
    if (this.waiting !== undefined) return this.waiting
    const ready = this.running === undefined ? this.pause() : this.running.then(this.pause)
    if (ready === undefined) return this.begin()
    this.waiting = ready.then(() => {
      this.waiting = undefined
      return this.begin()
    })
    return this.waiting
  }

  private begin(): Promise<A> {
    const result = this.look()
    const over = () => {
      if (this.running === running) this.running = undefined
    }
    const running = result.then(over, over)
    this.running = running
    return result
  }
}

/**
 * `FreshLook` of an Effect. However many ask, there is at most one look in `spacingMillis`: nobody can make it a storm by
 * asking again and again, and a single caller does not wait. A look runs to its end even if nobody waits for it any longer.
 */
export const makeFreshLook = <A, E>(look: Effect.Effect<A, E>, spacingMillis = 0): Effect.Effect<A, E> => {
  let run: <B>(effect: Effect.Effect<B>) => Promise<B> = Effect.runPromise
  let lastBeganMillis = -Infinity
  const begun = Effect.andThen(
    Effect.map(nowMillis, (now) => {
      lastBeganMillis = now
    }),
    Effect.exit(look)
  )
  const spaced = Effect.flatMap(nowMillis, (now) => {
    const pause = lastBeganMillis + spacingMillis - now
    return pause > 0 ? Effect.sleep(pause) : Effect.void
  })
  const shared = new FreshLook<Exit.Exit<A, E>>(
    () => run(begun),
    () => (spacingMillis === 0 || lastBeganMillis === -Infinity ? undefined : run(spaced))
  )
  return Effect.flatMap(Effect.context<never>(), (context) =>
    Effect.flatten(
      // It never rejects: it gives an exit.
      Effect.promise(() => {
        run = Effect.runPromiseWith(context)
        return shared.ask()
      })
    )
  )
}
