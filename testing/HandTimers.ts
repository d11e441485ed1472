import type { Timers } from "../src/shared/Timers.ts"

/** Time that passes only when a test says so. Both clocks show the same. */
export class HandTimers implements Timers {
  private millis = 0
  private waiting: Array<{ readonly at: number; readonly work: () => void }> = []

  readonly nowMillis = (): number => this.millis
  readonly epochMillis = (): number => this.millis

  readonly after = (millis: number, work: () => void): (() => void) => {
    const entry = { at: this.millis + millis, work }
    this.waiting.push(entry)
    return () => (this.waiting = this.waiting.filter((other) => other !== entry))
  }

  readonly every = (millis: number, work: () => void): (() => void) => {
    const again = () => {
      cancel = this.after(millis, again)
      work()
    }
    let cancel = this.after(millis, again)
    return () => cancel()
  }

  /** In how many milliseconds the next work is due; `undefined` when there is none. */
  get nextInMillis(): number | undefined {
    const at = Math.min(...this.waiting.map((entry) => entry.at))
    return at === Infinity ? undefined : at - this.millis
  }

  /** Lets time pass, and does in order what becomes due. */
  pass(millis: number): void {
    const until = this.millis + millis
    for (;;) {
      const due = this.waiting.filter((entry) => entry.at <= until).toSorted((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.waiting = this.waiting.filter((other) => other !== due)
      this.millis = Math.max(this.millis, due.at)
      due.work()
    }
    this.millis = until
  }
}
