import { Effect, Layer, Metric, type Scope } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { JournalTail } from "../http/node/JournalTail.ts"
import { ShapeApi } from "../http/shape/ShapeApi.ts"
import { Faults } from "../shared/FaultRecord.ts"
import { batonVersion } from "../shared/ServerIdentity.ts"
import { Storage } from "../storage/Storage.ts"
import { liveReport } from "../workers/ProcessReporter.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { bucketOf } from "./BucketReport.ts"
import { liveWork } from "./LiveWork.ts"
import { metricFamilies } from "./MetricsFamilies.ts"
import type { LiveSnapshot } from "./MetricsSnapshot.ts"
import type { Sample } from "./MetricsText.ts"
import { subselectReport } from "./SubselectReport.ts"

const nothing = () => {}

/** Takes `live` when the registry is asked for a metric, for as long as the scope. */
export const registerMetrics = (live: () => LiveSnapshot): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context) => {
    const first = live()
    const register = (
      type: "gauge" | "counter" | "histogram",
      name: string,
      help: string,
      sample: Sample,
      value: () => number
    ) => {
      const options = { description: help, attributes: sample.labels ?? {} }
      return type === "gauge"
        ? Metric.registerUnsafe(Metric.gauge(name, options), context, {
            get: () => ({ value: value() }),
            update: nothing,
            modify: nothing
          })
        : Metric.registerUnsafe(Metric.counter(name, { ...options, incremental: true }), context, {
            get: () => ({ count: value(), incremental: true }),
            update: nothing,
            modify: nothing
          })
    }
    const registered = metricFamilies.flatMap(({ help, live: samples, name, type }) =>
      (samples?.(first) ?? []).map((sample, i) =>
        register(type, name, help, sample, () => {
          const now = samples?.(live())[i]
          return now !== undefined && "value" in now ? now.value : 0
        })
      )
    )
    return Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { remove } of registered) remove()
      })
    )
  })

/**
 * Has the metrics of Effect tell what this process can say of itself at any moment, under the names that the page of metrics
 * has. What takes asking the disk, the database or other processes is on that page alone.
 */
export const registeredMetrics = Layer.effectDiscard(
  Effect.gen(function* () {
    const { instanceId, maxConcurrentRequests } = yield* Config
    const health = yield* HealthRef
    const api = yield* ShapeApi
    const { engine } = yield* Storage
    const tail = yield* JournalTail
    const metrics = yield* Metrics
    const faults = yield* Faults
    yield* registerMetrics(() => ({
      version: batonVersion,
      instanceId,
      state: health.current(),
      epoch: engine.at.epoch,
      shapes: engine.store.count,
      dormantShapes: engine.store.dormant.count,
      subselects: subselectReport(engine),
      storageLevel: engine.store.level,
      faults,
      processes: [liveReport("main", api, engine, metrics)],
      ...liveWork(engine, metrics),
      rejected: api.stats().rejected,
      limits: maxConcurrentRequests,
      ...bucketOf(engine, tail.mirrors())
    }))
  })
)
