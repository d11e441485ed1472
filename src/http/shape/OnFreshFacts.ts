import { Effect } from "effect"
import { alteredPauseMillis, retryAfterSeconds } from "../HttpTimings.ts"
import { type Failure, unavailable } from "../reply/Failures.ts"

/**
 * A request cannot be answered on what is remembered of the database: something is not as it was. It is answered once more,
 * on what the catalogue says now.
 */
export interface Outdated {
  readonly _tag: "Outdated"
  readonly what: "table" | "condition"
  /** The answer if it is still so then; without one the client is to come back in a moment. */
  readonly otherwise: Failure
}

/** Which facts a request is answered on: those that are remembered, or what has changed read anew. */
export type Facts = "remembered" | "table" | "condition"

const changing = unavailable("The table is being changed. Please try again.", retryAfterSeconds.aMoment)

export const outdatedTable: Outdated = { _tag: "Outdated", what: "table", otherwise: changing }

/** Postgres refuses a condition that was found to be right. */
export const outdatedCondition = (refusal: Failure): Outdated => ({
  _tag: "Outdated",
  what: "condition",
  otherwise: refusal
})

const attempts = 3

/**
 * Answers a request on what is remembered, and again on fresh facts when they turn out to be outdated. So no client is told
 * to fetch anew because of what this instance has not noticed yet: it gets what there is now, or is refused for good. A
 * table that changes all the time is a 503 in the end.
 */
export const onFreshFacts = <A, R>(
  answer: (facts: Facts) => Effect.Effect<A, Failure | Outdated, R>
): Effect.Effect<A, Failure, R> => {
  const attempt = (facts: Facts, left: number): Effect.Effect<A, Failure, R> =>
    Effect.catch(answer(facts), (error) => {
      if (error._tag === "Failure") return Effect.fail(error)
      // What was read for this very request is not read again for the same reason.
      const isFinal = left === 0 || (facts === "condition" && error.what === "condition")
      if (isFinal) return Effect.fail(error.otherwise)
      const next = attempt(facts === "condition" ? facts : error.what, left - 1)
      return facts === "remembered" ? next : Effect.andThen(Effect.sleep(alteredPauseMillis), next)
    })
  return attempt("remembered", attempts - 1)
}
