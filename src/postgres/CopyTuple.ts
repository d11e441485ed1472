import { makeTuple, type Tuple } from "./Tuple.ts"

/** Where the values of a row begin and end in its buffer; what stands between them is not looked at. */
const extentOf = ({ buffer, columnCount, lengths, starts }: Tuple): readonly [number, number] => {
  let from = buffer.length
  let to = 0
  for (let i = 0; i < columnCount; i++) {
    const length = lengths[i] as number
    if (length <= 0) continue
    const start = starts[i] as number
    if (start < from) from = start
    if (start + length > to) to = start + length
  }
  return [Math.min(from, to), to]
}

const placed = ({ columnCount, lengths, starts }: Tuple, buffer: Buffer, shift: number): Tuple => {
  const copy = makeTuple(Math.max(1, columnCount))
  copy.columnCount = columnCount
  copy.buffer = buffer
  for (let i = 0; i < columnCount; i++) {
    const length = lengths[i] as number
    copy.lengths[i] = length
    copy.starts[i] = length > 0 ? (starts[i] as number) + shift : 0
  }
  return copy
}

/** The same row in memory of its own: what stands between its values is left out as far as it lies at the ends. */
export const copyTuple = (tuple: Tuple): Tuple => {
  const [from, to] = extentOf(tuple)
  const buffer = Buffer.allocUnsafeSlow(to - from)
  tuple.buffer.copy(buffer, 0, from, to)
  return placed(tuple, buffer, -from)
}

const smallestPageBytes = 1024
const largestPageBytes = 256 * 1024

/** Rows that are kept for equally long: one after the other in shared memory, of which there is no more than twice their size. */
export class TuplePages {
  private page: Buffer = Buffer.alloc(0)
  private used = 0
  private nextPageBytes = smallestPageBytes

  /** The same row; bytes of it that are in memory. */
  copy(tuple: Tuple): { readonly row: Tuple; readonly bytes: number } {
    const [from, to] = extentOf(tuple)
    const bytes = to - from
    if (bytes > this.page.length - this.used) this.turn(bytes)
    tuple.buffer.copy(this.page, this.used, from, to)
    const row = placed(tuple, this.page, this.used - from)
    this.used += bytes
    return { row, bytes }
  }

  private turn(bytes: number): void {
    this.page = Buffer.allocUnsafeSlow(Math.max(bytes, this.nextPageBytes))
    this.used = 0
    this.nextPageBytes = Math.min(2 * this.nextPageBytes, largestPageBytes)
  }
}
