import { Effect } from "effect"
import { dormancyPauseMillis, dormancySlice, longestDormancyPauseMillis } from "../StorageTimings.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { ShapeStore } from "./ShapeStore.ts"

/**
 * Makes shapes dormant that nobody has read for so long, on an instance of any kind, for as long as it is not interrupted. It looks
 * at a slice of them at a time. A shape that is woken by a change alone is dormant again after the next look.
 */
export const keepDormant = (
  engine: { readonly store: ShapeStore; readonly timers: Timers },
  afterMillis: number
): Effect.Effect<never> => {
  const pauseMillis = Math.min(
    longestDormancyPauseMillis,
    Math.max(dormancyPauseMillis, Math.floor(afterMillis / 4))
  )
  const look = Effect.gen(function* () {
    const { store } = engine
    const before = engine.timers.epochMillis() - afterMillis
    let inSlice = 0
    for (const shape of store.all()) {
      if (!shape.isDormant && shape.lastUsedMillis < before) shape.sleep(store.dormant)
      if (++inSlice % dormancySlice !== 0) continue
      yield* Effect.yieldNow
      // Storage was loaded anew.
      if (engine.store !== store) return
    }
  })
  return Effect.forever(Effect.andThen(Effect.sleep(pauseMillis), look))
}
