import { Effect } from "effect"

/** Completes when everything else that is ready has had its turn. */
export const othersTurn: Effect.Effect<void> = Effect.callback((resume) => {
  const soon = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(soon))
})
