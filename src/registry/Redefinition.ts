import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"

/** What a live shape is defined as from now on, in a way that its readers do not notice. */
export interface Redefinition {
  readonly shape: ShapeState
  readonly definition: ShapeDefinition
}

export type Redefine = (changes: ReadonlyArray<Redefinition>) => void
