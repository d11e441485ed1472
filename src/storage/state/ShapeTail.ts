import type { LogOffset } from "../../shapes/LogOffset.ts"

/** Words of an entry: upper and lower half of tx, op, segment, position, length with flags. */
export const tailStride = 6
/** In the length: the entry is the last one of its transaction in this shape. */
export const tailLastFlag = 0x80000000
const chunkEndFlag = 0x40000000
const lengthMask = 0x3fffffff

/**
 * Words that the first list of a shape has room for. V8 keeps typed arrays of at most 64 bytes among its objects; larger
 * ones have memory of their own, which costs ten times as much to get, and most lists of many shapes stay this short.
 */
const firstWords = 2 * tailStride
/** Words of the next larger list. */
const secondWords = 8 * tailStride

/** Copies words one by one where they are few: a `subarray` would move a small array out of V8's heap. */
const copyWords = (from: Uint32Array, first: number, until: number, to: Uint32Array, at: number): void => {
  // In bounds: callers have made room.
  if (until - first <= secondWords) for (let i = first; i < until; i++) to[at++] = from[i] as number
  else to.set(from.subarray(first, until), at)
}

const nothing = new Uint32Array(0)
/** First lists that share one piece of memory. */
const pageLists = 1024

/** Memory of first lists: a typed array of its own costs each one four times as much as its words. */
class TailPage {
  readonly words = new Uint32Array(pageLists * firstWords)
  private readonly free = Uint16Array.from({ length: pageLists }, (_, i) => pageLists - 1 - i)
  private freeCount = pageLists
  private readonly tails: FirstTails

  constructor(tails: FirstTails) {
    this.tails = tails
  }

  get isFull(): boolean {
    return this.freeCount === 0
  }
  take(): number {
    return (this.free[--this.freeCount] as number) * firstWords
  }
  giveBack(base: number): void {
    this.free[this.freeCount++] = base / firstWords
    this.tails.givenBack(this)
  }
  /** Something was given back, of what was full. */
  get hasRoomAgain(): boolean {
    return this.freeCount === 1
  }
}

/** Makes lists that share their memory, for as long as they are short. For shapes of which very many get one change each. */
export class FirstTails {
  private used = 0
  private withRoom: Array<TailPage> = []

  /** To be ended with `release`. */
  make(): ShapeTail {
    const page = this.withRoom.at(-1) ?? new TailPage(this)
    if (this.withRoom.length === 0) this.withRoom.push(page)
    const base = page.take()
    if (page.isFull) this.withRoom.pop()
    this.used++
    return new ShapeTail(page.words, base, page)
  }

  givenBack(page: TailPage): void {
    // Nobody has any: all memory goes.
    if (--this.used === 0) this.withRoom = []
    else if (page.hasRoomAgain) this.withRoom.push(page)
  }
}

/**
 * The entries of one shape that still stand in the journal: where each is, in order. 24 bytes an entry, in one
 * growable array; a shape without such entries has no tail at all.
 */
export class ShapeTail {
  count = 0
  /** Bytes of entries since the last end of a chunk, where its shape is dormant and was given entries since; else below 0. */
  openBytes = -1
  private words: Uint32Array<ArrayBuffer>
  /** Where in `words` the first entry is. */
  private base: number
  /** Whose `words` are, if they are not its own. */
  private page: TailPage | undefined

  constructor(words = new Uint32Array(firstWords), base = 0, page?: TailPage) {
    this.words = words
    this.base = base
    this.page = page
  }

  /** Its shape has another one, or none: it has no entries any more. */
  release(): void {
    this.count = 0
    this.own(nothing)
  }

  private own(words: Uint32Array<ArrayBuffer>): void {
    const { base, page } = this
    this.words = words
    this.base = 0
    this.page = undefined
    page?.giveBack(base)
  }

  private get capacity(): number {
    return this.page === undefined ? this.words.length : firstWords
  }

  /** Adds an entry. False, and nothing is added, when its offset is not above that of the last one. */
  push(
    txHigh: number,
    txLow: number,
    op: number,
    segment: number,
    position: number,
    length: number
  ): boolean {
    if ((this.count + 1) * tailStride > this.capacity) this.grow(0)
    const at = this.base + this.count * tailStride
    const words = this.words
    if (
      this.count > 0 &&
      (words[at - 6] !== txHigh
        ? txHigh < (words[at - 6] as number)
        : words[at - 5] !== txLow
          ? txLow < (words[at - 5] as number)
          : op <= (words[at - 4] as number))
    )
      return false
    this.count++
    words[at] = txHigh
    words[at + 1] = txLow
    words[at + 2] = op
    words[at + 3] = segment
    words[at + 4] = position
    words[at + 5] = length
    return true
  }

  /** To twice its size, and at least `words`. */
  private grow(words: number): void {
    const larger = new Uint32Array(Math.max(words, this.capacity * 2, secondWords))
    copyWords(this.words, this.base, this.base + this.count * tailStride, larger, 0)
    this.own(larger)
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
    if (end > this.capacity) this.grow(end)
    const { base, words } = other
    copyWords(words, base + first * tailStride, base + until * tailStride, this.words, this.base + from)
    this.count = end / tailStride
  }

  private word(i: number, field: number): number {
    // In bounds: callers pass 0 <= i < count.
    return this.words[this.base + i * tailStride + field] as number
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
    this.words[this.base + i * tailStride + 5] = (this.word(i, 5) | tailLastFlag) >>> 0
  }
  markChunkEnd(i: number): void {
    this.words[this.base + i * tailStride + 5] = (this.word(i, 5) | chunkEndFlag) >>> 0
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
   * The entries as they are now: what is appended or forgotten later changes nothing. For readers that take their time. They are
   * not copied, unless they are one or two.
   */
  frozen(): ShapeTail {
    const { base, count, page, words } = this
    const tail = new ShapeTail(page === undefined ? words : words.slice(base, base + count * tailStride))
    tail.count = this.count
    return tail
  }

  /** Forgets the first `n` entries. */
  dropFirst(n: number): void {
    const rest = (this.count - n) * tailStride
    let capacity = firstWords
    while (capacity < rest) capacity = Math.max(capacity * 2, secondWords)
    const words = new Uint32Array(capacity)
    copyWords(this.words, this.base + n * tailStride, this.base + this.count * tailStride, words, 0)
    this.own(words)
    this.count -= n
  }
}
