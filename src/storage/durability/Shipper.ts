import type { ComplaintTopic } from "../ComplaintTopics.ts"
import { BucketFault } from "../../bucket/BucketFault.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { Chain } from "../chain/Chain.ts"
import { ChainBroken } from "../chain/ChainBroken.ts"
import type { ChainContent, SmallFile } from "../chain/ChainObject.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { Shipped, Shipping, WrittenRange } from "../journal/Shipping.ts"
import {
  fullBytes,
  gatherMillis,
  objectBytes,
  schemaLookMillis,
  shipAgainMillis
} from "./DurabilityTimings.ts"
import { type Piece, readPieces } from "./JournalPieces.ts"

interface ShipperOptions {
  readonly paths: StoragePaths
  readonly chain: Chain
  readonly timers: Timers
  readonly epoch: number
  /** There is at most one object in so long, unless somebody waits for it or much has gathered. */
  readonly flushMillis: number
  /** Files beside the shapes that were replaced since they were asked for last. */
  readonly changedFiles: () => Promise<ReadonlyArray<SmallFile>>
  /** An object was created, up to which the chain is known now. */
  readonly appended: (content: ChainContent) => void
  readonly counts: (marker: number) => void
  readonly shipped: (shipped: Shipped) => void
  readonly overtaken: () => void
  readonly onTrouble: (topic: ComplaintTopic, message: string) => void
}

interface QueuedRange extends WrittenRange {
  /** When the first byte of it came. */
  readonly sinceMillis: number
}

/** Memory of this size is kept for the next object, whether that is going to be soon or not. */
const keptBytes = 1 << 20

/** Written ranges in one file, one behind the other, are one up to this size. */
const mergedBytes = 1 << 20

/**
 * Puts what a writer has written into the chain, object after object, from the local files: so it takes no more memory than one
 * object, however long the bucket was away. Once somebody else has created the next object nothing counts any more.
 */
export class Shipper implements Shipping {
  private readonly options: ShipperOptions
  private queue: Array<QueuedRange> = []
  /** So many of them, and a part of the next one perhaps, are on their way. */
  private underway = 0
  private queuedBytes = 0
  private hurryMarker = 0
  private countedMarker = 0
  private startedMillis = -Infinity
  private checkpoint: string | undefined
  private wake: (() => void) | undefined
  /** When the latest object was created; an object is on its way. */
  createdMillis = -Infinity
  isBusy = false
  private isClosed = false
  private overtaken = false
  /** Of the object at hand. New memory for each would have the garbage collector run all the time. */
  private memory = Buffer.allocUnsafeSlow(0)
  private readonly loop: Promise<void>

  constructor(options: ShipperOptions) {
    this.options = options
    this.loop = this.run()
  }

  /** Another writer has begun: nothing that comes counts. */
  get isOvertaken(): boolean {
    return this.overtaken
  }
  /** Written here and not in the chain: how much, and for how long. */
  get unshipped(): { readonly bytes: number; readonly millis: number } {
    const now = this.options.timers.nowMillis()
    return { bytes: this.queuedBytes, millis: now - (this.queue[0]?.sinceMillis ?? now) }
  }

  wrote(range: WrittenRange): void {
    // A segment ends: what stands before that has been told.
    if (range.length === 0) return
    const wasEmpty = this.queuedBytes === 0
    this.queuedBytes += range.length
    const last = this.queue.length > this.underway ? this.queue.at(-1) : undefined
    const follows =
      last !== undefined && last.segment === range.segment && last.position + last.length === range.position
    if (follows && last.length + range.length <= mergedBytes)
      this.queue[this.queue.length - 1] = {
        ...last,
        marker: range.marker,
        length: last.length + range.length
      }
    else this.queue.push({ ...range, sinceMillis: this.options.timers.nowMillis() })
    if (wasEmpty || this.dueMillis() <= 0) this.wake?.()
  }

  hurry(marker: number): void {
    if (marker <= this.hurryMarker) return
    this.hurryMarker = marker
    this.wake?.()
  }

  /** A checkpoint is there: others are told with the next object, which is made for it if nothing else is to be shipped. */
  announce(key: string): void {
    this.checkpoint = key
    this.wake?.()
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.wake?.()
    this.options.chain.hurry()
    await this.loop
  }

  private get isOver(): boolean {
    return this.isClosed || this.overtaken
  }

