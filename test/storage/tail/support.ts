import { type JournalPlace, type Showing, type Shown } from "../../../src/storage/tail/Shown.ts"
import { type CreatedObject, TailDecoder, type TailFrame } from "../../../src/storage/tail/TailFrames.ts"
import type { TailSink } from "../../../src/storage/tail/TailStream.ts"

/** A writer that writes numbers instead of records, into segments in memory. */
export class FakeWriter implements Showing {
  readonly epoch: number
  readonly segments = new Map<number, Buffer>()
  readonly removed = new Set<number>()
  segment: number
  showable: JournalPlace
  /** Nothing of what is below is in memory any more. */
  inMemoryFrom: JournalPlace = { segment: 0, position: 0 }
  isWriter = true
  reads = 0
  failsToRead = false
  private readonly told: Array<{ moved: () => void; created: (object: CreatedObject) => void }> = []
  private count = 0

  constructor(epoch: number, segment: number) {
    this.epoch = epoch
    this.segment = segment
    this.segments.set(segment, Buffer.alloc(0))
    this.showable = { segment, position: 0 }
  }

  private bytesOf(segment: number): Buffer {
    return this.segments.get(segment) ?? Buffer.alloc(0)
  }

  shown(): Shown | undefined {
    if (!this.isWriter) return undefined
    return {
      epoch: this.epoch,
      showable: this.showable,
      composed: this.end,
      holds: (segment) => this.segments.has(segment) && !this.removed.has(segment),
      memory: (segment, position, length) => {
        const { inMemoryFrom: from } = this
        if (segment < from.segment || (segment === from.segment && position < from.position)) return undefined
        return this.bytesOf(segment).subarray(position, position + length)
      },
      read: async (segment, position, into) => {
        this.reads++
        if (this.failsToRead) throw new Error("the disk is gone")
        return this.bytesOf(segment).copy(into, 0, position) === into.length
      },
      sizeOf: async (segment) => this.bytesOf(segment).length
    }
  }

  subscribe(moved: () => void, created: (object: CreatedObject) => void): () => void {
    const listener = { moved, created }
    this.told.push(listener)
    return () => void this.told.splice(this.told.indexOf(listener), 1)
  }

  get end(): JournalPlace {
    return { segment: this.segment, position: this.bytesOf(this.segment).length }
  }

  write(bytes: number): void {
    const more = Buffer.from(Array.from({ length: bytes }, () => this.count++ % 251))
    this.segments.set(this.segment, Buffer.concat([this.bytesOf(this.segment), more]))
  }

  rotate(): void {
    this.segments.set(++this.segment, Buffer.alloc(0))
  }

  show(upTo: JournalPlace = this.end): void {
    this.showable = upTo
    this.tellMoved()
  }

  tellMoved(): void {
    for (const { moved } of this.told) moved()
  }

  create(n: number, place: JournalPlace): void {
    const object = { n, crc: n + 1, previousCrc: n, ...place, holdsMore: false }
    for (const { created } of this.told) created(object)
  }
}

/** The connection of a mirror, and what came through it. */
export class FakeConnection implements TailSink {
  readonly segments = new Map<number, Buffer>()
  readonly created: Array<{ readonly n: number; readonly holds: JournalPlace; readonly had: JournalPlace }> =
    []
  readonly said: Array<TailFrame["_tag"]> = []
  /** How many frames it takes before it says that it is full. */
  room = Number.POSITIVE_INFINITY
  isEnded = false
  isCut = false
  private at: JournalPlace
  private readonly decoder = new TailDecoder()

  constructor(at: JournalPlace) {
    this.at = at
  }

  write(bytes: Buffer): boolean {
    if (this.isEnded || this.isCut) throw new Error("it writes to a connection that is over")
    if (!this.decoder.push(bytes, (frame) => this.heard(frame))) throw new Error("a damaged frame")
    return --this.room > 0
  }

  private heard(frame: TailFrame): void {
    this.said.push(frame._tag)
    if (frame._tag === "Created") {
      const { n, position, segment } = frame.object
      this.created.push({ n, holds: { segment, position }, had: this.at })
    }
    if (frame._tag !== "Bytes") return
    const { bytes, position, segment } = frame.bytes
    const next = segment === this.at.segment + 1 && position === 0
    if (!next && (segment !== this.at.segment || position !== this.at.position))
      throw new Error(`a gap: ${segment}/${position} after ${this.at.segment}/${this.at.position}`)
    this.segments.set(segment, Buffer.concat([this.segments.get(segment) ?? Buffer.alloc(0), bytes]))
    this.at = { segment, position: position + bytes.length }
  }

  end(): void {
    this.isEnded = true
  }

  cut(): void {
    this.isCut = true
  }
}
