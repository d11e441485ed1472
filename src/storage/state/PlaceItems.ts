import { lowerHalf, upperHalf } from "../../shared/Uint64.ts"
import { asleep, type EntryAt } from "./AsleepEntries.ts"
import type { PendingItems } from "./PendingItems.ts"
import type { ShapeState } from "./ShapeState.ts"
import { ShapeTail } from "./ShapeTail.ts"

/** Room for so many is kept for the next transaction. */
const keptShapes = 1024

/** Shapes that a transaction has something for, in a list that the next one uses again: one for each would be much garbage. */
export class TouchedShapes {
  private shapes: Array<ShapeState | undefined> = []
  count = 0
  private mark = 0

  /** A number of its own for each transaction, by which its shapes are known. */
  begin(): number {
    return ++this.mark
  }

  add(shape: ShapeState): void {
    this.shapes[this.count++] = shape
  }

  /** With `i` below `count`. */
  at(i: number): ShapeState {
    return this.shapes[i] as ShapeState
  }

  clear(): void {
    if (this.count > keptShapes) this.shapes = []
    else this.shapes.fill(undefined, 0, this.count)
    this.count = 0
  }
}

/** Where messages come to stand. */
export interface Places {
  readonly get: (id: number) => ShapeState | undefined
  /** There is no shape with this id, or none any more. */
  readonly unknown: (id: number) => void
  /** Takes the shapes that something was placed for. */
  readonly touched: TouchedShapes
  /** Takes those that it would put out of order. */
  readonly disordered: Set<ShapeState>
}

/** One for all entries of a transaction. */
export class EntryPlace implements EntryAt {
  readonly tx: bigint
  readonly xid: number
  readonly high: number
  readonly low: number
  readonly segment: number
  readonly chunkBytesThreshold: number
  op = 0
  position = 0
  length = 0

  constructor(tx: bigint, xid: number, segment: number, chunkBytesThreshold: number) {
    this.tx = tx
    this.xid = xid
    this.high = upperHalf(tx)
    this.low = lowerHalf(tx)
    this.segment = segment
    this.chunkBytesThreshold = chunkBytesThreshold
  }
}

/** Puts the messages of a transaction that is complete behind those that their shapes have. Gives how many entries that makes. */
export const placeItems = (
  pending: PendingItems,
  entry: EntryPlace,
  isLate: boolean,
  places: Places
): number => {
  const { touched } = places
  const mark = touched.begin()
  const retracted = isLate ? undefined : pending.retracted
  let entries = 0
  const order = pending.inOrder ? undefined : pending.byOp()
  for (let n = 0; n < pending.items; n++) {
    const i = order === undefined ? n : (order[n] as number)
    entry.op = pending.op(i)
    entry.position = pending.position(i)
    entry.length = pending.length(i)
    const end = pending.idsEnd(i)
    for (let next = pending.idsStart(i); next < end; next++) {
      const id = pending.id(next)
      const shape = places.get(id)
      if (shape === undefined) {
        places.unknown(id)
        continue
      }
      if (retracted === undefined ? entry.tx <= shape.end.tx : retracted.has(id)) continue
      if (!isLate && shape.isDormant) {
        const became = shape.receiveAsleep(entry)
        if (became !== asleep.unsaid) {
          if (became >= asleep.first) entries++
          if (became === asleep.first) touched.add(shape)
          continue
        }
      }
      entries += placeOne(shape, entry, isLate, mark, places)
    }
  }
  return entries
}

const placeOne = (
  shape: ShapeState,
  entry: EntryPlace,
  isLate: boolean,
  mark: number,
  { disordered, touched }: Places
): number => {
  const { length, tx, xid } = entry
  const included = isLate ? shape.includesLate(tx, xid) : shape.includes(tx, xid)
  if (included === false) return 0
  shape.wake()
  let tail = shape.tail
  if (tail === undefined) {
    // Files may already hold this transaction when the journal is applied again from an earlier point.
    if (shape.files.length > 0 && tx <= shape.filesEnd().tx) return 0
    tail = shape.tail = new ShapeTail()
  }
  if (!tail.push(entry.high, entry.low, entry.op, entry.segment, entry.position, length)) {
    disordered.add(shape)
    return 0
  }
  shape.openChunkBytes += length
  if (shape.openChunkBytes >= entry.chunkBytesThreshold) {
    tail.markChunkEnd(tail.count - 1)
    shape.openChunkBytes = 0
  }
  if (shape.touchedBy !== mark) {
    shape.touchedBy = mark
    touched.add(shape)
    if (included === undefined) (shape.undecided ??= []).push({ tx, xid })
  }
  return 1
}
