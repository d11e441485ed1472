import { makeTuple, type Tuple } from "./Tuple.ts"

/** The same row in memory of its own: what stands between its values is left out as far as it lies at the ends. */
export const copyTuple = (tuple: Tuple): Tuple => {
  const { columnCount, lengths, starts } = tuple
  let from = tuple.buffer.length
  let to = 0
  for (let i = 0; i < columnCount; i++) {
    const length = lengths[i] as number
    if (length <= 0) continue
    const start = starts[i] as number
    if (start < from) from = start
    if (start + length > to) to = start + length
  }
  const copy = makeTuple(Math.max(1, columnCount))
  copy.columnCount = columnCount
  for (let i = 0; i < columnCount; i++) {
    const length = lengths[i] as number
    copy.lengths[i] = length
    copy.starts[i] = length > 0 ? (starts[i] as number) - from : 0
  }
  if (to > from) {
    copy.buffer = Buffer.allocUnsafeSlow(to - from)
    tuple.buffer.copy(copy.buffer, 0, from, to)
  }
  return copy
}
