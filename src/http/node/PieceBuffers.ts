/** Bytes of the buffers that bodies are read through, and how many of each size are in use at once: the first that is free. */
const sizes = [
  { bytes: 256 * 1024, most: 64 },
  { bytes: 64 * 1024, most: 448 },
  { bytes: 16 * 1024, most: Infinity }
] as const
/** Buffers of each size that are kept while nobody uses them. */
const mostKept = 16

export const bufferSizes: ReadonlyArray<{ readonly bytes: number; readonly most: number }> = sizes

interface Kind {
  readonly bytes: number
  readonly most: number
  readonly kept: Array<Buffer>
  inUse: number
}

/**
 * Buffers through which bodies are read from files and sent, used again and again: a body of any length costs the
 * garbage collector nothing. A client that does not read keeps the buffer of its response. Were they all large,
 * thousands of such clients would be expensive (10,000 keep 200 MB as it is), and were they all small, reading would cost
 * half as much again and more (system calls); so a limited number is large.
 */
export class PieceBuffers {
  private readonly kinds: ReadonlyArray<Kind> = sizes.map((size) => ({ ...size, kept: [], inUse: 0 }))

  take(): Buffer {
    const kind = this.kinds.find(({ inUse, most }) => inUse < most) as Kind // the last one always has room
    kind.inUse++
    return kind.kept.pop() ?? Buffer.allocUnsafeSlow(kind.bytes)
  }

  /** `mayReuse`: nobody will read from it or write to it any more. Once for each `take`. */
  give(buffer: Buffer, mayReuse: boolean): void {
    const kind = this.kinds.find(({ bytes }) => bytes === buffer.length)
    if (kind === undefined) return
    kind.inUse--
    if (mayReuse && kind.kept.length < mostKept) kind.kept.push(buffer)
  }
}
