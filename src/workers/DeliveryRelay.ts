import type { Timers } from "../shared/Timers.ts"
import type { ToMain } from "./WorkerProtocol.ts"
import { deliveriesMillis } from "./WorkerTimings.ts"

/**
 * Tells the main process when this one has handed changes to those who wait for them: only that one knows when the transactions were
 * committed. Those of one transaction and one millisecond are one entry, however many they are.
 */
export class DeliveryRelay {
  private readonly timers: Timers
  private readonly send: (message: ToMain) => void
  private lsns: Array<number> = []
  private millis: Array<number> = []
  private counts: Array<number> = []

  constructor(timers: Timers, send: (message: ToMain) => void) {
    this.timers = timers
    this.send = send
  }

  /** `atMillis`: since 1970. */
  delivered(lsn: number, atMillis: number): void {
    const { counts, lsns, millis } = this
    const last = lsns.length - 1
    if (last >= 0 && lsns[last] === lsn && millis[last] === atMillis) {
      counts[last] = (counts[last] as number) + 1
      return
    }
    if (last < 0) this.timers.after(deliveriesMillis, () => this.tell())
    lsns.push(lsn)
    millis.push(atMillis)
    counts.push(1)
  }

  private tell(): void {
    const { counts, lsns, millis } = this
    this.lsns = []
    this.millis = []
    this.counts = []
    this.send({
      _tag: "Delivered",
      lsns: Float64Array.from(lsns),
      millis: Float64Array.from(millis),
      counts: Uint32Array.from(counts)
    })
  }
}
