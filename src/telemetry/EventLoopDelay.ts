import { monitorEventLoopDelay, performance } from "node:perf_hooks"

/** What a second of the event loop was like. */
interface EventLoopLook {
  readonly meanMillis: number
  readonly maxMillis: number
  /** Share of the time in which it was not waiting, 0 to 1. */
  readonly busyShare: number
}

const resolutionMillis = 20
const rounded = (nanos: number): number => Math.round(Math.max(0, nanos / 1e6 - resolutionMillis) * 100) / 100

/** Watches how late timers fire, only while somebody looks: the counting itself is Node's own. */
export class EventLoopDelay {
  private readonly histogram = monitorEventLoopDelay({ resolution: resolutionMillis })
  private last = performance.eventLoopUtilization()

  watch(isWatched: boolean): void {
    this.histogram.reset()
    this.last = performance.eventLoopUtilization()
    if (isWatched) this.histogram.enable()
    else this.histogram.disable()
  }

  /** Since the look before. */
  look(): EventLoopLook {
    const { count, max, mean } = this.histogram
    this.histogram.reset()
    const before = this.last
    this.last = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(this.last, before)
    return {
      meanMillis: count === 0 ? 0 : rounded(mean),
      maxMillis: count === 0 ? 0 : rounded(max),
      busyShare: Math.round(utilization * 1000) / 1000
    }
  }
}

/** Begins to look what share of the time the event loop of this thread works; what it gives says it, from 0 to 1. */
export type LoopMeter = () => () => number

export const loopShare: LoopMeter = () => {
  const before = performance.eventLoopUtilization()
  return () => performance.eventLoopUtilization(before).utilization
}
