import { Effect } from "effect"
import { othersTurn } from "./OthersTurn.ts"
import type { Timers } from "./Timers.ts"

/** Pauses between pieces of work, for those who run it to do something else. */
export type Pieces<A = void> = Generator<undefined, A, undefined>

/**
 * Does the work, and whenever it has taken so long everything else gets its turn. What takes less is done when this has been run
 * for the first time. Where it is interrupted the work ends with its piece.
 */
export const inTurns = <A>(
  work: Pieces<A>,
  { nowMillis }: Pick<Timers, "nowMillis">,
  turnMillis: number
): Effect.Effect<A> =>
  Effect.suspend(() => {
    const until = nowMillis() + turnMillis
    do {
      const step = work.next()
      if (step.done === true) return Effect.succeed(step.value)
    } while (nowMillis() < until)
    return Effect.flatMap(othersTurn, () => inTurns(work, { nowMillis }, turnMillis))
  })
