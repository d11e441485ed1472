import { makeTuple, type Tuple } from "../../postgres/Tuple.ts"

/** Source: PostgreSQL documentation, "Message Formats": one type byte, then a length that counts itself. */
const headerBytes = 5
const dataRow = 0x44
/** Says which columns the rows have; the taker of the rows knows that. */
const rowDescription = 0x54
/** Longest select list that Postgres accepts (`MaxTupleAttributeNumber`). */
const maxColumns = 1664
/** A buffer that one huge row has made larger than this is not kept. */
const keptBytes = 1024 * 1024

/**
 * Stands between a socket and the protocol implementation of `pg`: takes the data rows of a query out of the byte
 * stream, in place and without an object per row or column, and passes on every other message untouched (but for the
 * descriptions of those rows), so that `pg` stays the master of the session. Messages may be cut anywhere.
 *
 * A data row's columns are length-prefixed slices, in the text format the output of the types' output functions: the
 * very same thing as the tuples of the replication stream.
 */
export class MessageFilter {
  /** Gets every data row, valid during the call only. `undefined`: rows, and what describes them, are passed on. */
  onRow: ((row: Tuple) => void) | undefined = undefined

  private readonly passOn: (messages: Buffer) => void
  private readonly row: Tuple = makeTuple(maxColumns)
  /** The beginning of a message whose end has not arrived. */
  private partial = Buffer.alloc(8192)
  private partialBytes = 0

  constructor(passOn: (messages: Buffer) => void) {
    this.passOn = passOn
  }

  feed(chunk: Buffer): void {
    let at = this.partialBytes === 0 ? 0 : this.completePartial(chunk)
    const end = chunk.length
    /** Start of the messages that are to be passed on together. */
    let others = at
    while (at + headerBytes <= end) {
      const next = at + 1 + chunk.readInt32BE(at + 1)
      if (next > end) break
      const kind = chunk[at]
      if ((kind === dataRow || kind === rowDescription) && this.onRow !== undefined) {
        if (others < at) this.passOn(chunk.subarray(others, at))
        others = next
        if (kind === dataRow) this.takeRow(this.onRow, chunk, at)
      }
      at = next
    }
    if (others < at) this.passOn(chunk.subarray(others, at))
    if (at < end) this.hold(chunk, at, end)
  }

  /** Fills up the message begun earlier; returns where the next one begins. */
  private completePartial(chunk: Buffer): number {
    let at = 0
    if (this.partialBytes < headerBytes) {
      at = Math.min(headerBytes - this.partialBytes, chunk.length)
      this.hold(chunk, 0, at)
      if (this.partialBytes < headerBytes) return at
    }
    const messageBytes = 1 + this.partial.readInt32BE(1)
    this.reserve(messageBytes)
    const to = Math.min(at + messageBytes - this.partialBytes, chunk.length)
    this.hold(chunk, at, to)
    if (this.partialBytes < messageBytes) return to
    this.partialBytes = 0
    const kind = this.partial[0]
    if ((kind === dataRow || kind === rowDescription) && this.onRow !== undefined) {
      if (kind === dataRow) this.takeRow(this.onRow, this.partial, 0)
    } else this.passOn(Buffer.from(this.partial.subarray(0, messageBytes)))
    if (this.partial.length > keptBytes) this.partial = Buffer.alloc(8192)
    return to
  }

  private hold(chunk: Buffer, from: number, to: number): void {
    this.reserve(this.partialBytes + to - from)
    chunk.copy(this.partial, this.partialBytes, from, to)
    this.partialBytes += to - from
  }

  private reserve(bytes: number): void {
    if (bytes <= this.partial.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes, this.partial.length * 2))
    this.partial.copy(larger, 0, 0, this.partialBytes)
    this.partial = larger
  }

  private takeRow(onRow: (row: Tuple) => void, buffer: Buffer, message: number): void {
    const row = this.row
    const { lengths, starts } = row
    const columnCount = ((buffer[message + 5] as number) << 8) | (buffer[message + 6] as number)
    let at = message + 7
    for (let i = 0; i < columnCount; i++) {
      const length =
        ((buffer[at] as number) << 24) |
        ((buffer[at + 1] as number) << 16) |
        ((buffer[at + 2] as number) << 8) |
        (buffer[at + 3] as number)
      at += 4
      starts[i] = at
      lengths[i] = length
      if (length > 0) at += length
    }
    row.buffer = buffer
    row.columnCount = columnCount
    onRow(row)
  }
}
