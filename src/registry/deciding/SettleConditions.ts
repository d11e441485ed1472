import { Effect } from "effect"
import { leastAskedMillis, probeMillis } from "../RegistryTimings.ts"

/** What Postgres says about a group of conditions. */
export type Answer =
  /** `isTrue` tells of row `row` whether it meets the `nth` condition of the group. */
  | { readonly _tag: "Answered"; readonly isTrue: (row: number, nth: number) => boolean }
  /** Some condition fails for some row. */
  | { readonly _tag: "Failed"; readonly message: string }
  | { readonly _tag: "TooSlow" }

/** What has become of the conditions, by their numbers. */
interface Settled {
  readonly answered: (
    conditions: ReadonlyArray<number>,
    isTrue: (row: number, nth: number) => boolean
  ) => void
  readonly failed: (condition: number, message: string) => void
  readonly tooSlow: (condition: number) => void
}

/** Conditions in one statement: planning them takes its time too. */
const mostConditions = 500

interface Group {
  readonly conditions: ReadonlyArray<number>
  /** For so long it may be asked. */
  readonly millis: number
}

/** The conditions in groups of a size that one statement takes, the last group first. */
const groupsOf = (count: number, millis: number): Array<Group> => {
  const groups: Array<Group> = []
  for (let from = 0; from < count; from += mostConditions) {
    const length = Math.min(mostConditions, count - from)
    groups.unshift({ conditions: Array.from({ length }, (_, i) => from + i), millis })
  }
  return groups
}

/**
 * Asks about conditions `0 .. count`, all in one statement where nothing is wrong with any of them. Where something is,
 * the statement is not asked for fewer rows but for fewer conditions, until it is known which ones fail or are slow: a
 * condition that fails for one row costs its shape, whatever it says of the others. Those that come first are asked first:
 * let them be the ones that have been there for longest.
 *
 * Ends within what `leftMillis` says: conditions that have not been settled by then are too slow. A statement for all of
 * them may take `firstMillis`.
 */
export const settleConditions = <E>(
  count: number,
  ask: (conditions: ReadonlyArray<number>, limitMillis: number) => Effect.Effect<Answer, E>,
  firstMillis: number,
  leftMillis: () => number,
  settled: Settled
): Effect.Effect<void, E> =>
  Effect.gen(function* () {
    const groups = groupsOf(count, firstMillis)
    /** Slow by themselves: they get what the others have left. */
    const slow: Array<number> = []
    for (;;) {
      const left = leftMillis()
      const group = groups.pop()
      if (group === undefined) break
      const { conditions } = group
      const [only] = conditions
      const millis = Math.min(left, Math.max(probeMillis, group.millis))
      if (millis < leastAskedMillis) {
        for (const condition of conditions) settled.tooSlow(condition)
        continue
      }
      const answer = yield* ask(conditions, millis)
      if (answer._tag === "Answered") settled.answered(conditions, answer.isTrue)
      else if (conditions.length > 1 || only === undefined) {
        const half = conditions.length >> 1
        const next = answer._tag === "Failed" ? millis : millis / 2
        groups.push(
          { conditions: conditions.slice(half), millis: next },
          { conditions: conditions.slice(0, half), millis: next }
        )
      } else if (answer._tag === "Failed") settled.failed(only, answer.message)
      else slow.push(only)
    }
    for (const [i, condition] of slow.entries()) {
      const millis = leftMillis() / (slow.length - i)
      const answer: Answer = millis < leastAskedMillis ? { _tag: "TooSlow" } : yield* ask([condition], millis)
      if (answer._tag === "Answered") settled.answered([condition], answer.isTrue)
      else if (answer._tag === "Failed") settled.failed(condition, answer.message)
      else settled.tooSlow(condition)
    }
  })
