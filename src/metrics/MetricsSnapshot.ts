import type { StoragePressure } from "../storage/compaction/StoragePressure.ts"
import type { CompactionCounts } from "../storage/compaction/CompactionCounts.ts"
import type { HealthState } from "../health/HealthState.ts"
import type { AdmissionClass } from "../http/shape/Admission.ts"
import type { BucketReport } from "./BucketReport.ts"
import type { MetricsRecord } from "../telemetry/Metrics.ts"
import type { FaultRecord } from "../shared/FaultRecord.ts"
import type { ProgressReport } from "../telemetry/Progress.ts"
import type { LiveReport, ProcessReport } from "../telemetry/ProcessReport.ts"
import type { RequestCounts } from "../telemetry/RequestCounts.ts"
import type { StreamReport } from "../telemetry/stream/StreamStatus.ts"
import type { SubselectReport } from "./SubselectReport.ts"

/** What can be said at any moment, without asking anybody: of the main process alone. */
export interface LiveSnapshot {
  readonly version: string
  readonly instanceId: string
  readonly state: HealthState
  readonly epoch: number
  readonly shapes: number
  /** Of these, in the main process. */
  readonly dormantShapes: number
  readonly subselects: SubselectReport
  readonly storageLevel: number
  /** What was reported to the operator. */
  readonly faults: FaultRecord
  readonly processes: ReadonlyArray<LiveReport>
  readonly rejected: Readonly<Record<AdmissionClass, number>>
  readonly limits: Readonly<Record<AdmissionClass, number>>
  /** First rows that are being read. */
  readonly snapshots: { readonly running: number; readonly oldestSeconds: number }
  /** Undefined where this process has never streamed. */
  readonly stream: StreamReport | undefined
  /** The disk refuses what is written to the journal. */
  readonly isWriteFailing: boolean
  readonly compactions: CompactionCounts
  readonly pressure: StoragePressure
  /** Where storage stands in a bucket. */
  readonly bucket?: BucketReport
}

/** Everything that the metrics are made of, as it was at one moment. */
export interface MetricsSnapshot extends LiveSnapshot {
  /** When it was, since 1970. */
  readonly nowMillis: number
  /** What the main process counts. */
  readonly metrics: MetricsRecord
  /** Long work under way in the main process. */
  readonly progress: ReadonlyArray<ProgressReport>
  /** The main process and the workers that answered. */
  readonly processes: ReadonlyArray<ProcessReport>
  /** Of all processes, those that are gone included. */
  readonly requests: RequestCounts
  readonly workers: { readonly configured: number; readonly ready: number; readonly restarts: number }
  /** Undefined while the disk refuses to say; the next as well. */
  readonly journalBytes: number | undefined
  /** Of journal, logs, first rows and checkpoint; undefined while the disk refuses to say; the next as well. */
  readonly stored: StoredBytes | undefined
  /** That the file system of the storage directory has left for this user. */
  readonly freeBytes: number | undefined
  /** Undefined while the database cannot be asked. */
  readonly source: SourceReport | undefined
}

/** What the storage directory holds beside the journal. */
export interface StoredBytes {
  readonly checkpoint: number
  readonly firstRows: number
  readonly logs: number
}

export const slotStates = ["ok", "unreserved", "lost", "missing"] as const

export type SlotState = (typeof slotStates)[number]

/** What Postgres says of the replication slot, and of its clock. */
export interface SourceReport {
  readonly state: SlotState
  /** Undefined without a slot; the next as well. Measured from the present position of the WAL. */
  readonly retainedWalBytes: number | undefined
  readonly unconfirmedWalBytes: number | undefined
  /** Undefined where Postgres keeps as much as is needed. */
  readonly safeWalBytes: number | undefined
  readonly maxKeepBytes: number | undefined
  /** Somebody streams from it. */
  readonly isActive: boolean
  /** By how much the clock of Postgres is ahead of this machine's, to half of what the question took. */
  readonly clockAheadSeconds: number
}
