import { Effect } from "effect"

const pauseMillis = { first: 1000, longest: 60_000 }

/**
 * Work in a fiber of its own that must not end without anybody noticing: when it stumbles over something that nobody has
 * foreseen, that is logged and the work begins anew, after a second at first and after a minute at most. Errors that were
 * to be expected are the work's own business.
 */
export const keepGoing = <A, E, R>(
  what: string,
  work: Effect.Effect<A, E, R>,
  pause = pauseMillis.first
): Effect.Effect<A, E, R> =>
  Effect.catchDefect(work, (defect) =>
    Effect.logError(
      `${what} stumbled: ${defect instanceof Error ? (defect.stack ?? defect.message) : String(defect)}. ` +
        `It begins anew in ${pause / 1000} s, and nothing else is affected. If it does not get over it, mend what the ` +
        "message names (a disk, say), or report it."
    ).pipe(
      Effect.andThen(Effect.sleep(pause)),
      Effect.andThen(Effect.suspend(() => keepGoing(what, work, Math.min(2 * pause, pauseMillis.longest))))
    )
  )
