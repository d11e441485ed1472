import { Deferred, Effect, Exit, Scope } from "effect"

/** One question among those that are dealt with together. */
export interface Asked<I, A, E> {
  readonly input: I
  /** Answers it; only the first answer counts. */
  readonly done: (exit: Exit.Exit<A, E>) => void
}

interface Waiting<I, A, E> extends Asked<I, A, E> {
  readonly answer: Deferred.Deferred<A, E>
}

/**
 * Deals with what is asked for at the same time together: what comes while `work` is busy waits for the next go, so that one who
 * asks alone does not wait, and many share what each of them would have to do. One go at a time, in the order of the asking, of at
 * most `most`. `work` may leave questions to be answered after it has ended, whatever becomes of it; when it fails, that is the
 * answer of those that have none.
 */
export class Gather<I, A, E> {
  private readonly scope: Scope.Scope
  private readonly work: (asked: ReadonlyArray<Asked<I, A, E>>) => Effect.Effect<unknown, E>
  private readonly most: number
  private waiting: Array<Waiting<I, A, E>> = []
  private isBusy = false

  constructor(
    scope: Scope.Scope,
    most: number,
    work: (asked: ReadonlyArray<Asked<I, A, E>>) => Effect.Effect<unknown, E>
  ) {
    this.scope = scope
    this.most = most
    this.work = work
  }

  /** One that goes away takes nothing from the others. */
  ask(input: I): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<A, E>()
      this.waiting.push({ input, answer, done: (exit) => void Deferred.doneUnsafe(answer, exit) })
      if (this.isBusy) return Deferred.await(answer)
      this.isBusy = true
      return Effect.andThen(Effect.forkIn(this.goOn, this.scope), Deferred.await(answer))
    })
  }

  private readonly goOn: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.waiting.splice(0, this.most)
    if (now.length === 0) {
      this.isBusy = false
      return Effect.void
    }
    return Effect.onExit(
      Effect.suspend(() => this.work(now)),
      (exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) for (const { done } of now) done(Exit.failCause(exit.cause))
        })
    ).pipe(Effect.exit, Effect.andThen(this.goOn))
  })
}

/** Of the scope of the Effect that asks. */
export const makeGather = <I, A, E>(
  most: number,
  work: (asked: ReadonlyArray<Asked<I, A, E>>) => Effect.Effect<unknown, E>
): Effect.Effect<Gather<I, A, E>, never, Scope.Scope> =>
  Effect.map(Scope.Scope, (scope) => new Gather(scope, most, work))
