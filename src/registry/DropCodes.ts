import type { DropReason } from "../telemetry/DropReason.ts"
import type { FaultCode } from "../telemetry/faults/FaultTable.ts"

/** Under which code an operator is told of shapes that were dropped; those that somebody deleted are no fault. */
export const dropCodes: Readonly<Record<DropReason, FaultCode | undefined>> = {
  deleted: undefined,
  evicted: "BATON-SHAPE-EVICTED",
  unread: undefined,
  quota: "BATON-STORAGE-QUOTA",
  first_rows: "BATON-SHAPE-DROPPED",
  schema: "BATON-SHAPE-DROPPED",
  truncated: "BATON-SHAPE-DROPPED",
  publication: "BATON-SHAPE-DROPPED",
  stream: "BATON-SHAPE-DROPPED",
  condition: "BATON-SHAPE-CONDITION",
  change: "BATON-SHAPE-CONDITION",
  storage: "BATON-SHAPE-DISCARDED",
  other: "BATON-SHAPE-DROPPED"
}
