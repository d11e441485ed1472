import type { ShapeState } from "../state/ShapeState.ts"

/** A shape whose log may be worth to be compacted, and the bytes that this is about. */
export interface Candidate {
  readonly shape: ShapeState
  readonly bytes: number
}

/** By their ids, beginning behind `last`. */
const afterLast = (found: ReadonlyArray<Candidate>, last: number): ReadonlyArray<Candidate> => {
  const byId = found.toSorted((a, b) => a.shape.id - b.shape.id)
  const first = byId.findIndex(({ shape }) => shape.id > last)
  return first <= 0 ? byId : [...byId.slice(first), ...byId.slice(0, first)]
}

/**
 * Each once: the one that may give most, then one whose turn it is, and so on. So however many there are, and however little time, a
 * large log does not wait for many small ones, and none waits for ever. `last`: whose turn was last.
 */
export function* inTurns(found: ReadonlyArray<Candidate>, last: number): Generator<ShapeState, undefined> {
  const most = found.toSorted((a, b) => b.bytes - a.bytes)
  const turns = afterLast(found, last)
  const given = new Set<ShapeState>()
  for (let i = 0; i < found.length; i++)
    for (const { shape } of [most[i], turns[i]] as ReadonlyArray<Candidate>) {
      if (given.has(shape)) continue
      given.add(shape)
      yield shape
    }
  return undefined
}

/** Whose turn was last, of those that were looked at: all before it were, too. */
export const lastLooked = (
  found: ReadonlyArray<Candidate>,
  last: number,
  looked: ReadonlySet<ShapeState>
): number => {
  let reached = last
  for (const { shape } of afterLast(found, last)) {
    if (!looked.has(shape)) break
    reached = shape.id
  }
  return reached
}
