const quote = 34
const comma = 44
const backslash = 92
const openBrace = 123
const closeBrace = 125

const data = Buffer.from("data: ")
const end = Buffer.from("\n\n")

/**
 * Cuts comma-joined JSON objects, as slices of a log hold them, into server-sent events, one per object. Keeps
 * its place between pieces, so an object may be spread over any number of them.
 */
export class EventFramer {
  private depth = 0
  private inString = false
  private escaped = false
  private out: Buffer = Buffer.alloc(0)
  private length = 0

  /**
   * The events of this piece; the last one may be continued by the next piece. They lie in `into` if there is room for
   * them, otherwise in memory of their own.
   */
  frame(piece: Uint8Array, into?: Buffer): Buffer {
    this.out = into ?? Buffer.allocUnsafe(piece.length + (piece.length >>> 3) + 64)
    this.length = 0
    // A plain loop over the bytes: everything that JSON gives a meaning is ASCII, and UTF-8 never reuses ASCII.
    let { depth, inString, escaped } = this
    const size = piece.length
    let from = 0
    for (let at = 0; at < size; at++) {
      let byte = piece[at]
      if (inString) {
        if (escaped) {
          escaped = false
          continue
        }
        while (byte !== quote && byte !== backslash && ++at < size) byte = piece[at]
        if (at === size) break
        if (byte === quote) inString = false
        else escaped = true
      } else if (byte === quote) inString = true
      else if (byte === openBrace) {
        if (depth++ === 0) {
          this.put(data, 0, data.length)
          from = at
        }
      } else if (byte === closeBrace) {
        if (--depth === 0) {
          this.put(piece, from, at + 1)
          this.put(end, 0, end.length)
          from = at + 1
        }
      } else if (byte === comma && depth === 0) from = at + 1
    }
    if (depth > 0) this.put(piece, from, size)
    this.depth = depth
    this.inString = inString
    this.escaped = escaped
    const made = this.out.subarray(0, this.length)
    this.out = end
    return made
  }

  private put(bytes: Uint8Array, from: number, to: number): void {
    const after = this.length + to - from
    if (after > this.out.length) {
      const larger = Buffer.allocUnsafe(after + (after >>> 1))
      this.out.copy(larger, 0, 0, this.length)
      this.out = larger
    }
    if (to - from === bytes.length) this.out.set(bytes, this.length)
    else this.out.set(bytes.subarray(from, to), this.length)
    this.length = after
  }
}

const framed = new WeakMap<Uint8Array, Buffer>()

/** All events of a whole slice; made once for all clients that read it. */
export const frameShared = (entries: Uint8Array): Buffer => {
  const known = framed.get(entries)
  if (known !== undefined) return known
  const made = new EventFramer().frame(entries)
  framed.set(entries, made)
  return made
}
