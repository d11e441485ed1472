/** A column value that is SQL NULL. */
export const nullLength = -1
/** A TOASTed value that the change did not touch and whose text was therefore not sent. */
export const unchangedToastLength = -2

/**
 * One row as slices of the buffer it was received in: no allocation per column.
 *
 * Column `i` is the UTF-8 text `buffer[starts[i] .. starts[i] + lengths[i]]`, produced by the type's output
 * function; `lengths[i]` may also be `nullLength` or `unchangedToastLength`. The arrays may be longer than
 * `columnCount` and are reused for the next row: a reader that keeps a tuple past the call copies it.
 */
export interface Tuple {
  buffer: Buffer
  columnCount: number
  starts: Int32Array
  lengths: Int32Array
}

export const makeTuple = (capacity = 64): Tuple => ({
  buffer: Buffer.alloc(0),
  columnCount: 0,
  starts: new Int32Array(capacity),
  lengths: new Int32Array(capacity)
})

/** Text of column `i`, `null` for SQL NULL. Allocates: not for hot paths that can work on the bytes. */
export const columnText = (tuple: Tuple, i: number): string | null => {
  const length = tuple.lengths[i] ?? nullLength
  if (length < 0) return null
  const start = tuple.starts[i] ?? 0
  return tuple.buffer.toString("utf8", start, start + length)
}

/** Bytes of all its values, NULLs and those that the change left out aside. */
export const bytesOf = (row: Tuple | undefined): number => {
  let bytes = 0
  for (let i = 0; i < (row?.columnCount ?? 0); i++) bytes += Math.max(0, row?.lengths[i] ?? 0)
  return bytes
}
