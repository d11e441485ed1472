import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { MetricsRecord } from "../telemetry/Metrics.ts"
import type { LiveSnapshot } from "./MetricsSnapshot.ts"

/** What goes on at the moment. */
export const liveWork = (
  {
    compactions,
    pressure,
    timers,
    writer
  }: Pick<StorageEngine, "compactions" | "pressure" | "timers" | "writer">,
  { snapshots, stream }: Pick<MetricsRecord, "snapshots" | "stream">
): Pick<LiveSnapshot, "compactions" | "pressure" | "snapshots" | "isWriteFailing" | "stream"> => ({
  snapshots: { running: snapshots.count, oldestSeconds: snapshots.oldestSeconds(timers.nowMillis()) },
  stream: stream.report,
  compactions,
  pressure,
  isWriteFailing: writer?.isFailing === true
})
