interface Piece {
  readonly segment: number
  readonly start: number
  readonly buffer: Buffer
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
  private readonly capacityBytes: number

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes
  }

  /**
   * `buffer` holds the segment's bytes from `start` on, and does not change for as long as it is here: until it is among
   * those that a later call returns, because newer bytes have taken their place.
   */
  add(segment: number, start: number, buffer: Buffer): ReadonlyArray<Buffer> {
    const last = this.pieces.at(-1)
    if (last !== undefined && continues(last, segment, start, buffer)) {
      // A follower reads in small steps into one large buffer: that is one piece, or there would be thousands.
      const { byteOffset, length } = last.buffer
      const both = Buffer.from(last.buffer.buffer, byteOffset, length + buffer.length)
      this.pieces[this.pieces.length - 1] = { segment, start: last.start, buffer: both }
    } else this.pieces.push({ segment, start, buffer })
    this.bytes += buffer.length
    let drop = 0
    while (this.bytes > this.capacityBytes && drop < this.pieces.length - 1) {
      this.bytes -= this.pieces[drop]?.buffer.length ?? 0
      drop++
    }
    return drop === 0 ? nothing : this.pieces.splice(0, drop).map((piece) => piece.buffer)
  }

  slice(segment: number, position: number, length: number): Buffer | undefined {
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
