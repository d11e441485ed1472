import { Effect, Exit } from "effect"
import type { Snapshotter } from "../../registry/snapshot/Snapshotter.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { MetricsRecord } from "../../telemetry/Metrics.ts"

/** The same snapshotter, whose snapshots are counted and timed. */
export const measuredSnapshotter = (
  snapshotter: Snapshotter["Service"],
  timers: Timers,
  metrics: MetricsRecord
): Snapshotter["Service"] => ({
  run: (request) =>
    Effect.suspend(() => {
      const began = timers.nowMillis()
      const end = metrics.snapshots.begin(began)
      const { sink } = request
      const counted = {
        ...request,
        sink: {
          ...sink,
          write: (bytes: Buffer) => {
            metrics.snapshots.bytes += bytes.length
            return sink.write(bytes)
          }
        }
      }
      return Effect.onExit(snapshotter.run(counted), (exit) =>
        Effect.sync(() => {
          end()
          const millis = timers.nowMillis() - began
          if (Exit.isSuccess(exit)) {
            metrics.snapshotMillis.update(millis)
            metrics.events?.snapshot(millis)
          } else metrics.failedSnapshots.update(1)
        })
      )
    })
})
