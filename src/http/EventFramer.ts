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

  /** The events of this piece; the last one may be continued by the next piece. */
  frame(piece: Uint8Array): Buffer {
    const parts: Array<Uint8Array> = []
    // A plain loop over the bytes: everything that JSON gives a meaning is ASCII, and UTF-8 never reuses ASCII.
    let from = 0
    for (let at = 0; at < piece.length; at++) {
      const byte = piece[at]
      if (this.inString) {
        if (this.escaped) this.escaped = false
        else if (byte === backslash) this.escaped = true
        else if (byte === quote) this.inString = false
      } else if (byte === quote) this.inString = true
      else if (byte === openBrace) {
        if (this.depth++ === 0) {
          parts.push(data)
          from = at
        }
      } else if (byte === closeBrace) {
        if (--this.depth === 0) {
          parts.push(piece.subarray(from, at + 1), end)
          from = at + 1
        }
      } else if (byte === comma && this.depth === 0) from = at + 1
    }
    if (this.depth > 0) parts.push(piece.subarray(from))
    return Buffer.concat(parts)
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
