import type { ShapeState } from "../state/ShapeState.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"

/** How shapes stand in the file of a checkpoint. */
export interface StoredShapes {
  /** It stands there as it is now, and maybe others beside it, each of which `written` is told. Gives how many these are. */
  readonly put: (shape: ShapeState, written: (shape: ShapeState) => void, store: ShapeStore) => number
  /** It stands there no longer, once all of `settle` has been gone through. */
  readonly remove: (id: number) => void
  /** Gives how many shapes were written in each step, as `put` does. */
  readonly settle: (written: (shape: ShapeState) => void, store: ShapeStore) => Iterable<number>
}
