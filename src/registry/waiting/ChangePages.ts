import { makeTuple, type Tuple } from "../../postgres/Tuple.ts"
import { fullPageBytes, type Page, type PageStore } from "./PageStore.ts"

const smallestPageBytes = 1024

/** In numbers of four bytes: what was changed, the operation, and the columns of the old and the new row, -1 for none. */
const headWords = 4

/** A row without its values: how many bytes they take, and for each where it begins, and its length. */
const rowWords = (row: Tuple): number => 1 + 2 * row.columnCount

/** Where the values of a row begin and end in its buffer; what stands between them is kept too. */
const extent = { from: 0, to: 0 }
const measure = ({ buffer, columnCount, lengths, starts }: Tuple): number => {
  let from = buffer.length
  let to = 0
  for (let i = 0; i < columnCount; i++) {
    const length = lengths[i] as number
    if (length <= 0) continue
    const start = starts[i] as number
    if (start < from) from = start
    if (start + length > to) to = start + length
  }
  extent.from = Math.min(from, to)
  extent.to = to
  return to - extent.from
}

const inWords = (bytes: number): number => (bytes + 3) >>> 2

/** One entry as it was added. Both it and its rows are valid until the next one is read. */
interface Entry {
  what: number
  op: number
  oldRow: Tuple | undefined
  row: Tuple | undefined
}

interface FilledPage {
  readonly page: Page
  /** Of four bytes, that are filled. */
  readonly words: number
}

/** Rows before and after changes, one after the other, in pages of a store. Written once, then read as often as is wanted. */
export class ChangePages {
  private readonly store: PageStore
  private readonly filled: Array<FilledPage> = []
  private page: (Page & { bytes: Buffer }) | undefined
  private words: Int32Array = new Int32Array(0)
  private used = 0
  private nextPageBytes = smallestPageBytes

  constructor(store: PageStore) {
    this.store = store
  }

  add(what: number, op: number, oldRow: Tuple | undefined, row: Tuple | undefined): void {
    let words = headWords
    if (oldRow !== undefined) words += rowWords(oldRow) + inWords(measure(oldRow))
    if (row !== undefined) words += rowWords(row) + inWords(measure(row))
    if (this.used + words > this.words.length) this.turn(4 * words)
    const head = this.used
    this.words[head] = what
    this.words[head + 1] = op
    this.words[head + 2] = oldRow === undefined ? -1 : oldRow.columnCount
    this.words[head + 3] = row === undefined ? -1 : row.columnCount
    this.used += headWords
    if (oldRow !== undefined) this.put(oldRow)
    if (row !== undefined) this.put(row)
  }

  private put(row: Tuple): void {
    const { page, words } = this
    if (page === undefined) return
    const bytes = measure(row)
    const { from, to } = extent
    let at = this.used
    words[at++] = bytes
    for (let i = 0; i < row.columnCount; i++) {
      words[at++] = (row.starts[i] as number) - from
      words[at++] = row.lengths[i] as number
    }
    row.buffer.copy(page.bytes, 4 * at, from, to)
    this.used = at + inWords(bytes)
  }

  private turn(bytes: number): void {
    this.settle()
    const page = this.store.take(Math.max((bytes + 3) & ~3, this.nextPageBytes))
    this.nextPageBytes = Math.min(2 * this.nextPageBytes, fullPageBytes)
    this.page = page
    this.words = wordsOf(page.bytes)
    this.used = 0
  }

  private settle(): void {
    const { page } = this
    if (page === undefined) return
    this.filled.push({ page, words: this.used })
    this.store.settle(page)
    this.page = undefined
  }

  /** In the order in which they were added. */
  *entries(): Iterable<Entry> {
    const entry: Entry = { what: 0, op: 0, oldRow: undefined, row: undefined }
    const [oldRow, row] = [makeTuple(), makeTuple()]
    const open = this.page === undefined ? [] : [{ page: this.page, words: this.used }]
    for (const { page, words: end } of [...this.filled, ...open]) {
      const buffer = this.store.read(page)
      const words = wordsOf(buffer)
      for (let at = 0; at < end;) {
        entry.what = words[at] as number
        entry.op = words[at + 1] as number
        const [older, newer] = [words[at + 2] as number, words[at + 3] as number]
        at += headWords
        entry.oldRow = older < 0 ? undefined : oldRow
        if (older >= 0) at = take(oldRow, older, buffer, words, at)
        entry.row = newer < 0 ? undefined : row
        if (newer >= 0) at = take(row, newer, buffer, words, at)
        yield entry
      }
    }
  }

  /** Nobody reads it any more. */
  release(): void {
    this.settle()
    for (const { page } of this.filled.splice(0)) this.store.release(page)
  }
}

/** Pages begin where a buffer of their own does. */
const wordsOf = (page: Buffer): Int32Array => new Int32Array(page.buffer, page.byteOffset, page.length >>> 2)

const take = (row: Tuple, columns: number, buffer: Buffer, words: Int32Array, from: number): number => {
  if (row.starts.length < columns) {
    row.starts = new Int32Array(columns)
    row.lengths = new Int32Array(columns)
  }
  const values = 4 * (from + 1 + 2 * columns)
  let at = from + 1
  for (let i = 0; i < columns; i++) {
    row.starts[i] = values + (words[at++] as number)
    row.lengths[i] = words[at++] as number
  }
  row.buffer = buffer
  row.columnCount = columns
  return at + inWords(words[from] as number)
}
