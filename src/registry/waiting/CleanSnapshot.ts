import { Effect } from "effect"
import { journalLsn } from "../../shared/Lsn.ts"
import { showsNoGap } from "../../storage/state/SnapshotFilter.ts"
import { receptionMillis } from "../RegistryTimings.ts"
import { type DatabaseSnapshot, filterOf } from "../snapshot/SnapshotTransaction.ts"
import type { LaneQueue } from "./LaneQueue.ts"
import type { Reception } from "./Reception.ts"

/**
 * Whether a snapshot for a new shape is as of one transaction of the stream: that it shows none behind one which it does not
 * show. Completes when everything has been received that it shows.
 */
export const isClean = (
  snapshot: DatabaseSnapshot,
  shift: bigint,
  { received }: Pick<LaneQueue, "received">,
  reception: Reception
): Effect.Effect<boolean> => {
  const look = Effect.sync(() => showsNoGap(received.seenBefore(received.point), filterOf(snapshot)))
  return Effect.andThen(reception.until(journalLsn(snapshot.containedBefore, shift)), look).pipe(
    Effect.timeoutOrElse({ duration: receptionMillis, orElse: () => Effect.succeed(false) })
  )
}
