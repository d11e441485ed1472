import type { HealthState } from "../health/HealthState.ts"
import type { AdmissionClass } from "../http/shape/Admission.ts"
import type { BucketReport } from "./BucketReport.ts"
import type { MetricsRecord } from "../telemetry/Metrics.ts"
import type { LiveReport, ProcessReport } from "../telemetry/ProcessReport.ts"
import type { RequestCounts } from "../telemetry/RequestCounts.ts"
import type { SubselectReport } from "./SubselectReport.ts"

/** What can be said at any moment, without asking anybody: of the main process alone. */
export interface LiveSnapshot {
  readonly version: string
  readonly instanceId: string
  readonly state: HealthState
  readonly epoch: number
  readonly shapes: number
  readonly subselects: SubselectReport
  readonly storageLevel: number
  readonly processes: ReadonlyArray<LiveReport>
  readonly rejected: Readonly<Record<AdmissionClass, number>>
  readonly limits: Readonly<Record<AdmissionClass, number>>
  /** Where storage stands in a bucket. */
  readonly bucket?: BucketReport
}

/** Everything that the metrics are made of, as it was at one moment. */
export interface MetricsSnapshot extends LiveSnapshot {
  /** What the main process counts. */
  readonly metrics: MetricsRecord
  /** The main process and the workers that answered. */
  readonly processes: ReadonlyArray<ProcessReport>
  /** Of all processes, those that are gone included. */
  readonly requests: RequestCounts
  readonly workers: { readonly configured: number; readonly ready: number; readonly restarts: number }
  /** Undefined while the disk refuses to say; the next as well. */
  readonly journalBytes: number | undefined
  /** Journal, checkpoint, and the files of shapes. */
  readonly storedBytes: number | undefined
  /** Undefined while the database cannot be asked, or there is no slot. */
  readonly slot: SlotSizes | undefined
}

/** WAL that Postgres keeps, measured from its present position. */
export interface SlotSizes {
  readonly retainedWalBytes: number
  readonly unconfirmedWalBytes: number
}
