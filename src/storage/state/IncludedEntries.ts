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

/** What is left of a shape's entries, now that it is known what its snapshot contains of the transactions in doubt. */
export const decidedEntries = (
  shape: ShapeState,
  tail: ShapeTail,
  undecided: ReadonlyArray<{ readonly tx: bigint; readonly xid: number }>,
  onLeftOut: (segment: number) => void
): ShapeTail => {
  const kept = new ShapeTail()
  const included = new Map<bigint, boolean>()
  for (const { tx, xid } of undecided) included.set(tx, shape.includes(tx, xid) ?? true)
  for (let i = 0; i < tail.count; i++) {
    const tx = tail.tx(i)
    if (included.get(tx) === false) {
      onLeftOut(tail.segment(i))
      continue
    }
    kept.push(tail.txHigh(i), tail.txLow(i), tail.op(i), tail.segment(i), tail.position(i), tail.length(i))
    if (tail.isLast(i)) kept.markLast(kept.count - 1)
  }
  return kept
}
