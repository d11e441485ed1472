import { chainStart } from "../chain/PlaceAfter.ts"
import type { ChainPlace } from "../chain/ChainObject.ts"

/** Where the chain stood before an object, and how many bytes of the journal had come with it by then. */
interface Mark {
  readonly before: ChainPlace
  readonly bytes: number
}

/** Where a journal begins. */
interface Beginning {
  readonly epoch: number
  readonly segment: number
}

/** The newest segment that may be in the chain by then. */
const lastSegment = ({ end, opening }: ChainPlace): number =>
  Math.max(end.segment, opening === undefined ? 0 : (opening.previous?.segment ?? 0) + 1)

/**
 * Remembers which object of the chain is the first that is needed for the journal from some segment on: a checkpoint that
 * begins with that segment is good from that object on. It is told of each object, in order, by whoever applies or creates it.
 * Numbers of segments only grow, over epochs, too.
 */
export class SegmentObjects {
  private readonly bySegment = new Map<number, Mark>()
  private readonly byEpoch = new Map<number, Mark>()
  private bytes = 0
  private firstSegment = 0
  private begin: ChainPlace = chainStart
  private last: ChainPlace = chainStart

  /** The chain is read from here on, for the journal from `segment` on. What was known before is forgotten. */
  startAt(place: ChainPlace, segment: number): void {
    this.bySegment.clear()
    this.byEpoch.clear()
    this.bytes = 0
    this.firstSegment = segment
    this.begin = place
    this.last = place
  }

  /** An object stands in the chain: `before` and `after` it, with so many `bytes` of the journal. */
  note(before: ChainPlace, after: ChainPlace, bytes: number): void {
    const mark = { before, bytes: this.bytes }
    for (let segment = lastSegment(before) + 1; segment <= lastSegment(after); segment++)
      this.bySegment.set(segment, mark)
    if (after.opening !== undefined && after.opening.epoch !== before.opening?.epoch)
      this.byEpoch.set(after.opening.epoch, mark)
    this.bytes += bytes
    this.last = after
  }

  /**
   * Where to read the chain from, to have the journal from the beginning of `segment` on, and the openings of all epochs after
   * `epoch`. `undefined` when that is before everything that was told.
   */
  placeFor({ epoch, segment }: Beginning): ChainPlace | undefined {
    if (segment < this.firstSegment) return undefined
    // The first segment was begun where the chain was begun to be read.
    if (segment <= lastSegment(this.begin)) return this.begin
    let first = this.last
    const earlier = ({ before }: Mark) => {
      if (before.next < first.next) first = before
    }
    for (const [other, mark] of this.bySegment) if (other >= segment) earlier(mark)
    for (const [other, mark] of this.byEpoch) if (other > epoch) earlier(mark)
    return first
  }

  /** Bytes of the journal that the chain holds from the object `n` on, or some more. */
  bytesFrom(n: number): number {
    let before = 0
    for (const marks of [this.bySegment, this.byEpoch])
      for (const { before: place, bytes } of marks.values())
        if (place.next <= n) before = Math.max(before, bytes)
    return this.bytes - before
  }

  /** A checkpoint that begins so is there: what came before is not asked for any more. */
  forgetBefore({ epoch, segment }: Beginning): void {
    for (const other of this.bySegment.keys()) if (other < segment) this.bySegment.delete(other)
    for (const other of this.byEpoch.keys()) if (other <= epoch) this.byEpoch.delete(other)
  }
}
