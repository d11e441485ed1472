import type { Tuple } from "../../postgres/Tuple.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { HeldRows } from "../folding/HeldRows.ts"
import type { RowLayout } from "../folding/RowLayout.ts"

/** A shape whose rows are compared. */
export interface Compared {
  readonly shape: ShapeState
  readonly layout: RowLayout
  /** Where its columns stand in the rows that come. */
  readonly indexes: ReadonlyArray<number>
  /** Which look at the database counts; see `HeldRows`. */
  readonly look: number
}

/** What is done about rows of shapes that are not what the database has. Rows are packed, see `RowLayout`. */
export interface Differences {
  /** The shape lacks the row. */
  readonly insert: (shape: number, layout: RowLayout, key: string, row: Uint8Array) => void
  /** The shape has it otherwise. */
  readonly update: (shape: number, layout: RowLayout, key: string, old: Uint8Array, row: Uint8Array) => void
  /** The shape has a row that is not there. */
  readonly delete: (shape: number, layout: RowLayout, key: string, row: Uint8Array) => void
}

/** Compares what shapes hold with the rows that the database has. */
export class TableComparison {
  private readonly held: HeldRows
  private readonly differences: Differences

  constructor(held: HeldRows, differences: Differences) {
    this.held = held
    this.differences = differences
  }

  /** A row of the database that belongs to the shape. Once the same row has come, it makes no difference any more. */
  row({ indexes, layout, look, shape }: Compared, row: Tuple): void {
    const key = layout.keyOf(row, indexes)
    const now = layout.pack(row, indexes)
    const before = this.held.found(shape.id, key, look)
    if (before === undefined) this.differences.insert(shape.id, layout, key, now)
    else if (now.equals(before)) return
    else this.differences.update(shape.id, layout, key, before, now)
    this.held.put(shape.id, key, now, look)
  }

  /** All rows have come: what the shape holds beside them has gone. Gives way after each. */
  *end({ layout, look, shape }: Compared): Generator<void> {
    for (const { key, row } of this.held.notFound(shape.id, look)) {
      this.differences.delete(shape.id, layout, key, row)
      yield
    }
  }
}
