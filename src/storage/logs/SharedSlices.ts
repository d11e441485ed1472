import type { Timers } from "../../shared/Timers.ts"
import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { LogSlice } from "../ShapeLogs.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { sharingMillis } from "../StorageTimings.ts"

/**
 * Slices that were just made: thousands of clients that one transaction wakes ask for the same, and share one body.
 * What lies between two offsets of a log never changes; whether the log ends there does.
 */
export class SharedSlices {
  private readonly timers: Pick<Timers, "after">
  private slices = new Map<string, LogSlice>()
  /** The last of them: those who are woken together come with the same objects. */
  private latest: { shape: ShapeState; after: LogOffset; end: LogOffset; slice: LogSlice } | undefined

  constructor(timers: Pick<Timers, "after">) {
    this.timers = timers
  }

  /** The slice that a reader with the same offset was given last, if the log has not gone on since. */
  again(shape: ShapeState, after: LogOffset): LogSlice | undefined {
    const { latest } = this
    return latest?.after === after && latest.shape === shape && latest.end === shape.end
      ? latest.slice
      : undefined
  }

  get(shape: ShapeState, after: LogOffset, next: LogOffset): LogSlice | undefined {
    return this.slices.get(keyOf(shape, after, next))
  }

  share(shape: ShapeState, after: LogOffset, slice: LogSlice): LogSlice {
    if (this.slices.size === 0) this.timers.after(sharingMillis, () => this.forget(), "aside")
    this.slices.set(keyOf(shape, after, slice.next), slice)
    return slice
  }

  /** `again` gives it from now on, for as long as slices are shared. */
  remember(shape: ShapeState, after: LogOffset, slice: LogSlice): void {
    if (this.slices.size > 0) this.latest = { shape, after, end: shape.end, slice }
  }

  private forget(): void {
    this.slices = new Map()
    this.latest = undefined
  }
}

const keyOf = (shape: ShapeState, after: LogOffset, next: LogOffset): string =>
  `${shape.id} ${after.tx} ${after.op} ${next.tx} ${next.op}`
