const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d

/** Cuts the pieces of a log, which are JSON objects with something between them, into the texts of the objects. */
export class MessageTexts {
  private depth = 0
  private inString = false
  private escaped = false
  private begun: Array<Uint8Array> = []

  /** The messages that end in this piece, which is valid during the call only. */
  of(piece: Uint8Array): ReadonlyArray<string> {
    const texts: Array<string> = []
    let { depth, escaped, inString } = this
    let from = 0
    // All that has a meaning in JSON is ASCII, and UTF-8 has no ASCII bytes in other characters.
    for (let at = 0; at < piece.length; at++) {
      const byte = piece[at]
      if (inString) {
        if (escaped) escaped = false
        else if (byte === quote) inString = false
        else if (byte === backslash) escaped = true
      } else if (byte === quote) inString = true
      else if (byte === openBrace) {
        if (depth++ === 0) from = at
      } else if (byte === closeBrace && --depth === 0) {
        texts.push(this.whole(piece.subarray(from, at + 1)))
        from = at + 1
      }
    }
    if (depth > 0) this.begun.push(Uint8Array.prototype.slice.call(piece, from))
    this.depth = depth
    this.escaped = escaped
    this.inString = inString
    return texts
  }

  private whole(last: Uint8Array): string {
    const parts = [...this.begun, last]
    this.begun = []
    const bytes =
      parts.length === 1 ? Buffer.from(last.buffer, last.byteOffset, last.length) : Buffer.concat(parts)
    return bytes.toString("utf8")
  }
}
