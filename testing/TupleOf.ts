import { makeTuple, nullLength, type Tuple } from "../src/postgres/Tuple.ts"

/** A row of texts, as the stream would have brought it. */
export const tupleOf = (values: ReadonlyArray<string | null>): Tuple => {
  const tuple = makeTuple(Math.max(1, values.length))
  const parts: Array<Buffer> = []
  let at = 0
  values.forEach((value, i) => {
    tuple.starts[i] = at
    if (value === null) tuple.lengths[i] = nullLength
    else {
      const bytes = Buffer.from(value, "utf8")
      parts.push(bytes)
      tuple.lengths[i] = bytes.length
      at += bytes.length
    }
  })
  tuple.buffer = Buffer.concat(parts)
  tuple.columnCount = values.length
  return tuple
}
