const comma = 0x2c
const lastMark = Buffer.from(`,"last":true}}`)

/** Bytes that a message takes once the mark of the transaction's last entry is in it. */
export const markedLength = (length: number, isLast: boolean): number =>
  isLast ? length - 2 + lastMark.length : length

const plainEnd = { length: 0, written: Buffer.alloc(0) }
const markedEnd = { length: 2, written: lastMark }

/** How many bytes of a message's end are replaced by which ones, where it is not written by `writeMessage`. */
export const endOfMessage = (isLast: boolean): { readonly length: number; readonly written: Buffer } =>
  isLast ? markedEnd : plainEnd

/**
 * Copies a message as the journal holds it to `out`, in wire form: with a comma before it unless it is the first, and
 * with the mark of the transaction's last entry. Returns the position after it.
 */
export const writeMessage = (
  out: Buffer,
  at: number,
  source: Buffer,
  from: number,
  length: number,
  isLast: boolean,
  isFirst: boolean
): number => {
  let next = at
  if (!isFirst) out[next++] = comma
  if (!isLast) {
    source.copy(out, next, from, from + length)
    return next + length
  }
  source.copy(out, next, from, from + length - 2)
  next += length - 2
  lastMark.copy(out, next)
  return next + lastMark.length
}
