import { BoundedMap } from "../../shared/BoundedMap.ts"
import type { Timers } from "../../shared/Timers.ts"

/** After so long it may have become smaller. */
const refusedMillis = 600_000
const mostRefused = 10_000

interface Refused {
  readonly bytes: number
  readonly untilMillis: number
}

/**
 * Shapes that had to go although somebody wanted them, by the digest of what they are: their clients come back at once, and
 * would have them made and dropped for ever.
 */
export class RefusedShapes {
  private readonly known = new BoundedMap<string, Refused>(mostRefused)
  private readonly timers: Timers

  constructor(timers: Timers) {
    this.timers = timers
  }

  add(identity: string, bytes: number): void {
    this.known.set(identity, { bytes, untilMillis: this.timers.nowMillis() + refusedMillis })
  }

  /** What the shape would take, at least; 0 where nothing is known of it. */
  bytesOf(identity: string): number {
    const refused = this.known.get(identity)
    if (refused === undefined) return 0
    if (refused.untilMillis > this.timers.nowMillis()) return refused.bytes
    this.known.delete(identity)
    return 0
  }
}
