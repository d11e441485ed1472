import { quoteTable } from "../postgres/Identifiers.ts"
import type { Lsn } from "../shared/Lsn.ts"
import { type Tuple, unchangedToastLength } from "../postgres/Tuple.ts"
import { ByteWriter } from "../shared/ByteWriter.ts"
import { appendJsonText, appendKeyText } from "./JsonText.ts"
import type { ShapeDefinition } from "./ShapeDefinition.ts"

const quote = 0x22
const comma = 0x2c
const openBrace = 0x7b
const closeBrace = 0x7d
const nullText = Buffer.from("null")
const nullKey = Buffer.from("/_")
const keyValueOpen = Buffer.from('/\\"')
const keyValueClose = Buffer.from('\\"')
const valueOpen = Buffer.from('","value":')
const oldValueOpen = Buffer.from(',"old_value":')
const keyChangeTo = Buffer.from(',"key_change_to":"')
const keyChangeFrom = Buffer.from(',"key_change_from":"')
const messageEnd = Buffer.from("}}")

/** From this length on the engine's comparison beats a loop. */
const nativeCompareBytes = 32

const lsnOpen = Buffer.from('"lsn":"')
const xidOpen = Buffer.from('","txids":[')
const opOpen = Buffer.from('],"op_position":')

/** The headers that all messages of one transaction share, made once per transaction: in memory that the next one uses again. */
export class TransactionStamp {
  private readonly text = new ByteWriter(128)

  /** What has been written: `"lsn":"<decimal>","txids":[<xid>],"op_position":` */
  get buffer(): Buffer {
    return this.text.buffer
  }
  get length(): number {
    return this.text.length
  }

  /** `xid` is the 32-bit transaction id that the stream carries; `undefined` for what no transaction of the database did. */
  set(commitLsn: Lsn, xid: number | undefined): void {
    const { text } = this
    text.clear()
    text.append(lsnOpen)
    const lsn = Number(commitLsn)
    if (lsn <= Number.MAX_SAFE_INTEGER) text.appendInteger(lsn)
    else text.append(Buffer.from(String(commitLsn), "latin1"))
    text.append(xidOpen)
    if (xid !== undefined) text.appendInteger(xid)
    text.append(opOpen)
  }
}

export const makeTransactionStamp = (commitLsn: Lsn, xid: number | undefined): TransactionStamp => {
  const stamp = new TransactionStamp()
  stamp.set(commitLsn, xid)
  return stamp
}

/** Everything of a definition that decides how a change is written. */
export type EncodedParts = Pick<ShapeDefinition, "table" | "keyColumns" | "columns" | "replica">

/** Shapes with equal variant keys share encoded messages: a change is encoded once for all of them. */
export const variantKey = (parts: EncodedParts): string =>
  JSON.stringify([parts.table.schema, parts.table.name, parts.keyColumns, parts.columns, parts.replica])

/**
 * Compiles an encoder for rows whose columns are `rowColumns`, in that order: a relation of the stream, a leaf
 * partition (which may order its columns differently), the select list of a snapshot. `undefined` when a column of
 * the shape is not among them: then the shape cannot follow these rows.
 *
 * `rowHeaders` are further headers of `row` messages, e.g. `{ snapshot_mark: 7 }`.
 */
export const makeWireEncoder = (
  rowColumns: ReadonlyArray<string>,
  parts: EncodedParts,
  rowHeaders: Readonly<Record<string, unknown>> = {}
): WireEncoder | undefined => {
  const keyIndexes = parts.keyColumns.map((name) => rowColumns.indexOf(name))
  const indexes = parts.columns.map((name) => rowColumns.indexOf(name))
  if (keyIndexes.includes(-1) || indexes.includes(-1)) return undefined
  return new WireEncoder(parts, keyIndexes, indexes, rowHeaders)
}

const jsonBytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value), "utf8")

/**
 * Writes the messages of one variant as the bytes that clients receive: `key`, `value`, `old_value`, and `headers`
 * last. Values are the text of the type's output function or null. Made by `makeWireEncoder`.
 *
 * Every row has one key, whatever it comes from: `"<schema>"."<table>"`, then for each key column in key order `/` and
 * either `_` for NULL or `"<text>"` with every `/` inside the text doubled. Names are those of the shape's table, also
 * for rows of its partitions, quoted as Postgres does it: inner `"` doubled, `.` and `/` as they are. A `"` inside a
 * value is not escaped; what it means stays unambiguous, because no single `/` ever stands inside a value.
 *
 * Nothing is allocated per message. Rows are read during the call only.
 */
