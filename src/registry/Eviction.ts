import { Effect } from "effect"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { evictionGraceMillis, evictionMillis } from "./RegistryTimings.ts"

/** Shapes that are to go, so that there are no more than `maxShapes`: those that were not used for longest. */
const shapesToEvict = ({ store, timers }: StorageEngine, maxShapes: number): ReadonlyArray<ShapeState> => {
  if (store.count <= maxShapes) return []
  const settled = timers.epochMillis() - evictionGraceMillis
  const candidates = Array.from(store.all()).filter(
    (shape) => shape.snapshotComplete && (shape.createdAtMillis < settled || shape.lastUsedMillis < settled)
  )
  candidates.sort((a, b) => a.lastUsedMillis - b.lastUsedMillis || a.id - b.id)
  return candidates.slice(0, store.count - maxShapes)
}

/** Looks once a second, for as long as it is not interrupted. */
export const keepEvicting = (
  engine: StorageEngine,
  limit: { readonly maxShapes: number | undefined },
  drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
): Effect.Effect<never> =>
  Effect.forever(
    Effect.andThen(
      Effect.sleep(evictionMillis),
      Effect.sync(() => {
        const { maxShapes } = limit
        if (maxShapes === undefined) return
        const reason = `there are more than ${maxShapes} shapes and it was used least recently`
        drop(shapesToEvict(engine, maxShapes), reason)
      })
    )
  )
