import type { ComplaintTopic } from "../ComplaintTopics.ts"
import type { JournalEnd } from "../records/Records.ts"
import { Barrier } from "./Barrier.ts"
import type { Shipped, Shipping, StartShipping, WrittenRange } from "./Shipping.ts"

export interface ProgressOptions {
  readonly epoch: number
  readonly segment: number
  /** Absent: what is synced is durable. */
  readonly ship?: StartShipping | undefined
  readonly onDurable: (marker: number) => void
  /** With `ship`: `showable` has moved on. */
  readonly onShowable?: () => void
  readonly onShipped?: (shipped: Shipped) => void
  readonly onTrouble: (topic: ComplaintTopic, message: string) => void
}

interface Waiting {
  readonly marker: number
  readonly resolve: (reached: boolean) => void
}

/** Tells those who wait for the marker or an earlier one, and gives the others. */
const tell = (waiting: Array<Waiting>, marker: number): Array<Waiting> => {
  if (waiting.length === 0) return waiting
  for (const w of waiting) if (w.marker <= marker) w.resolve(true)
  return waiting.filter((w) => w.marker > marker)
}

/**
 * How far the records of a writer have got: into their files, and to where they are durable. On a disk that is the same; with
 * `ship` they are durable when they have got to where they are shipped. A marker is a count of composed bytes.
 */
export class Progress {
  /** Records before it are in their files. */
  writtenMarker = 0
  durableMarker = 0
  /** The first segment whose file may still grow: what has been composed for it may be on its way. */
  openSegment: number
  /** On a disk: the same as a place in the journal. */
  syncedTo: Pick<JournalEnd, "segment" | "position"> = { segment: 0, position: 0 }
  private awaitingWrite: Array<Waiting> = []
  private awaitingDurable: Array<Waiting> = []
  /** What is not durable yet never will be. */
  private isGivenUp = false
  private readonly shipping: Shipping | undefined
  private readonly barrier: Barrier
  private readonly options: ProgressOptions

  constructor(options: ProgressOptions) {
    this.options = options
    this.openSegment = options.segment
    this.barrier = new Barrier(options.segment)
    this.shipping = options.ship?.({
      epoch: options.epoch,
      segment: options.segment,
      counts: (marker) => this.durableUpTo(marker),
      shipped: (shipped) => options.onShipped?.(shipped),
      overtaken: () => this.giveUp(),
      onTrouble: options.onTrouble
    })
  }

  /** See `Barrier`. */
  get showable(): { readonly segment: number; readonly position: number } {
    return this.barrier.showable
  }

  /** A record was composed that the stream would not bring about once more. */
  composedForGood(segment: number, position: number, marker: number): void {
    if (this.shipping !== undefined) this.barrier.add(segment, position, marker)
  }

  /** A group is in its file, and synced where that is what counts. `isLast`: of its segment. */
  wrote(range: WrittenRange, isLast: boolean): void {
    this.writtenMarker = range.marker
    if (isLast) this.openSegment = range.segment + 1
    const { shipping } = this
    this.awaitingWrite = tell(this.awaitingWrite, range.marker)
    if (shipping === undefined) {
      this.syncedTo = { segment: range.segment, position: range.position + range.length }
      return this.durableUpTo(range.marker)
    }
    this.barrier.wrote(range.segment, range.position + range.length)
    shipping.wrote(range)
    this.options.onShowable?.()
  }

  private durableUpTo(marker: number): void {
    this.durableMarker = marker
    this.awaitingDurable = tell(this.awaitingDurable, marker)
    if (this.barrier.counts(marker)) this.options.onShowable?.()
    this.options.onDurable(marker)
  }

  /** Resolves with true when records up to the marker are in their files, with false if `close` comes before. */
  written(marker: number): Promise<boolean> {
    return new Promise((resolve) => this.awaitingWrite.push({ marker, resolve }))
  }

  /** The same for when they are durable; with false, too, if somebody else has begun to write. */
  durable(marker: number): Promise<boolean> {
    if (this.isGivenUp) return Promise.resolve(false)
    this.shipping?.hurry(marker)
    return new Promise((resolve) => this.awaitingDurable.push({ marker, resolve }))
  }

  /** Somebody waits for what is not there yet. */
  get isAwaited(): boolean {
    return this.awaitingDurable.length > 0 || this.awaitingWrite.length > 0
  }

  private giveUp(): void {
    this.isGivenUp = true
    for (const w of this.awaitingDurable) w.resolve(false)
    this.awaitingDurable = []
  }

  async close(): Promise<void> {
    await this.shipping?.close()
    this.giveUp()
    for (const w of this.awaitingWrite) w.resolve(false)
    this.awaitingWrite = []
  }
}
