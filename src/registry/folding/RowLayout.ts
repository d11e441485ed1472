import { quoteTable } from "../../postgres/Identifiers.ts"
import { columnText, makeTuple, nullLength, type Tuple } from "../../postgres/Tuple.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { makeRowEncoder, rowColumns } from "../snapshot/RowQuery.ts"
import { makeWireEncoder, type WireEncoder } from "../../shapes/WireEncoder.ts"

/** Of a value: its length, that it is NULL, or that readers do not have the column. */
const headerBytes = 4
/** Readers do not have the column: it was added since they were given the row. */
const absentLength = -3
const absent = Symbol("absent")
/** Behind the last value: readers have another column besides, which was dropped or renamed since. */
const surplusMark = -4

/**
 * How rows of a shape are kept and compared: the texts of its columns, and of its key where that is not among them, in the order
 * of `rowColumns`; and the key as messages have it. Equal rows are equal bytes.
 */
export class RowLayout {
  readonly encoder: WireEncoder
  /** Updates have all columns, and what they were before. */
  readonly isFull: boolean
  private readonly columns: ReadonlyArray<string>
  private readonly keyIndexes: ReadonlyArray<number>
  private readonly keyStart: string
  private readonly scratch = makeTuple()
  /** Of the row that is being packed. */
  private readonly texts: Array<string | null | typeof absent>
  private readonly definition: ShapeDefinition
  private readonly mayDiffer: boolean
  /** For rows of which readers have some columns only, by which these are. */
  private readonly narrower = new Map<string, WireEncoder>()

  /** `mayDiffer`: messages may have been written when the table had other columns. Otherwise a row without all of them counts as none. */
  constructor(definition: ShapeDefinition, { mayDiffer = false }: { readonly mayDiffer?: boolean } = {}) {
    this.definition = definition
    this.mayDiffer = mayDiffer
    this.isFull = definition.replica === "full"
    this.columns = rowColumns(definition)
    this.texts = this.columns.map(() => null)
    this.keyIndexes = definition.keyColumns.map((name) => this.columns.indexOf(name))
    this.keyStart = quoteTable(definition.table)
    this.encoder = makeRowEncoder(definition)
  }

  /** Where the columns stand in rows that have these; -1 where they do not. */
  indexesIn(columns: ReadonlyArray<string>): ReadonlyArray<number> {
    return this.columns.map((name) => columns.indexOf(name))
  }

  /** The key of a row whose columns stand at `indexes`; see `WireEncoder`. */
  keyOf(row: Tuple, indexes: ReadonlyArray<number>): string {
    let key = this.keyStart
    for (const at of this.keyIndexes) {
      const text = columnText(row, indexes[at] as number)
      key += text === null ? "/_" : `/"${text.replaceAll("/", "//")}"`
    }
    return key
  }

  /** The row whose columns stand at `indexes`. */
  pack(row: Tuple, indexes: ReadonlyArray<number>): Buffer {
    let bytes = headerBytes * indexes.length
    for (const index of indexes) bytes += Math.max(0, row.lengths[index] as number)
    const packed = Buffer.allocUnsafe(bytes)
    let at = 0
    for (const index of indexes) {
      const length = row.lengths[index] as number
      at = packed.writeInt32LE(length < 0 ? nullLength : length, at)
      if (length <= 0) continue
      const start = row.starts[index] as number
      at += row.buffer.copy(packed, at, start, start + length)
    }
    return packed
  }

  /** In a tuple that may be used again for the next row. */
  unpack(packed: Uint8Array, scratch: Tuple): Tuple {
    const { columns } = this
    const buffer = Buffer.from(packed.buffer, packed.byteOffset, packed.length)
    if (scratch.starts.length < columns.length) {
      scratch.starts = new Int32Array(columns.length)
      scratch.lengths = new Int32Array(columns.length)
    }
    scratch.buffer = buffer
    scratch.columnCount = columns.length
    let at = 0
    for (let i = 0; i < columns.length; i++) {
      const length = buffer.readInt32LE(at)
      at += headerBytes
      scratch.starts[i] = at
      scratch.lengths[i] = length
      if (length > 0) at += length
    }
    return scratch
  }

