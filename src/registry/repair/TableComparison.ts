import type { Tuple } from "../../postgres/Tuple.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { DifferenceWriter } from "./DifferenceWriter.ts"
import type { HeldRows } from "./HeldRows.ts"
import type { RowLayout } from "./RowLayout.ts"

/** A shape whose rows are compared. */
export interface Compared {
  readonly shape: ShapeState
  readonly layout: RowLayout
  /** Where its columns stand in the rows that come. */
  readonly indexes: ReadonlyArray<number>
  /** Which look at the database counts; see `HeldRows`. */
  readonly look: number
}

/** Compares what shapes hold with the rows that the database has, and writes the difference. */
export class TableComparison {
  private readonly held: HeldRows
  private readonly writer: DifferenceWriter

  constructor(held: HeldRows, writer: DifferenceWriter) {
    this.held = held
    this.writer = writer
  }

  /** A row of the database that belongs to the shape. Once the same row has come, it makes no difference any more. */
  row({ indexes, layout, look, shape }: Compared, row: Tuple): void {
    const key = layout.keyOf(row, indexes)
    const now = layout.pack(row, indexes)
    const before = this.held.found(shape.id, key, look)
    if (before === undefined) this.writer.insert(shape.id, layout, now)
    else if (now.equals(before)) return
    else this.writer.update(shape.id, layout, before, now)
    this.held.put(shape.id, key, now, look)
  }

  /** All rows have come: what the shape holds beside them has gone. Gives way after each. */
  *end({ layout, look, shape }: Compared): Generator<void> {
    for (const { row } of this.held.notFound(shape.id, look)) {
      this.writer.delete(shape.id, layout, row)
      yield
    }
  }
}
