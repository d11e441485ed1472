import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { MetricsRecord } from "../telemetry/Metrics.ts"
import type { LiveSnapshot } from "./MetricsSnapshot.ts"

/** What goes on at the moment. */
export const liveWork = (
  { timers, writer }: Pick<StorageEngine, "timers" | "writer">,
  { snapshots }: Pick<MetricsRecord, "snapshots">
): Pick<LiveSnapshot, "snapshots" | "isWriteFailing"> => ({
  snapshots: { running: snapshots.count, oldestSeconds: snapshots.oldestSeconds(timers.nowMillis()) },
  isWriteFailing: writer?.isFailing === true
})
