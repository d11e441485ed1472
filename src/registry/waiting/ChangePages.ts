import { makeTuple, type Tuple } from "../../postgres/Tuple.ts"
import type { Page, PageStore } from "./PageStore.ts"

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

/** Entries that stand behind each other in a page; positions count four bytes. */
interface Piece {
  readonly page: Page
  readonly from: number
  to: number
}

/** Rows before and after changes, one after the other, in pages of a store. Written once, then read as often as is wanted. */
export class ChangePages {
  private readonly store: PageStore
  private readonly pieces: Array<Piece> = []
  private piece: Piece | undefined
  private words: Int32Array = new Int32Array(0)

  constructor(store: PageStore) {
    this.store = store
  }

  add(what: number, op: number, oldRow: Tuple | undefined, row: Tuple | undefined): void {
    let size = headWords
    if (oldRow !== undefined) size += rowWords(oldRow) + inWords(measure(oldRow))
    if (row !== undefined) size += rowWords(row) + inWords(measure(row))
    const page = this.store.pageFor(size)
    if (this.piece?.page !== page) this.begin(page)
    const { words } = this
    const head = page.used
    words[head] = what
    words[head + 1] = op
    words[head + 2] = oldRow === undefined ? -1 : oldRow.columnCount
    words[head + 3] = row === undefined ? -1 : row.columnCount
    page.used += headWords
    if (oldRow !== undefined) this.put(page, oldRow)
    if (row !== undefined) this.put(page, row)
    if (this.piece !== undefined) this.piece.to = page.used
  }

  private begin(page: Page): void {
    page.users++
    this.piece = { page, from: page.used, to: page.used }
    this.pieces.push(this.piece)
    this.words = wordsOf(this.store.read(page))
  }

  private put(page: Page, row: Tuple): void {
    const { words } = this
    const bytes = measure(row)
    const { from, to } = extent
    let at = page.used
    words[at++] = bytes
    for (let i = 0; i < row.columnCount; i++) {
      words[at++] = (row.starts[i] as number) - from
      words[at++] = row.lengths[i] as number
    }
    row.buffer.copy(this.store.read(page), 4 * at, from, to)
    page.used = at + inWords(bytes)
  }

  /** In the order in which they were added. */
  *entries(): Iterable<Entry> {
    const room = spare.pop() ?? newRoom()
    const { entry, oldRow, row } = room
    try {
      for (const { from, page, to } of this.pieces) {
        const buffer = this.store.read(page)
        const words = wordsOf(buffer)
        for (let at = from; at < to;) {
          entry.what = words[at] as number
          entry.op = words[at + 1] as number
          const older = words[at + 2] as number
          const newer = words[at + 3] as number
          at += headWords
          entry.oldRow = older < 0 ? undefined : oldRow
          if (older >= 0) at = take(oldRow, older, buffer, words, at)
          entry.row = newer < 0 ? undefined : row
          if (newer >= 0) at = take(row, newer, buffer, words, at)
          yield entry
        }
      }
    } finally {
      oldRow.buffer = row.buffer = nothing
      if (spare.length < mostSpare) spare.push(room)
    }
  }

  /** Nobody reads it any more. */
  release(): void {
    this.piece = undefined
    for (const { page } of this.pieces.splice(0)) this.store.release(page)
  }
}

/** What entries are read into: made once for all transactions, of which some have a single row. */
interface Room {
  readonly entry: Entry
  readonly oldRow: Tuple
  readonly row: Tuple
}
const newRoom = (): Room => ({
  entry: { what: 0, op: 0, oldRow: undefined, row: undefined },
  oldRow: makeTuple(),
  row: makeTuple()
})
const nothing = Buffer.alloc(0)
/** Those that nobody reads into. */
const spare: Array<Room> = []
const mostSpare = 4

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
