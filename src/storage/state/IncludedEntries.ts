import type { ShapeState } from "./ShapeState.ts"
import { ShapeTail } from "./ShapeTail.ts"

/** The entries from `from` on of transactions that the shape's snapshot does not contain, or of which that is not known yet. */
export const includedIn = (
  shape: ShapeState,
  entries: ShapeTail,
  from: number,
  xidOf: (tx: bigint) => number
): ShapeTail => {
  const kept = new ShapeTail()
  for (let i = from; i < entries.count;) {
    const tx = entries.tx(i)
    const xid = xidOf(tx)
    const included = shape.includes(tx, xid)
    if (included === undefined) (shape.undecided ??= []).push({ tx, xid })
    const start = i
    while (i < entries.count && entries.tx(i) === tx) i++
    if (included !== false) kept.append(entries, start, i)
  }
  return kept
}
