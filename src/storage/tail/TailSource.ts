import type { Timers } from "../../shared/Timers.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { isBefore, type JournalPlace, type Showing, type Shown } from "./Shown.ts"
import {
  bytesAt,
  type CreatedObject,
  createdFrame,
  emptyBytesFrame,
  heartbeatFrame,
  helloFrame,
  sealBytesFrame,
  tailFormat
} from "./TailFrames.ts"
import { type TailSink, TailStream } from "./TailStream.ts"
import { heartbeatMillis, slowMirrorMillis } from "./TailTimings.ts"

/** From where a mirror wants to be sent the journal. */
export interface TailRequest extends JournalPlace {
  readonly epoch: number
}

/** Why it is not. Whatever the reason, the bucket has everything. */
export type TailRefusal =
  /** This process does not write the journal. */
  | { readonly reason: "notWriter" }
  /** It writes another epoch than the mirror has got to. */
  | { readonly reason: "otherEpoch"; readonly epoch: number }
  /** The segment is of another epoch, or was removed. */
  | { readonly reason: "gone"; readonly epoch: number }
  /** The mirror has more of this epoch than was ever written. */
  | { readonly reason: "ahead"; readonly epoch: number }

/** What several mirrors are sent alike, so that it is copied and summed once for all of them. */
interface Shared extends JournalPlace {
  readonly epoch: number
  readonly length: number
  readonly frame: Buffer
}

/**
 * Sends the journal, as it is written, to any number of mirrors: whole, in order, across segments, and up to where it may be
 * shown. Each mirror costs what its connection has not taken yet, a frame at most. Bytes that are in memory go out within the call
 * that says that they may be shown. What a mirror lacks from before comes from the file.
 */
export class TailSource {
  private readonly showing: Showing
  private readonly timers: Timers
  private readonly onTrouble: (message: string) => void
  private readonly streams = new Set<TailStream>()
  private readonly unsubscribe: () => void
  private stopTicking = () => {}
  private latest:
    { readonly epoch: number; readonly frame: Buffer; readonly object: CreatedObject } | undefined
  private shared: Shared | undefined

  constructor(showing: Showing, timers: Timers, onTrouble: (message: string) => void) {
    this.showing = showing
    this.timers = timers
    this.onTrouble = onTrouble
    this.unsubscribe = showing.subscribe(
      () => this.moved(),
      (object) => this.created(object)
    )
  }

  /** How many mirrors are being sent the journal. */
  get mirrors(): number {
    return this.streams.size
  }

  /** Begins to send to a mirror, or says why not. `TailStream.over` is to be called when its connection is gone. */
  open(from: TailRequest, sink: () => TailSink): TailStream | TailRefusal {
    const shown = this.showing.shown()
    if (shown === undefined) return { reason: "notWriter" }
    const { epoch } = shown
    if (from.epoch !== epoch) return { reason: "otherEpoch", epoch }
    if (isBefore(shown.composed, from)) return { reason: "ahead", epoch }
    if (!shown.holds(from.segment)) return { reason: "gone", epoch }
    const stream = new TailStream(
      {
        shown: () => this.shownOf(epoch),
        frame: (place, length) => this.frame(place, length),
        nowMillis: this.timers.nowMillis,
        onTrouble: this.onTrouble,
        over: () => this.over(stream)
      },
      sink(),
      from
    )
    this.streams.add(stream)
    if (this.streams.size === 1)
      this.stopTicking = this.timers.every(heartbeatMillis, () => this.tick(), "aside")
    stream.begin(helloFrame({ format: tailFormat, release: batonVersion, epoch }))
    // What was created before it came; if there was more, it reads that from the chain, and knows up to where.
    if (this.latest?.epoch === epoch) stream.created(this.latest.object, this.latest.frame)
    return stream
  }

  private shownOf(epoch: number): Shown | undefined {
    const shown = this.showing.shown()
    return shown?.epoch === epoch ? shown : undefined
  }

  private moved(): void {
    for (const stream of this.streams) stream.wake()
  }

  private created(object: CreatedObject): void {
    const epoch = this.showing.shown()?.epoch
    if (epoch === undefined) return
    const frame = createdFrame(object)
    this.latest = { epoch, frame, object }
    for (const stream of this.streams) stream.created(object, frame)
  }

  private tick(): void {
    for (const stream of this.streams) stream.tick(heartbeatFrame, slowMirrorMillis)
  }

  private over(stream: TailStream): void {
    if (!this.streams.delete(stream) || this.streams.size > 0) return
    this.stopTicking()
    this.shared = undefined
  }

  /** Bytes of the present epoch as a frame. Nobody may change it. */
  private frame(place: JournalPlace, length: number): Buffer | Promise<Buffer | undefined> | undefined {
    const shown = this.showing.shown()
    if (shown === undefined) return undefined
    const { epoch } = shown
    const { position, segment } = place
    const known = this.shared
    if (
      known?.epoch === epoch &&
      known.segment === segment &&
      known.position === position &&
      known.length === length
    )
      return known.frame
    const frame = emptyBytesFrame(length)
    const inMemory = shown.memory(segment, position, length)
    if (inMemory === undefined) return read(shown, place, frame)
    frame.set(inMemory, bytesAt)
    sealBytesFrame(frame, segment, position)
    this.shared = { epoch, segment, position, length, frame }
    return frame
  }

  /** No mirror is sent anything any more. */
  close(): void {
    this.unsubscribe()
    for (const stream of this.streams) stream.cut()
  }
}

const read = async (shown: Shown, { position, segment }: JournalPlace, frame: Buffer) => {
  if (!(await shown.read(segment, position, frame.subarray(bytesAt)))) return undefined
  sealBytesFrame(frame, segment, position)
  return frame
}
