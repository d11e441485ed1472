import type { LogOffset } from "../shapes/LogOffset.ts"

/** Words of an entry: upper and lower half of tx, op, segment, position, length with flags. */
export const tailStride = 6
/** In the length: the entry is the last one of its transaction in this shape. */
export const tailLastFlag = 0x80000000
const chunkEndFlag = 0x40000000
const lengthMask = 0x3fffffff

/**
 * The entries of one shape that still stand in the journal: where each is, in order. 24 bytes an entry, in one
 * growable array; a shape without such entries has no tail at all.
 */
export class ShapeTail {
  count = 0
  private words: Uint32Array<ArrayBuffer>

  constructor(words = new Uint32Array(tailStride * 4)) {
    this.words = words
  }

  push(txHigh: number, txLow: number, op: number, segment: number, position: number, length: number): void {
    if ((this.count + 1) * tailStride > this.words.length) this.grow(this.words.length * 2)
    const at = this.count++ * tailStride
    const words = this.words
    words[at] = txHigh
    words[at + 1] = txLow
    words[at + 2] = op
    words[at + 3] = segment
    words[at + 4] = position
    words[at + 5] = length
  }

  private grow(words: number): void {
    const larger = new Uint32Array(words)
    larger.set(this.words.subarray(0, this.count * tailStride))
    this.words = larger
  }

  /** Entries in memory that is not to be changed, for reading. */
  static over(words: Uint32Array<ArrayBuffer>): ShapeTail {
    const tail = new ShapeTail(words)
    tail.count = words.length / tailStride
    return tail
  }

  /** Adds the entries of another tail from `first` to `until`. */
  append(other: ShapeTail, first: number, until: number): void {
    const from = this.count * tailStride
    const end = from + (until - first) * tailStride
    if (end > this.words.length) this.grow(Math.max(end, this.words.length * 2))
    this.words.set(other.words.subarray(first * tailStride, until * tailStride), from)
    this.count = end / tailStride
  }

  private word(i: number, field: number): number {
    // In bounds: callers pass 0 <= i < count.
    return this.words[i * tailStride + field] as number
  }

  tx(i: number): bigint {
    return (BigInt(this.word(i, 0)) << 32n) | BigInt(this.word(i, 1))
  }
  /** The upper and the lower half of `tx`, where a bigint for each entry would be too many. */
  txHigh(i: number): number {
    return this.word(i, 0)
  }
  txLow(i: number): number {
    return this.word(i, 1)
  }
  op(i: number): number {
    return this.word(i, 2)
  }
  segment(i: number): number {
    return this.word(i, 3)
  }
  position(i: number): number {
    return this.word(i, 4)
  }
  length(i: number): number {
    return this.word(i, 5) & lengthMask
  }
  /** The entry is the last one of its transaction in this shape. */
  isLast(i: number): boolean {
    return (this.word(i, 5) & tailLastFlag) !== 0
  }
  /** The entry ends a chunk. */
  isChunkEnd(i: number): boolean {
    return (this.word(i, 5) & chunkEndFlag) !== 0
  }
  offset(i: number): LogOffset {
    return { tx: this.tx(i), op: this.op(i) }
  }

  markLast(i: number): void {
    this.words[i * tailStride + 5] = (this.word(i, 5) | tailLastFlag) >>> 0
  }
  markChunkEnd(i: number): void {
    this.words[i * tailStride + 5] = (this.word(i, 5) | chunkEndFlag) >>> 0
  }

  /** Index of the first entry after `offset`; `count` when there is none. */
  firstAfter(offset: LogOffset): number {
    const high = Number(offset.tx >> 32n)
    const low = Number(offset.tx & 0xffffffffn)
    let from = 0
    let to = this.count
    while (from < to) {
      const middle = (from + to) >>> 1
      const h = this.word(middle, 0)
      const l = this.word(middle, 1)
      const after = h !== high ? h > high : l !== low ? l > low : this.word(middle, 2) > offset.op
      if (after) to = middle
      else from = middle + 1
    }
    return from
  }

  /** Number of leading entries that stand in `segment` or before it. */
  countUpToSegment(segment: number): number {
    let n = 0
    while (n < this.count && this.word(n, 3) <= segment) n++
    return n
  }

  /**
   * The entries as they are now, without a copy: what is appended or forgotten later changes nothing. For readers that
   * take their time.
   */
  frozen(): ShapeTail {
    const tail = new ShapeTail(this.words)
    tail.count = this.count
    return tail
  }

  /** Forgets the first `n` entries. */
  dropFirst(n: number): void {
    const rest = (this.count - n) * tailStride
    let capacity = tailStride * 4
    while (capacity < rest) capacity *= 2
    const words = new Uint32Array(capacity)
    words.set(this.words.subarray(n * tailStride, this.count * tailStride))
    this.words = words
    this.count -= n
  }
}
