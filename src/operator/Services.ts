import type { Effect } from "effect"
import type { BatonConfig } from "../config/BatonConfig.ts"
import type { HealthRef } from "../health/HealthRef.ts"
import type { ShapeApi } from "../http/shape/ShapeApi.ts"
import type { AdminPool } from "../postgres/connection/Pools.ts"
import type { Verifier } from "../instance/verify/Verifier.ts"
import type { ShapeRegistry } from "../registry/ShapeRegistry.ts"
import type { Timers } from "../shared/Timers.ts"
import type { ShapeLogs } from "../storage/ShapeLogs.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { MetricsRecord } from "../telemetry/Metrics.ts"
import type { ActiveFault, RecordedFault } from "../shared/FaultRecord.ts"
import type { ProgressReport } from "../telemetry/Progress.ts"
import type { ProcessReport } from "../telemetry/ProcessReport.ts"

/** What an operator's questions are answered from. */
export interface OperatorServices {
  readonly config: BatonConfig
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly timers: Timers
  readonly health: HealthRef["Service"]
  readonly api: ShapeApi["Service"]
  readonly engine: StorageEngine
  readonly logs: ShapeLogs["Service"]
  readonly registry: ShapeRegistry["Service"]
  readonly verifier: Pick<Verifier["Service"], "report" | "start" | "stop">
  readonly admin: AdminPool["Service"]
  readonly metrics: MetricsRecord
  /** What has gone wrong, without secrets. */
  readonly faults: {
    readonly recent: Effect.Effect<ReadonlyArray<RecordedFault>>
    readonly active: Effect.Effect<ReadonlyArray<ActiveFault>>
  }
  /** Long work under way. */
  readonly progress: () => ReadonlyArray<ProgressReport>
  /** Of the API's own server; undefined in a program that Baton is part of. */
  readonly server: { readonly port: number; readonly running: () => number } | undefined
  readonly workers: {
    readonly configured: number
    readonly ready: () => number
    readonly restarts: () => number
    readonly reports: Effect.Effect<ReadonlyArray<ProcessReport>>
    readonly readersOf: (shapes: Uint32Array) => Effect.Effect<Uint32Array>
  }
}