export class WireEncoder {
  /** After an `update` that returned 2: where in the writer the second message begins. */
  secondStart = 0

  private readonly keyIndexes: ReadonlyArray<number>
  private readonly indexes: ReadonlyArray<number>
  private readonly names: ReadonlyArray<Buffer>
  private readonly isKey: ReadonlyArray<boolean>
  private readonly isFull: boolean
  private readonly keyText: Buffer
  private readonly messageOpen: Buffer
  private readonly insertHeaders: Buffer
  private readonly updateHeaders: Buffer
  private readonly deleteHeaders: Buffer
  private readonly rowEnd: Buffer
  /** By column of the shape: 1 where the update being written differs. */
  private readonly changed: Uint8Array

  constructor(
    parts: EncodedParts,
    keyIndexes: ReadonlyArray<number>,
    indexes: ReadonlyArray<number>,
    rowHeaders: Readonly<Record<string, unknown>>
  ) {
    this.keyIndexes = keyIndexes
    this.indexes = indexes
    this.names = parts.columns.map((name) => Buffer.concat([jsonBytes(name), Buffer.from(":")]))
    this.isKey = indexes.map((index) => keyIndexes.includes(index))
    this.isFull = parts.replica === "full"
    this.changed = new Uint8Array(indexes.length)
    this.keyText = jsonBytes(quoteTable(parts.table)).subarray(1, -1)
    this.messageOpen = Buffer.concat([Buffer.from('{"key":"'), this.keyText])
    const headers = (operation: string, more: Readonly<Record<string, unknown>> = {}) =>
      Buffer.concat([
        Buffer.from(',"headers":'),
        jsonBytes({ operation, relation: [parts.table.schema, parts.table.name], ...more })
      ])
    this.rowEnd = Buffer.concat([headers("insert", rowHeaders), Buffer.from("}")])
    const openHeaders = (operation: string) => {
      const bytes = headers(operation)
      bytes[bytes.length - 1] = comma
      return bytes
    }
    this.insertHeaders = openHeaders("insert")
    this.updateHeaders = openHeaders("update")
    this.deleteHeaders = openHeaders("delete")
  }

  /** A row of a snapshot or subset: an insert that belongs to no transaction. */
  row(w: ByteWriter, row: Tuple): void {
    this.openMessage(w, row)
    this.appendAll(w, row, row)
    w.append(this.rowEnd)
  }

  /** A row that is new to the shape: inserted, or moved in by an update. */
  insert(w: ByteWriter, row: Tuple, stamp: TransactionStamp, op: number): void {
    this.openMessage(w, row)
    this.appendAll(w, row, row)
    this.appendHeaders(w, this.insertHeaders, stamp, op)
    w.append(messageEnd)
  }

  /** A row that leaves the shape: deleted, or moved out by an update. `old` is the row as it was. */
  delete(w: ByteWriter, old: Tuple, stamp: TransactionStamp, op: number): void {
    this.openMessage(w, old)
    this.appendOld(w, old)
    this.appendHeaders(w, this.deleteHeaders, stamp, op)
    w.append(messageEnd)
  }

  /**
   * A row that stays in the shape. Returns how many messages were written: 0 when no selected column differs, 1 for
   * an update, 2 when the key differs (delete at `op`, insert at `op + 1`, the latter from `secondStart` on). A TOAST
   * value that was not sent counts as unchanged and is read from `old`.
   */
  update(w: ByteWriter, old: Tuple, row: Tuple, stamp: TransactionStamp, op: number): 0 | 1 | 2 {
    const { changed, indexes, isKey } = this
    let anyChanged = false
    let keyChanged = false
    for (let i = 0; i < indexes.length; i++) {
      const differs = !sameText(old, row, indexes[i] as number)
      changed[i] = differs ? 1 : 0
      if (differs) {
        anyChanged = true
        if (isKey[i] === true) keyChanged = true
      }
    }
    if (!anyChanged) return 0
    if (keyChanged) {
      this.appendKeyChange(w, old, row, stamp, op)
      return 2
    }
    this.openMessage(w, old)
    if (this.isFull) {
      this.appendAll(w, row, old)
      w.append(oldValueOpen)
      this.appendChanged(w, old, old, false)
    } else this.appendChanged(w, row, old, true)
    this.appendHeaders(w, this.updateHeaders, stamp, op)
    w.append(messageEnd)
    return 1
  }

