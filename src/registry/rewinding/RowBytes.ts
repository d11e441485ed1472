import { makeTuple, nullLength, type Tuple } from "../../postgres/Tuple.ts"

/** Before the bytes of each value: its length, or that it is NULL. */
const headerBytes = 4

let scratch = Buffer.allocUnsafe(4096)

/**
 * A row, or the columns of it that stand at `indexes`, as one string of a character for each byte: equal for equal rows, and only
 * for them. Takes little memory, and is looked up fast. A value that was not sent (an unchanged TOAST value) is none: the
 * caller has filled it in. A column that the row does not have (index -1) counts as NULL.
 */
export const rowBytes = (row: Tuple, indexes: ArrayLike<number>): string => {
  let bytes = headerBytes * indexes.length
  for (let i = 0; i < indexes.length; i++)
    bytes += Math.max(0, row.lengths[indexes[i] as number] ?? nullLength)
  if (bytes > scratch.length) scratch = Buffer.allocUnsafe(2 * bytes)
  let at = 0
  for (let i = 0; i < indexes.length; i++) {
    const index = indexes[i] as number
    const length = row.lengths[index] ?? nullLength
    at = scratch.writeInt32BE(length, at)
    if (length <= 0) continue
    const start = row.starts[index] as number
    at += row.buffer.copy(scratch, at, start, start + length)
  }
  const text = scratch.toString("latin1", 0, at)
  // One large row must not keep its room.
  if (scratch.length > 1 << 20) scratch = Buffer.allocUnsafe(4096)
  return text
}

/** The row of which `rowBytes` made the string, in a tuple that may be used again for the next row. */
export const rowInto = (row: Tuple, text: string, columns: number): Tuple => {
  if (row.starts.length < columns) {
    row.starts = new Int32Array(columns)
    row.lengths = new Int32Array(columns)
  }
  const buffer = Buffer.from(text, "latin1")
  row.buffer = buffer
  row.columnCount = columns
  let at = 0
  for (let i = 0; i < columns; i++) {
    const length = buffer.readInt32BE(at)
    at += headerBytes
    row.starts[i] = at
    row.lengths[i] = length < 0 ? nullLength : length
    if (length > 0) at += length
  }
  return row
}

/** The columns of a row that stand at `indexes`, NULL where there is none; its values are those of the row, not copies. */
export const projectTuple = (row: Tuple, indexes: ArrayLike<number>): Tuple =>
  projectInto(makeTuple(Math.max(1, indexes.length)), row, indexes)

/** The same in a tuple that is there, which may be used again for the next row. */
export const projectInto = (projected: Tuple, row: Tuple, indexes: ArrayLike<number>): Tuple => {
  const columns = indexes.length
  if (projected.starts.length < columns) {
    projected.starts = new Int32Array(columns)
    projected.lengths = new Int32Array(columns)
  }
  projected.buffer = row.buffer
  projected.columnCount = columns
  for (let i = 0; i < columns; i++) {
    const index = indexes[i] as number
    projected.lengths[i] = row.lengths[index] ?? nullLength
    projected.starts[i] = row.starts[index] ?? 0
  }
  return projected
}

/** Two rows with the same columns have the same values. */
export const areEqualRows = (a: Tuple, b: Tuple): boolean => {
  for (let i = 0; i < a.columnCount; i++) {
    const length = a.lengths[i] as number
    if (length !== b.lengths[i]) return false
    if (length <= 0) continue
    const from = a.starts[i] as number
    const other = b.starts[i] as number
    if (a.buffer.compare(b.buffer, other, other + length, from, from + length) !== 0) return false
  }
  return true
}