  /**
   * The row after a message with this value, an insert of which has all columns: what the value does not say is as `before`, or, of
   * columns that no message has, as the key says. `undefined` where a column is not known.
   */
  packValue(
    value: Readonly<Record<string, unknown>>,
    key: string,
    before: Uint8Array | undefined,
    isInsert: boolean
  ): Buffer | undefined {
    const known = before === undefined ? undefined : this.textsOf(before)
    const { texts } = this
    let bytes = headerBytes * texts.length
    let said = 0
    for (let i = 0; i < this.columns.length; i++) {
      const here = value[this.columns[i] as string]
      if (here !== undefined) said++
      const text = here === undefined ? (known === undefined ? this.keyText(key, i) : known[i]) : here
      if (text === undefined && this.mayDiffer && (isInsert || known !== undefined)) texts[i] = absent
      else if (text === null) texts[i] = null
      else if (typeof text !== "string") return undefined
      else {
        texts[i] = text
        bytes += Buffer.byteLength(text)
      }
    }
    const isSurplus =
      this.mayDiffer &&
      (Object.keys(value).length > said || (before !== undefined && this.hasSurplus(before)))
    const packed = Buffer.allocUnsafe(isSurplus ? bytes + headerBytes : bytes)
    let at = 0
    for (const text of texts) {
      const length = typeof text === "string" ? packed.write(text, at + headerBytes) : 0
      const header = text === null ? nullLength : text === absent ? absentLength : length
      at = packed.writeInt32LE(header, at) + length
    }
    if (isSurplus) packed.writeInt32LE(surplusMark, at)
    return packed
  }

  /** Readers have a column of the row that the shape has no more: no update rids them of it. */
  hasSurplus(packed: Uint8Array): boolean {
    if (!this.mayDiffer) return false
    const { lengths, starts } = this.unpack(packed, this.scratch)
    const last = this.columns.length - 1
    return (starts[last] as number) + Math.max(0, lengths[last] as number) < packed.length
  }

  /** Readers lack a column of the row. */
  lacksColumns(packed: Uint8Array): boolean {
    return this.encoderOf(packed) !== this.encoder
  }

  /** Writes of the row what readers have of it. */
  encoderOf(packed: Uint8Array): WireEncoder {
    if (!this.mayDiffer) return this.encoder
    const { lengths } = this.unpack(packed, this.scratch)
    const lacking = this.columns.filter((_, i) => lengths[i] === absentLength)
    if (lacking.length === 0) return this.encoder
    const key = lacking.join("\0")
    let encoder = this.narrower.get(key)
    if (encoder === undefined) {
      const columns = this.definition.columns.filter((name) => !lacking.includes(name))
      encoder = makeWireEncoder(this.columns, { ...this.definition, columns }) ?? this.encoder
      this.narrower.set(key, encoder)
    }
    return encoder
  }

  /** The names of the columns in which two rows differ. */
  differing(one: Uint8Array, other: Uint8Array): ReadonlyArray<string> {
    const texts = this.textsOf(one)
    const others = this.textsOf(other)
    return this.columns.filter((_, i) => texts[i] !== others[i])
  }

  /** `undefined` of a column that readers do not have. */
  private textsOf(packed: Uint8Array): ReadonlyArray<string | null | undefined> {
    const row = this.unpack(packed, this.scratch)
    return this.columns.map((_, i) => (row.lengths[i] === absentLength ? undefined : columnText(row, i)))
  }

  private keyText(key: string, column: number): string | null | undefined {
    const at = this.keyIndexes.indexOf(column)
    return at < 0 || !key.startsWith(this.keyStart)
      ? undefined
      : keyTexts(key.slice(this.keyStart.length))[at]
  }
}

/** What stands behind the name of the table: the texts of the key's columns. No single `/` stands inside a text. */
const keyTexts = (text: string): ReadonlyArray<string | null> => {
  const texts: Array<string | null> = []
  for (let at = 0; at < text.length;) {
    if (text.startsWith("/_", at)) {
      texts.push(null)
      at += 2
      continue
    }
    let end = at + 2
    for (; end < text.length; end++) {
      if (text[end] !== "/") continue
      if (text[end + 1] !== "/") break
      end++
    }
    texts.push(text.slice(at + 2, end - 1).replaceAll("//", "/"))
    at = end
  }
  return texts
}
