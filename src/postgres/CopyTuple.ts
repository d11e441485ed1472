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
