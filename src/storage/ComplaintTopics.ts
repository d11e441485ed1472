import type { FaultCode } from "../telemetry/faults/FaultTable.ts"

/** What trouble comes again and again with, and the code that it has. */
export const complaintCodes = {
  writing: "BATON-STORAGE-WRITE",
  segment: "BATON-STORAGE-WRITE",
  epoch: "BATON-STORAGE-FENCE",
  fence: "BATON-STORAGE-FENCE",
  reading: "BATON-STORAGE-READ",
  proving: "BATON-STORAGE-READ",
  housekeeping: "BATON-STORAGE-HOUSEKEEPING",
  compaction: "BATON-STORAGE-COMPACTION",
  level: "BATON-STORAGE-LEVEL",
  dropping: "BATON-STORAGE-FENCE",
  metrics: "BATON-STORAGE-SIZE",
  cache: "BATON-STORAGE-SIZE",
  copy: "BATON-STORAGE-DAMAGED",
  copying: "BATON-BUCKET-COPY",
  "local checkpoint": "BATON-BUCKET-COPY",
  shipping: "BATON-STORAGE-WRITE",
  tail: "BATON-TAIL-FAILED",
  "tail refused": "BATON-TAIL-FAILED",
  moves: "BATON-SHAPE-SUBSELECT",
  mending: "BATON-TABLE-CHANGED"
} as const satisfies Record<string, FaultCode>

export type ComplaintTopic = keyof typeof complaintCodes