  private appendKeyChange(w: ByteWriter, old: Tuple, row: Tuple, stamp: TransactionStamp, op: number): void {
    this.openMessage(w, old)
    this.appendOld(w, old)
    this.appendHeaders(w, this.deleteHeaders, stamp, op)
    w.append(keyChangeTo)
    w.append(this.keyText)
    this.appendKey(w, row, old)
    w.appendByte(quote)
    w.append(messageEnd)
    this.secondStart = w.length
    w.append(this.messageOpen)
    this.appendKey(w, row, old)
    w.append(valueOpen)
    this.appendAll(w, row, old)
    this.appendHeaders(w, this.insertHeaders, stamp, op + 1)
    w.append(keyChangeFrom)
    w.append(this.keyText)
    this.appendKey(w, old, old)
    w.appendByte(quote)
    w.append(messageEnd)
  }

  private openMessage(w: ByteWriter, row: Tuple): void {
    w.append(this.messageOpen)
    this.appendKey(w, row, row)
    w.append(valueOpen)
  }

  private appendHeaders(w: ByteWriter, headers: Buffer, stamp: TransactionStamp, op: number): void {
    w.append(headers)
    w.appendFirst(stamp.buffer, stamp.length)
    w.appendInteger(op)
  }

  /** `/` and each key column. A value that was not sent is that of `old`. */
  private appendKey(w: ByteWriter, row: Tuple, old: Tuple): void {
    const keyIndexes = this.keyIndexes
    for (let i = 0; i < keyIndexes.length; i++) {
      const index = keyIndexes[i] as number
      const from = row.lengths[index] === unchangedToastLength ? old : row
      const length = from.lengths[index] as number
      if (length < 0) w.append(nullKey)
      else {
        w.append(keyValueOpen)
        appendKeyText(w, from.buffer, from.starts[index] as number, length)
        w.append(keyValueClose)
      }
    }
  }

  /** The value of a delete. */
  private appendOld(w: ByteWriter, old: Tuple): void {
    if (this.isFull) return this.appendAll(w, old, old)
    this.changed.fill(0)
    this.appendChanged(w, old, old, true)
  }

  private appendAll(w: ByteWriter, row: Tuple, old: Tuple): void {
    const indexes = this.indexes
    for (let i = 0; i < indexes.length; i++) this.appendColumn(w, i, row, old, i === 0)
    w.appendByte(closeBrace)
  }

  /** The changed columns, `withKey` those of the key too. There is at least one. */
  private appendChanged(w: ByteWriter, row: Tuple, old: Tuple, withKey: boolean): void {
    const { changed, indexes, isKey } = this
    let first = true
    for (let i = 0; i < indexes.length; i++) {
      if (changed[i] === 0 && !(withKey && isKey[i] === true)) continue
      this.appendColumn(w, i, row, old, first)
      first = false
    }
    w.appendByte(closeBrace)
  }

  private appendColumn(w: ByteWriter, i: number, row: Tuple, old: Tuple, first: boolean): void {
    w.appendByte(first ? openBrace : comma)
    w.append(this.names[i] as Buffer)
    const index = this.indexes[i] as number
    const from = row.lengths[index] === unchangedToastLength ? old : row
    const length = from.lengths[index] as number
    if (length < 0) w.append(nullText)
    else {
      w.appendByte(quote)
      appendJsonText(w, from.buffer, from.starts[index] as number, length)
      w.appendByte(quote)
    }
  }
}

/** Whether column `i` has the same text in both rows. */
const sameText = (old: Tuple, row: Tuple, i: number): boolean => {
  const length = row.lengths[i] as number
  if (length === unchangedToastLength) return true
  if (length !== old.lengths[i]) return false
  if (length <= 0) return true
  const a = old.buffer
  const b = row.buffer
  const aStart = old.starts[i] as number
  const bStart = row.starts[i] as number
  if (length >= nativeCompareBytes)
    // A value that the change did not touch is that of the old row itself.
    return (
      (a === b && aStart === bStart) || a.compare(b, bStart, bStart + length, aStart, aStart + length) === 0
    )
  for (let at = 0; at < length; at++) if (a[aStart + at] !== b[bStart + at]) return false
  return true
}
