import { makeTuple, type Tuple } from "../../postgres/Tuple.ts"
import { headerBytes, MessageFramer } from "../../postgres/wire/MessageFramer.ts"

/** Source: PostgreSQL documentation, "Message Formats". */
const dataRow = 0x44
/** Says which columns the rows have. */
const rowDescription = 0x54
/** Longest select list that Postgres accepts (`MaxTupleAttributeNumber`). */
const maxColumns = 1664

/** A column of a query's rows, as it was when Postgres had read the query and locked its tables. */
export interface RowColumn {
  /** Of the table that it is taken from as it is there; 0 for what is computed. */
  readonly tableOid: number
  readonly attnum: number
  /** Of a domain that of its base type. */
  readonly typeOid: number
  readonly typeModifier: number
}

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
  /** Gets the description of those rows, before the first of them. */
  onColumns: ((columns: ReadonlyArray<RowColumn>) => void) | undefined = undefined

  private readonly passOn: (messages: Buffer) => void
  private readonly row: Tuple = makeTuple(maxColumns)
  private readonly framer: MessageFramer
  /** Where the messages lie that are to be passed on together. */
  private others: Buffer | undefined
  private othersFrom = 0
  private othersTo = 0

  constructor(passOn: (messages: Buffer) => void) {
    this.passOn = passOn
    this.framer = new MessageFramer(
      {
        message: (buffer, start, end) => this.message(buffer, start, end),
        chunkEnd: () => {
          this.passOthers()
          return true
        },
        oversized: malformed,
        malformed
      },
      Infinity
    )
  }

  /** Throws when this is no message. Then the session is of no more use. */
  feed(chunk: Buffer): void {
    this.framer.push(chunk)
  }

  private message(buffer: Buffer, start: number, end: number): boolean {
    const kind = buffer[start]
    if ((kind === dataRow || kind === rowDescription) && this.onRow !== undefined) {
      this.passOthers()
      if (kind === dataRow) this.takeRow(this.onRow, buffer, start)
      else this.onColumns?.(columnsIn(buffer, start))
      return true
    }
    if (this.others !== buffer) {
      this.passOthers()
      this.others = buffer
      this.othersFrom = start
    }
    this.othersTo = end
    return true
  }

  private passOthers(): void {
    const { others } = this
    if (others === undefined) return
    this.others = undefined
    this.passOn(others.subarray(this.othersFrom, this.othersTo))
  }

  private takeRow(onRow: (row: Tuple) => void, buffer: Buffer, message: number): void {
    const row = this.row
    const { lengths, starts } = row
    const content = message + headerBytes
    const columnCount = ((buffer[content] as number) << 8) | (buffer[content + 1] as number)
    let at = content + 2
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

/** What follows the name of each column: two numbers of the table, three of the type, and the format. */
const columnBytes = 18

const columnsIn = (buffer: Buffer, message: number): ReadonlyArray<RowColumn> => {
  const columns: Array<RowColumn> = []
  let at = message + headerBytes
  const count = buffer.readUInt16BE(at)
  at += 2
  for (let i = 0; i < count; i++) {
    at = buffer.indexOf(0, at) + 1
    columns.push({
      tableOid: buffer.readUInt32BE(at),
      attnum: buffer.readInt16BE(at + 4),
      typeOid: buffer.readUInt32BE(at + 6),
      typeModifier: buffer.readInt32BE(at + 12)
    })
    at += columnBytes
  }
  return columns
}

const malformed = (): never => {
  throw new Error(
    "The connection to Postgres does not carry its protocol: a message has an impossible length."
  )
}
