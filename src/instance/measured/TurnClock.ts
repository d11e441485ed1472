import type { Timers } from "../../shared/Timers.ts"

/**
 * The time for what is done again and again without a pause: the machine is asked for it once, and then not before everything else that is
 * ready has had a chance, which is a few milliseconds later at most. To ask may take a quarter of a microsecond.
 */
export class TurnClock {
  private readonly timers: Pick<Timers, "epochMillis" | "nowMillis">
  private isKnown = false
  private now = 0
  private epoch = 0

  constructor(timers: Pick<Timers, "epochMillis" | "nowMillis">) {
    this.timers = timers
  }

  /** As `Timers` have it. */
  nowMillis(): number {
    if (!this.isKnown) this.look()
    return this.now
  }

  /** As `Timers` have it. */
  epochMillis(): number {
    if (!this.isKnown) this.look()
    return this.epoch
  }

  private look(): void {
    this.now = this.timers.nowMillis()
    this.epoch = this.timers.epochMillis()
    this.isKnown = true
    queueMicrotask(this.forget)
  }

  private readonly forget = (): void => {
    this.isKnown = false
  }
}
