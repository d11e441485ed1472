import { Effect } from "effect"
import { BoundedMap } from "../shared/BoundedMap.ts"
import { nowMillis } from "../shared/Timers.ts"

/** The same thing is told again after so long, if it still happens. */
const againMillis = 60_000
/** Things that are remembered. Beyond it some are forgotten, and may be told again early. */
const mostRemembered = 1000

/**
 * Warnings about what clients meet again and again until an operator mends it: a line for each thing, not for each request,
 * and another one a minute later if it goes on.
 */
export class Notices {
  private readonly toldAt = new BoundedMap<string, number>(mostRemembered)

  /** `what` tells one thing from another; by default the line itself does. */
  warn(line: string, what: string = line): Effect.Effect<void> {
    return Effect.flatMap(nowMillis, (now) => (this.isDue(what, now) ? Effect.logWarning(line) : Effect.void))
  }

  private isDue(what: string, now: number): boolean {
    const told = this.toldAt.get(what)
    if (told !== undefined && now - told < againMillis) return false
    this.toldAt.set(what, now)
    return true
  }
}
