import { Effect } from "effect"
import { redact } from "../../config/Redaction.ts"
import { type ActiveFault, Faults, type RecordedFault } from "../../shared/FaultRecord.ts"

/** What was reported last, newest first, at most 200; without secrets, as the log is. */
export const recentFaults: Effect.Effect<ReadonlyArray<RecordedFault>> = Effect.map(Faults, (record) =>
  record
    .recent()
    .map((fault) => ({ ...fault, message: redact(fault.message) }))
    .toReversed()
)

/** What lasts now, oldest first. */
export const activeFaults: Effect.Effect<ReadonlyArray<ActiveFault>> = Effect.map(Faults, (record) =>
  record.active().map((fault) => ({ ...fault, message: redact(fault.message) }))
)
