import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import type { ShapeLogs } from "../../storage/ShapeLogs.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { nowMillis } from "../../shared/Timers.ts"
import { processedLookMillis, processedMillis } from "../RegistryTimings.ts"
import { VerifyFailed } from "./VerifyFailed.ts"

/** Completes when the logs of these shapes have all changes before `lsn`. Fails when they stop getting any nearer. */
export const untilProcessed = (
  logs: Pick<ShapeLogs["Service"], "lastSeenLsn">,
  shapes: ReadonlyArray<ShapeState>,
  lsn: Lsn,
  askForPosition: () => void
): Effect.Effect<void, VerifyFailed> =>
  Effect.gen(function* () {
    let nearest = -1n
    let sinceMillis = yield* nowMillis
    while (true) {
      let furthestBehind = lsn
      for (const shape of shapes) {
        const seen = shape.dropped ? lsn : logs.lastSeenLsn(shape)
        if (seen < furthestBehind) furthestBehind = seen
      }
      if (furthestBehind >= lsn) return
      const now = yield* nowMillis
      if (furthestBehind > nearest) {
        nearest = furthestBehind
        sinceMillis = now
      } else if (now - sinceMillis > processedMillis) return yield* tooFarBehind
      askForPosition()
      yield* Effect.sleep(processedLookMillis)
    }
  })

const tooFarBehind = new VerifyFailed({
  message:
    `What the stream brings has not got any further for ${processedMillis / 1000} s, so shapes cannot be compared with what Postgres has now. ` +
    "A large transaction may be under way; try again when it is over."
})
