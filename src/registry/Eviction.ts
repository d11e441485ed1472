import { Effect } from "effect"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import {
  evictionGraceMillis,
  evictionMillis,
  unreadLookMillis,
  unreadSliceShapes
} from "./RegistryTimings.ts"

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

/** Whether nobody reads the shape, and nobody has since then. */
const isUnread = (shape: ShapeState, sinceMillis: number): boolean =>
  shape.lastUsedMillis < sinceMillis &&
  shape.createdAtMillis < sinceMillis &&
  shape.snapshotComplete &&
  (shape.waiters === undefined || shape.waiters.size === 0)

/**
 * Drops shapes that nobody has read for so long, for as long as it is not interrupted. Who reads at other instances is not known, nor
 * who has read before this one was the active one: so none goes before it has been that for as long.
 */
export const keepDroppingUnread = (
  { store, timers }: StorageEngine,
  unreadMillis: number,
  drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
): Effect.Effect<never> => {
  const reason = `nobody has read it for ${Math.round(unreadMillis / 60_000)} minutes (BATON_SHAPE_DROP_AFTER)`
  const look = Effect.gen(function* () {
    const sinceMillis = timers.epochMillis() - unreadMillis
    const unread: Array<ShapeState> = []
    let inSlice = 0
    for (const shape of store.all()) {
      if (isUnread(shape, sinceMillis)) unread.push(shape)
      if (++inSlice % unreadSliceShapes === 0) yield* Effect.yieldNow
    }
    // Others had their turn meanwhile.
    for (let from = 0; from < unread.length; from += unreadSliceShapes) {
      drop(
        unread.slice(from, from + unreadSliceShapes).filter((shape) => isUnread(shape, sinceMillis)),
        reason
      )
      yield* Effect.yieldNow
    }
  })
  return Effect.andThen(
    Effect.sleep(unreadMillis),
    Effect.forever(Effect.andThen(look, Effect.sleep(unreadLookMillis)))
  )
}
