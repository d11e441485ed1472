interface Piece {
  readonly segment: number
  readonly start: number
  readonly buffer: Buffer
  readonly age: number
  /** What the writer's count of bytes is at its end. */
  readonly marker: number
}

/** Whether the bytes come right after the piece, in the journal and in memory. */
const continues = (last: Piece, segment: number, start: number, { buffer, byteOffset }: Buffer): boolean =>
  last.segment === segment &&
  last.start + last.buffer.length === start &&
  last.buffer.buffer === buffer &&
  last.buffer.byteOffset + last.buffer.length === byteOffset

/** The latest bytes of the journal, kept in memory so that live readers never touch a file. */
export class RecentBytes {
  private pieces: Array<Piece> = []
  private bytes = 0
  private ages = 0
  private lent: { readonly segment: number; readonly start: number; readonly buffer: Buffer } | undefined
  private readonly capacityBytes: number

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes
  }

  /**
   * `buffer` holds the segment's bytes from `start` on, and does not change for as long as it is here: until it is among
   * those that a later call returns, because newer bytes have taken their place. A writer's are not found in the file before it
   * has written up to their `marker`: until then they stay, whatever comes.
   */
  add(
    segment: number,
    start: number,
    buffer: Buffer,
    marker = 0,
    writtenMarker = Infinity
  ): ReadonlyArray<Buffer> {
    const last = this.pieces.at(-1)
    if (last !== undefined && continues(last, segment, start, buffer)) {
      // A follower reads in small steps into one large buffer: that is one piece, or there would be thousands.
      const { byteOffset, length } = last.buffer
      const both = Buffer.from(last.buffer.buffer, byteOffset, length + buffer.length)
      this.pieces[this.pieces.length - 1] = {
        segment,
        start: last.start,
        buffer: both,
        age: this.ages,
        marker
      }
    } else this.pieces.push({ segment, start, buffer, age: this.ages, marker })
    this.bytes += buffer.length
    let drop = 0
    let bytes = this.bytes
    const isWritten = (i: number) => (this.pieces[i]?.marker ?? 0) <= writtenMarker
    while (bytes > this.capacityBytes && drop < this.pieces.length - 1 && isWritten(drop))
      bytes -= this.length(drop++)
    return this.drop(drop)
  }

  /** Has these bytes as well while `use` runs: readers that are woken while a record is applied want it at once. */
  with<A>(segment: number, start: number, buffer: Buffer, use: () => A): A {
    this.lent = { segment, start, buffer }
    try {
      return use()
    } finally {
      this.lent = undefined
    }
  }

  /**
   * Call at even intervals: forgets what was here two calls ago, and returns it. Live readers ask for bytes at once; those
   * who come later find them in the file, and the memory of an idle process is not spent on them.
   */
  age(): ReadonlyArray<Buffer> {
    let drop = 0
    while (drop < this.pieces.length && (this.pieces[drop]?.age ?? 0) < this.ages) drop++
    this.ages++
    return this.drop(drop)
  }

  private length(i: number): number {
    return this.pieces[i]?.buffer.length ?? 0
  }

  /** The first `count` pieces. */
  private drop(count: number): ReadonlyArray<Buffer> {
    if (count === 0) return nothing
    for (let i = 0; i < count; i++) this.bytes -= this.length(i)
    return this.pieces.splice(0, count).map((piece) => piece.buffer)
  }

  slice(segment: number, position: number, length: number): Buffer | undefined {
    const { lent } = this
    if (lent !== undefined && lent.segment === segment && lent.start <= position) {
      const at = position - lent.start
      return at + length <= lent.buffer.length ? lent.buffer.subarray(at, at + length) : undefined
    }
    for (let i = this.pieces.length - 1; i >= 0; i--) {
      const piece = this.pieces[i]
      if (piece === undefined || piece.segment < segment) return undefined
      if (piece.segment > segment || piece.start > position) continue
      const at = position - piece.start
      return at + length <= piece.buffer.length ? piece.buffer.subarray(at, at + length) : undefined
    }
    return undefined
  }

  clear(): void {
    this.pieces = []
    this.bytes = 0
  }
}

const nothing: ReadonlyArray<Buffer> = []
