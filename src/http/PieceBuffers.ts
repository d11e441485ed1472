/** Bytes of the buffers that most bodies are read through. */
export const largeBytes = 256 * 1024
/** Bytes of the others, for those that come when all large ones are in use. */
export const smallBytes = 64 * 1024
/** Large buffers in use at once. */
const mostLarge = 64
/** Buffers of each size that are kept while nobody uses them. */
const mostKept = 16

/**
 * Buffers through which bodies are read from files and sent, used again and again: a body of any length costs the
 * garbage collector nothing. A client that does not read keeps the buffer of its response. Were they all large,
 * thousands of such clients would be expensive, and were they all small, reading would cost half as much again (system
 * calls); so a limited number is large.
 */
export class PieceBuffers {
  private readonly large: Array<Buffer> = []
  private readonly small: Array<Buffer> = []
  private largeInUse = 0

  take(): Buffer {
    if (this.largeInUse >= mostLarge) return this.small.pop() ?? Buffer.allocUnsafeSlow(smallBytes)
    this.largeInUse++
    return this.large.pop() ?? Buffer.allocUnsafeSlow(largeBytes)
  }

  /** `mayReuse`: nobody will read from it or write to it any more. Once for each `take`. */
  give(buffer: Buffer, mayReuse: boolean): void {
    const isLarge = buffer.length === largeBytes
    if (isLarge) this.largeInUse--
    const kept = isLarge ? this.large : this.small
    if (mayReuse && kept.length < mostKept) kept.push(buffer)
  }
}
