import { Effect } from "effect"

const pauseMillis = 1000

/**
 * Work in a fiber of its own that must not end because of a mistake in it, without anybody noticing: a defect is logged,
 * and the work begins anew after a second. Errors that were to be expected are the work's own business.
 */
export const keepGoing = <A, E, R>(what: string, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.catchDefect(work, (defect) =>
    Effect.logError(
      `${what} stumbled over a mistake in Baton: ${defect instanceof Error ? (defect.stack ?? defect.message) : String(defect)}. ` +
        "It begins anew in a second, and nothing else is affected. Please report it."
    ).pipe(
      Effect.andThen(Effect.sleep(pauseMillis)),
      Effect.andThen(Effect.suspend(() => keepGoing(what, work)))
    )
  )
