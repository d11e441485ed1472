import type { ComplaintTopic } from "../ComplaintTopics.ts"
import { Effect, Redacted } from "effect"
import { currentTimers, nowMillis } from "../../shared/Timers.ts"
import { readTail, type TailEnd } from "./TailConnection.ts"
import type { TailReader, TailTarget } from "./TailReader.ts"
import { firstPauseMillis, goodConnectionMillis, longestPauseMillis, lookMillis } from "./TailTimings.ts"

const meanwhile = "Changes are seen once they are in the bucket meanwhile"

/** What an operator should know of the end of a connection; a writer that goes is nothing to speak of. */
const complaintAbout = (
  url: string,
  end: TailEnd
): readonly [topic: ComplaintTopic, message: string] | undefined => {
  switch (end._tag) {
    case "Ended":
    case "Superseded":
    case "Unwanted":
      return undefined
    case "Lost":
      return [
        "tail",
        `The active instance at ${url} cannot be followed: ${end.said}. ${meanwhile}; it is tried again.`
      ]
    case "Refused": {
      const { reason, status } = end
      if (status === 503 || status === 409) return undefined
      const advice =
        status === 401
          ? "Give all instances the same BATON_TAIL_SECRET"
          : status === 404
            ? "Check BATON_ADVERTISE_URL and BATON_TAIL_SECRET of that instance"
            : "Look into its log"
      return [
        "tail refused",
        `The active instance at ${url} does not send its journal: ${reason}. ${meanwhile}. ${advice}.`
      ]
    }
  }
}

/**
 * Follows whoever writes the journal, for ever: connects to the writer that `target` names, feeds the mirror, and connects again,
 * after pauses that grow, when that ends. When `target` names another epoch, the connection to the old one is given up. Nothing of
 * another epoch gets through, and no gap. What goes wrong is complained of, and fails nothing: everything comes through the bucket
 * as well. To be run as a duty; interruption closes the connection.
 */
export const followTail = (reader: TailReader, secret: Redacted.Redacted<string>): Effect.Effect<never> =>
  Effect.gen(function* () {
    const timers = yield* currentTimers
    let pauseMillis = 0
    let last: TailTarget | undefined
    while (true) {
      const target = yield* awaitTarget(reader, last, pauseMillis)
      if (target.epoch !== last?.epoch || target.url !== last.url) pauseMillis = 0
      last = target
      const began = yield* nowMillis
      const end = yield* Effect.tryPromise({
        try: (signal) => readTail({ reader, target, secret: Redacted.value(secret), timers, signal }),
        catch: (error): TailEnd => ({ _tag: "Lost", said: String(error) })
      }).pipe(Effect.catch((lost) => Effect.succeed(lost)))
      const complaint = complaintAbout(target.url, end)
      if (complaint !== undefined) reader.complain(...complaint)
      const isGood = (yield* nowMillis) - began >= goodConnectionMillis
      if (end._tag === "Superseded") pauseMillis = 0
      else if (isGood || pauseMillis === 0) pauseMillis = firstPauseMillis
      else pauseMillis = Math.min(2 * pauseMillis, longestPauseMillis)
    }
  })

/** The next one to ask: at once if it is another than the last, else after the pause. */
const awaitTarget = Effect.fnUntraced(function* (
  reader: TailReader,
  last: TailTarget | undefined,
  pauseMillis: number
) {
  const until = (yield* nowMillis) + pauseMillis
  while (true) {
    const target = reader.target()
    const isOther = target !== undefined && (target.epoch !== last?.epoch || target.url !== last.url)
    if (target !== undefined && (isOther || (yield* nowMillis) >= until)) return target
    yield* Effect.sleep(lookMillis)
  }
})
