import { Cause, Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import { type DutyDied, type DutyPolicy, reportDeath } from "./Duty.ts"

/**
 * A fiber that owns a state, and does what it is asked to do, one message after the other. Others read the state, and ask
 * for changes of it; they make none.
 *
 * A message that comes while the fiber has nothing else to do is handled at once, on the stack of the caller: between an
 * actor and its supervisor nothing waits for the event loop. That is why the inbox is no `Queue`, whose readers are woken by
 * the scheduler.
 */
export interface Actor {
  /**
   * Completes with what comes of the message. A caller that is interrupted meanwhile takes the message back: it is never begun, or
   * is interrupted. After the end of the actor there is no state to guard, and messages are handled by their senders.
   */
  readonly ask: <A, E, R>(message: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Never succeeds. A message that ends by a mistake (a defect) is the death of the actor: the cause goes to the log, and the
   * next message begins another life. Where the policy says that its supervisor cannot go on, this fails; supervisors race
   * their work with it.
   */
  readonly died: Effect.Effect<never, DutyDied>
}

/** A message in the inbox. */
interface Letter {
  /** What comes of it; for the actor's fiber. */
  readonly handled: Effect.Effect<Exit.Exit<unknown, unknown>>
  readonly answer: (exit: Exit.Exit<unknown, unknown>) => void
}

/** A letter, and what takes it back: that completes when nothing is done for it any more. */
const letterOf = <A, E>(
  message: Effect.Effect<A, E>,
  resume: (exit: Effect.Effect<A, E>) => void
): Letter & { readonly takeBack: Effect.Effect<void> } => {
  let isTakenBack = false
  let under: Fiber.Fiber<A, E> | undefined
  const answer = resume as Letter["answer"]
  const takeBack = Effect.suspend(() => {
    isTakenBack = true
    return under === undefined ? Effect.void : Fiber.interrupt(under)
  })
  const handled = Effect.suspend(() => {
    if (isTakenBack) return Effect.succeed(Exit.interrupt())
    return Effect.flatMap(Effect.forkChild(message, { startImmediately: true }), (fiber) => {
      under = fiber
      return Effect.onInterrupt(
        Effect.andThen(isTakenBack ? takeBack : Effect.void, Fiber.await(fiber)),
        () =>
          Effect.andThen(
            takeBack,
            Effect.sync(() => answer(Exit.interrupt()))
          )
      )
    })
  })
  return { handled, answer, takeBack }
}

/** Starts an actor, which lives as long as the scope is open. */
export const startActor = Effect.fnUntraced(function* (
  policy: DutyPolicy<"beginAgain" | "endTurn" | "endProcess">
): Effect.fn.Return<Actor, never, Scope.Scope> {
  const inbox: Array<Letter> = []
  let isOver = false
  let wake: ((letter: Letter) => void) | undefined
  let death = Deferred.makeUnsafe<never, DutyDied>()

  const next = Effect.callback<Letter>((resume) => {
    const first = inbox.shift()
    if (first !== undefined) return resume(Effect.succeed(first))
    wake = (letter) => {
      wake = undefined
      resume(Effect.succeed(letter))
    }
    return Effect.sync(() => (wake = undefined))
  })

  /** The supervisor hears of it before the caller does. */
  const die = (cause: Cause.Cause<unknown>) =>
    Effect.map(reportDeath(policy, cause), (died) => {
      if (died === undefined) return
      const told = death
      death = Deferred.makeUnsafe()
      Deferred.doneUnsafe(told, Effect.fail(died))
    })

  const live = Effect.gen(function* () {
    while (true) {
      const letter = yield* next
      const exit = yield* letter.handled
      if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) yield* die(exit.cause)
      letter.answer(exit)
    }
  })

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isOver = true
      for (const { answer } of inbox.splice(0)) answer(Exit.interrupt())
    })
  )
  yield* Effect.forkScoped(live, { startImmediately: true })

  return {
    died: Effect.suspend(() => Deferred.await(death)),
    ask: <A, E, R>(message: Effect.Effect<A, E, R>) =>
      Effect.flatMap(Effect.context<R>(), (context) =>
        isOver
          ? message
          : Effect.callback<A, E>((resume) => {
              const letter = letterOf(Effect.provideContext(message, context), resume)
              if (wake === undefined) inbox.push(letter)
              else wake(letter)
              return letter.takeBack
            })
      )
  }
})
