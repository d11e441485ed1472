import { pause, type Timers } from "../../shared/Timers.ts"
import { type LoopMeter, loopShare } from "../../telemetry/EventLoopDelay.ts"

/** Work goes on for so long before it rests. */
const sliceMillis = 4
/** Under load it rests so many times as long, at most: logs grow meanwhile, and what is not compacted costs more later. */
const longestStrain = 4
/** A slice in which the disk stood still is not made up for in full. */
const longestRestMillis = 2000
/** Who rests for so much longer than was meant is on a busy machine. */
const lateMillis = 10
/** The event loop has much else to do when it works for so much of a rest. */
const busyShare = 0.6

/** Processor time of this process, all its threads together. */
const processMillis = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

/**
 * Work in slices, with rests between them: of the time that passes, at most a share is worked, waiting for the disk included. Where
 * rests take longer than they should, or the event loop works through them, others need the processor, and they become longer.
 *
 * Waiting for the processor is no work. Where rests end late a slice counts for what this process has had of the processor in it:
 * else each step of a slice would be made up for by many times what it took, and logs would grow faster than they are folded.
 */
export class RestingWork {
  private readonly timers: Timers
  private readonly share: number
  private readonly isOver: () => boolean
  private readonly meter: LoopMeter
  private readonly cpuMillis: () => number
  private sliceBegan: number
  private cpuBegan: number
  private strain = 1
  private resting: Promise<void> | undefined
  /** The last rest ended late. */
  private waitsForCpu = false

  /** `share`: 1 for work that never rests. `isOver`: nobody wants the work any more. */
  constructor(
    timers: Timers,
    share: number,
    isOver: () => boolean,
    meter = loopShare,
    cpuMillis = processMillis
  ) {
    this.cpuMillis = cpuMillis
    this.timers = timers
    this.share = share
    this.isOver = isOver
    this.meter = meter
    this.sliceBegan = timers.nowMillis()
    this.cpuBegan = cpuMillis()
  }

  /** What has passed until now was no work. */
  readonly begin = (): void => {
    this.sliceBegan = this.timers.nowMillis()
    this.cpuBegan = this.cpuMillis()
  }

  /**
   * To be called often, by all who work at the same time: they rest together. Fails with `Abandoned` once nobody wants the work any
   * more.
   */
  readonly rest = async (): Promise<void> => {
    const passed = this.timers.nowMillis() - this.sliceBegan
    if (this.resting === undefined && passed < sliceMillis) return
    if (this.isOver()) throw new Abandoned()
    if (this.share < 1) {
      this.resting ??= this.restAfter(passed)
      await this.resting
      if (this.isOver()) throw new Abandoned()
    } else this.begin()
  }

  private async restAfter(passed: number): Promise<void> {
    const { cpuMillis, share, timers } = this
    const worked = this.waitsForCpu ? Math.min(passed, cpuMillis() - this.cpuBegan) : passed
    const millis = Math.min(longestRestMillis, worked * (1 / share - 1) * this.strain)
    const began = timers.nowMillis()
    const worksFor = this.meter()
    await pause(timers, millis)
    this.waitsForCpu = timers.nowMillis() - began - millis > lateMillis
    const isStrained = this.waitsForCpu || worksFor() > busyShare
    this.strain = isStrained ? Math.min(longestStrain, this.strain * 2) : Math.max(1, this.strain / 2)
    this.resting = undefined
    this.begin()
  }
}

/** The work is not wanted any more: another instance writes, or the shape is gone. */
export class Abandoned extends Error {
  constructor() {
    super("nobody wants it any more")
    this.name = "Abandoned"
  }
}