  private counts(marker: number): void {
    this.countedMarker = marker
    this.options.counts(marker)
  }

  /** How long the next object is to wait. */
  private dueMillis(): number {
    const hasNews = this.queuedBytes > 0 || this.checkpoint !== undefined
    if (!hasNews) return schemaLookMillis
    if (this.queuedBytes >= fullBytes || this.hurryMarker > this.countedMarker) return 0
    const gatheredMillis = (this.queue[0]?.sinceMillis ?? -Infinity) + gatherMillis
    const dueMillis = Math.max(this.startedMillis + this.options.flushMillis, gatheredMillis)
    return dueMillis - this.options.timers.nowMillis()
  }

  private async run(): Promise<void> {
    while (!this.isOver) {
      const waitMillis = this.dueMillis()
      if (waitMillis > 0 && (await this.sleep(waitMillis)) === "woken") continue
      try {
        await this.shipOne()
      } catch (error) {
        if (this.isOver) return
        if (error instanceof ChainBroken) this.end()
        // What a bucket refuses is told of by who watches it.
        if (!(error instanceof BucketFault))
          this.options.onTrouble(
            "shipping",
            `What was written to the journal cannot be put into the bucket: ${String(error)}. Nothing is acknowledged and no shape is made meanwhile; shapes are served.`
          )
        await this.sleep(shipAgainMillis, "untilClosed")
      }
    }
  }

  /** For so long, or until there is news. */
  private sleep(millis: number, untilClosed?: "untilClosed"): Promise<"elapsed" | "woken"> {
    return new Promise((resolve) => {
      const end = (how: "elapsed" | "woken") => {
        cancel()
        this.wake = undefined
        resolve(how)
      }
      const cancel = this.options.timers.after(millis, () => end("elapsed"))
      this.wake = () => {
        if (untilClosed === undefined || this.isClosed) end("woken")
      }
    })
  }

  private end(): void {
    this.overtaken = true
    this.options.overtaken()
  }

  private async shipOne(): Promise<void> {
    const { chain, changedFiles, epoch, paths, timers } = this.options
    const { checkpoint } = this
    const { marker, pieces } = this.next()
    const files = await changedFiles()
    if (pieces.length === 0 && files.length === 0 && checkpoint === undefined) return
    const ranges = await readPieces(paths, epoch, pieces, this.room)
    this.startedMillis = timers.nowMillis()
    const content: ChainContent = {
      epoch,
      ranges,
      ...(files.length > 0 ? { files } : {}),
      ...(checkpoint === undefined ? {} : { checkpoint })
    }
    const before = chain.place
    this.isBusy = true
    const outcome = await chain.append(content, () => !this.isClosed).finally(() => (this.isBusy = false))
    if (outcome === "overtaken") return this.end()
    this.createdMillis = timers.nowMillis()
    this.options.appended(content)
    if (this.checkpoint === checkpoint) this.checkpoint = undefined
    this.dequeue(pieces)
    if (this.queue.length === 0 && this.memory.length > keptBytes) this.memory = Buffer.allocUnsafeSlow(0)
    const { crc, end } = chain.place
    this.options.shipped({
      n: before.next,
      previousCrc: before.crc,
      crc,
      segment: end.segment,
      position: end.position,
      holdsMore: files.length > 0 || checkpoint !== undefined
    })
    if (marker !== undefined) this.counts(marker)
  }

  private readonly room = (bytes: number): Buffer => {
    if (this.memory.length < bytes) this.memory = Buffer.allocUnsafeSlow(bytes)
    return this.memory.subarray(0, bytes)
  }

  /** What the next object holds, and the marker that counts once it is there; none for a part of a long range. */
  private next() {
    const pieces: Array<Piece> = []
    let room = objectBytes
    let marker: number | undefined
    for (const range of this.queue) {
      if (room === 0) break
      const length = Math.min(room, range.length)
      pieces.push({ segment: range.segment, position: range.position, length })
      room -= length
      if (length === range.length) marker = range.marker
    }
    this.underway = pieces.length
    return { pieces, marker }
  }

  private dequeue(pieces: ReadonlyArray<Piece>): void {
    this.underway = 0
    for (const { length } of pieces) {
      const first = this.queue[0]
      if (first === undefined) break
      this.queuedBytes -= length
      if (first.length === length) this.queue.shift()
      else this.queue[0] = { ...first, position: first.position + length, length: first.length - length }
    }
  }
}
