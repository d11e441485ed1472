import type { ShapeState } from "./ShapeState.ts"

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
