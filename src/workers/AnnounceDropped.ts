import { Effect, type Scope } from "effect"
import type { StorageEngine } from "../storage/StorageEngine.ts"

/**
 * Tells of shapes as soon as this process has dropped them, all of one turn of the event loop at once: its own clients
 * learn of it now, and the journal's record takes the time of a disk. What this process only reads of, others read as
 * well.
 */
export const announceDropped = (
  engine: StorageEngine,
  tell: (ids: Uint32Array) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        let gone: Array<number> = []
        return engine.listeners.dropped.subscribe((shape) => {
          if (engine.writer === undefined) return
          if (gone.push(shape.id) > 1) return
          queueMicrotask(() => {
            const ids = Uint32Array.from(gone)
            gone = []
            tell(ids)
          })
        })
      }),
      (unsubscribe) => Effect.sync(unsubscribe)
    )
  )
