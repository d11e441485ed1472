import { quoteTable } from "../../postgres/Identifiers.ts"
import { columnText, makeTuple, nullLength, type Tuple } from "../../postgres/Tuple.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { makeRowEncoder, rowColumns } from "../snapshot/RowQuery.ts"
import type { WireEncoder } from "../../shapes/WireEncoder.ts"

/** Of a value: its length, or that it is NULL. */
const headerBytes = 4

/**
 * How rows of a shape are kept and compared: the texts of its columns, and of its key where that is not among them, in the order
 * of `rowColumns`; and the key as messages have it. Equal rows are equal bytes.
 */
export class RowLayout {
  readonly encoder: WireEncoder
  private readonly columns: ReadonlyArray<string>
  private readonly keyIndexes: ReadonlyArray<number>
  private readonly keyStart: string
  private readonly scratch = makeTuple()

  constructor(definition: ShapeDefinition) {
    this.columns = rowColumns(definition)
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
   * The row after a message with this value: what the value does not say is as `before`, or, of columns that no message has, as
   * the key says. `undefined` where a column is not known.
   */
  packValue(
    value: Readonly<Record<string, unknown>>,
    key: string,
    before: Uint8Array | undefined
  ): Buffer | undefined {
    const known = before === undefined ? undefined : this.textsOf(before)
    const parts: Array<Buffer> = []
    for (let i = 0; i < this.columns.length; i++) {
      const said = value[this.columns[i] as string]
      const text = said === undefined ? (known === undefined ? this.keyText(key, i) : known[i]) : said
      if (text === undefined || (text !== null && typeof text !== "string")) return undefined
      const header = Buffer.allocUnsafe(headerBytes)
      header.writeInt32LE(text === null ? nullLength : Buffer.byteLength(text), 0)
      parts.push(header)
      if (text !== null) parts.push(Buffer.from(text, "utf8"))
    }
    return Buffer.concat(parts)
  }

  private textsOf(packed: Uint8Array): ReadonlyArray<string | null> {
    const row = this.unpack(packed, this.scratch)
    return this.columns.map((_, i) => columnText(row, i))
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
