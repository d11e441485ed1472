import type { Timers } from "../../shared/Timers.ts"
import type { Pace } from "../folding/Pace.ts"

/** Pauses shorter than this are put together. */
const shortestMillis = 10

/** So many in a second, and no more; what was not used up while nothing was to be read is not made up for. */
export class RatePace implements Pace {
  private readonly timers: Timers
  private readonly millisEach: number
  /** When all that was taken would have been at this rate. */
  private dueMillis = 0

  constructor(timers: Timers, perSecond: number) {
    this.timers = timers
    this.millisEach = 1000 / perSecond
  }

  took(count: number): Promise<void> | undefined {
    const now = this.timers.nowMillis()
    this.dueMillis = Math.max(this.dueMillis, now) + count * this.millisEach
    const waitMillis = this.dueMillis - now
    if (waitMillis < shortestMillis) return undefined
    return new Promise((resolve) => void this.timers.after(waitMillis, resolve))
  }
}
