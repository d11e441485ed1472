import type { ShapeState } from "./state/ShapeState.ts"

/** What others want to be told by the storage engine. All but `onGone` have one listener at a time, which may be replaced. */
export interface EngineHooks {
  onDurable: (marker: number) => void
  onDropped: (shape: ShapeState, reason: string) => void
  /** The same, for whoever is not the session that writes: that one sets and resets `onDropped`. */
  readonly onGone: Set<(shape: ShapeState) => void>
  /** A follower has dropped a shape that it cannot read. Whoever writes does not know of it. */
  onDiscarded: (handle: string, reason: string) => void
}

export const noHooks = (): EngineHooks => ({
  onDurable: () => {},
  onDropped: () => {},
  onGone: new Set(),
  onDiscarded: () => {}
})
