import { Context, Effect } from "effect"

/**
 * Goes through a takeover, and through giving the lock back, on nothing that counts: see `goThroughTakeover`. Never fails. Does nothing where
 * nobody provides it.
 */
export const TakeoverPractice = Context.Reference<Effect.Effect<void>>(
  "baton/instance/duties/TakeoverPractice",
  {
    defaultValue: () => Effect.void
  }
)
