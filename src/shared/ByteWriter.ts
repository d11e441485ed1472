/** Below this a plain loop is faster than a call into the engine's memory copy (measured: scripts/bench/encode.ts). */
const loopCopyBytes = 24

const maxSmall = 0x7fffffff

/** Notes long texts that are not written at once: a mark stands in their place, see `shapes/TextGaps.ts`. */
export interface Gaps {
  /** Texts below this length are written as ever. */
  readonly leastBytes: number
  /** Leaves a mark in `w` for so many bytes of `source`. `isKey`: it is part of a row's key. */
  readonly leave: (w: ByteWriter, source: Buffer, start: number, length: number, isKey: boolean) => void
}

/**
 * A growing buffer that messages are written into one after another, so that encoding a row allocates nothing.
 *
 * `buffer` is replaced when it grows: never hold on to it across a call that may write. Hot loops take
 * `buffer` and `length`, write after `reserve`, and store the new `length` back.
 */
export class ByteWriter {
  buffer: Buffer
  length = 0
  /** With these, long texts are left out for the time being. */
  gaps: Gaps | undefined = undefined

  constructor(capacityBytes = 64 * 1024) {
    this.buffer = Buffer.allocUnsafeSlow(Math.max(capacityBytes, 64))
  }

  /** Makes room for `bytes` more bytes. */
  reserve(bytes: number): void {
    if (this.length + bytes > this.buffer.length) this.grow(this.length + bytes)
  }

  /** Appends a copy of `source`. */
  append(source: Uint8Array): void {
    const bytes = source.length
    this.reserve(bytes)
    const out = this.buffer
    const at = this.length
    if (bytes <= loopCopyBytes) for (let i = 0; i < bytes; i++) out[at + i] = source[i] as number
    else out.set(source, at)
    this.length = at + bytes
  }

  /** Appends a copy of the first `bytes` of `source`, which are few. */
  appendFirst(source: Uint8Array, bytes: number): void {
    this.reserve(bytes)
    const out = this.buffer
    const at = this.length
    for (let i = 0; i < bytes; i++) out[at + i] = source[i] as number
    this.length = at + bytes
  }

  appendByte(byte: number): void {
    this.reserve(1)
    this.buffer[this.length++] = byte
  }

  /** Appends a whole number from 0 to 2^53 in decimal. */
  appendInteger(value: number): void {
    this.reserve(16)
    const out = this.buffer
    let digits = 1
    for (let bound = 10; value >= bound; bound *= 10) digits++
    const from = this.length
    let at = from + digits - 1
    let rest = value
    // Whole numbers of 31 bits are divided several times as fast as larger ones: nine digits at a time, where there are so many.
    while (rest > maxSmall) {
      const next = Math.floor(rest / 1e9)
      let low = (rest - next * 1e9) | 0
      for (let i = 0; i < 9; i++) {
        const lower = (low / 10) | 0
        out[at--] = 48 + low - lower * 10
        low = lower
      }
      rest = next
    }
    let low = rest | 0
    while (at >= from) {
      const lower = (low / 10) | 0
      out[at--] = 48 + low - lower * 10
      low = lower
    }
    this.length += digits
  }

  /** What has been written since the last `clear`: a view that the next write may overwrite or leave behind. */
  written(): Buffer {
    return this.buffer.subarray(0, this.length)
  }

  /** Forgets what was written and keeps the memory. */
  clear(): void {
    this.length = 0
  }

  private grow(neededBytes: number): void {
    const next = Buffer.allocUnsafeSlow(Math.max(neededBytes, this.buffer.length * 2))
    this.buffer.copy(next, 0, 0, this.length)
    this.buffer = next
  }
}
