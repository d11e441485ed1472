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
    let at = 0
    // All that has a meaning in JSON is ASCII, and UTF-8 has no ASCII bytes in other characters.
    while (at < piece.length) {
      if (inString) {
        if (escaped) {
          escaped = false
          at++
          continue
        }
        const end = quoteFrom(piece, at)
        const isEscaped = endsWithBackslash(piece, at, end)
        if (end === piece.length) escaped = isEscaped
        else inString = isEscaped
        at = end + 1
        continue
      }
      const byte = piece[at]
      if (byte === quote) inString = true
      else if (byte === openBrace) {
        if (depth++ === 0) from = at
      } else if (byte === closeBrace && --depth === 0) {
        texts.push(this.whole(piece.subarray(from, at + 1)))
        from = at + 1
      }
      at++
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

/** In most strings the next quote is near, and looking for it here is quicker than to have it looked for. */
const nearBytes = 16

/** Position of the next quote, or the length. */
const quoteFrom = (piece: Uint8Array, from: number): number => {
  const near = Math.min(piece.length, from + nearBytes)
  for (let at = from; at < near; at++) if (piece[at] === quote) return at
  const found = piece.indexOf(quote, near)
  return found < 0 ? piece.length : found
}

/** Whether a backslash stands before `end` that no other one stands before: of those from `from` on, which begin a character. */
const endsWithBackslash = (piece: Uint8Array, from: number, end: number): boolean => {
  let at = end
  while (at > from && piece[at - 1] === backslash) at--
  return (end - at) % 2 === 1
}
