import type { ShapeState } from "../../storage/state/ShapeState.ts"

/** Shapes without sub-selects that are with those that have some, because their table was truncated. */
export class Guests {
  private readonly shapes = new Set<ShapeState>()
  /** The journal does not say yet that these are. */
  private unnoted: Array<ShapeState> = []

  get isEmpty(): boolean {
    return this.shapes.size === 0
  }
  all(): Iterable<ShapeState> {
    return Array.from(this.shapes)
  }

  /** The journal says so already. */
  add(shape: ShapeState): void {
    this.shapes.add(shape)
  }
  welcome(shape: ShapeState): void {
    this.shapes.add(shape)
    this.unnoted.push(shape)
  }
  has(shape: ShapeState): boolean {
    return this.shapes.has(shape)
  }
  delete(shape: ShapeState): void {
    this.shapes.delete(shape)
  }

  /** What the journal has to say before any transaction that they lack. */
  takeUnnoted(): ReadonlyArray<ShapeState> {
    const { unnoted } = this
    this.unnoted = []
    return unnoted
  }
}
