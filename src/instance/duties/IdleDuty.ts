import { Effect } from "effect"
import type { Timers } from "../../shared/Timers.ts"
import { idleLookMillis } from "./DutyTimings.ts"

/** Completes when there were no changes for so long, counted from now. */
export const awaitIdle = (
  timeoutMillis: number,
  lastTransactionMillis: () => number,
  timers: Pick<Timers, "nowMillis">
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const began = timers.nowMillis()
    while (timers.nowMillis() - Math.max(began, lastTransactionMillis()) < timeoutMillis)
      yield* Effect.sleep(Math.min(timeoutMillis, idleLookMillis))
  })
