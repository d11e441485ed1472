import { Context, Effect, Layer, Option } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { Faults } from "../shared/FaultRecord.ts"
import { abilities } from "../health/HealthState.ts"
import { JournalTail } from "../http/node/JournalTail.ts"
import { HttpServer } from "../http/node/HttpServer.ts"
import { batonVersion } from "../shared/ServerIdentity.ts"
import { OperatorDoor } from "../http/shape/OperatorDoor.ts"
import { ShapeApi } from "../http/shape/ShapeApi.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { fromDisk } from "../storage/disk/DiskFault.ts"
import { Storage } from "../storage/Storage.ts"
import { HttpWorkers } from "../workers/HttpWorkers.ts"
import { journalFiles } from "../storage/JournalSize.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { Progress } from "../telemetry/Progress.ts"
import { Statsd } from "../telemetry/statsd/StatsdSender.ts"
import { exportOptions } from "../telemetry/otel/ExportOptions.ts"
import { bucketOf } from "./BucketReport.ts"
import { metricValues } from "./MetricsFamilies.ts"
import type { MetricsSnapshot } from "./MetricsSnapshot.ts"
import { metricsText } from "./MetricsText.ts"
import { makeProcessReporter } from "../workers/ProcessReporter.ts"
import { RequestCounts } from "../telemetry/RequestCounts.ts"
import { askSource } from "./AskSource.ts"
import { freeBytes, storedBytes } from "./StorageSize.ts"
import { currentTimers } from "../shared/Timers.ts"
import { liveWork } from "./LiveWork.ts"
import { subselectReport } from "./SubselectReport.ts"

const sourceFreshMillis = 5000
const storageFreshMillis = 60_000

/** Serves the metrics on a port of their own, and exports them, where the configuration says so. */
export class MetricsServer extends Context.Service<
  MetricsServer,
  {
    /** Undefined where there is no such server. */
    readonly port: number | undefined
  }
>()("baton/telemetry/MetricsServer") {
  /** Fails when the port cannot be listened on. Costs nothing where there is none. */
  static readonly layer = Layer.effect(
    MetricsServer,
    Effect.gen(function* () {
      const { instanceId, listenHost, otlp, prometheusPort, statsd, telemetryResource } = yield* Config
      const sender = yield* Statsd
      if (prometheusPort === undefined && otlp?.metrics === undefined && sender === undefined)
        return { port: undefined }
      const snapshot = yield* makeSnapshots
      if (otlp?.metrics !== undefined) {
        const { exportMetrics } = yield* Effect.promise(() => import("./ExportMetrics.ts"))
        const options = exportOptions(otlp, telemetryResource, instanceId)
        yield* exportMetrics(otlp.metrics, otlp, options, snapshot)
      }
      if (sender !== undefined && statsd !== undefined) {
        const { pollStatsd } = yield* Effect.promise(() => import("./PollStatsd.ts"))
        yield* pollStatsd(sender, statsd.everyMillis, snapshot)
      }
      if (prometheusPort === undefined) return { port: undefined }
      // Most instances have no such server, and never load what it is made of. A package that lacks a file is a defect.
      const { serveMetrics } = yield* Effect.promise(() => import("./ServeMetrics.ts"))
      const metrics = Effect.map(snapshot, (taken) => metricsText(metricValues(taken)))
      const door = Option.getOrUndefined(yield* Effect.serviceOption(OperatorDoor))
      const operator = () => door?.current()
      yield* serveMetrics({ port: prometheusPort, host: listenHost, metrics, operator })
      return { port: prometheusPort }
    })
  )
}

/** The last result of `work`, made anew when it is older than `freshMillis`. */
const cached = <A, E, R>(work: Effect.Effect<A, E, R>, freshMillis: number): Effect.Effect<A, E, R> => {
  let last: { readonly value: A; readonly atMillis: number } | undefined
  return Effect.gen(function* () {
    const { nowMillis } = yield* currentTimers
    if (last !== undefined && nowMillis() - last.atMillis < freshMillis) return last.value
    const value = yield* work
    last = { value, atMillis: nowMillis() }
    return value
  })
}

const makeSnapshots = Effect.gen(function* () {
  const config = yield* Config
  const health = yield* HealthRef
  const api = yield* ShapeApi
  const server = yield* HttpServer
  const workers = yield* HttpWorkers
  const admin = yield* AdminPool
  const metrics = yield* Metrics
  const faults = yield* Faults
  const progress = yield* Progress
  const { epochMillis } = yield* currentTimers
  const { engine } = yield* Storage
  const tail = yield* JournalTail
  const ownReport = yield* makeProcessReporter({
    process: "main",
    api,
    engine,
    openRequests: server.running
  })
  const source = cached(askSource(admin, config.slotName), sourceFreshMillis)
  /** A page without figures that the disk does not give is of more use than none. */
  const unlessRefused = <A>(work: () => Promise<A>): Effect.Effect<A | undefined> =>
    Effect.catch(fromDisk(work), ({ message }) =>
      Effect.sync(() => {
        engine.complaints.about("metrics", `Metrics of storage are missing: ${message}.`)
        return undefined
      })
    )
  const stored = cached(
    unlessRefused(() => storedBytes(engine)),
    storageFreshMillis
  )
  const isOnDisk = config.storage === "file"

  return Effect.gen(function* () {
    const state = health.current()
    const [own, others, sourceNow, storedNow, journal, freeNow] = yield* Effect.all(
      [
        ownReport,
        workers.reports,
        abilities[state].asksDatabase ? source : Effect.succeed(undefined),
        stored,
        unlessRefused(() => journalFiles(engine.paths)),
        isOnDisk ? unlessRefused(() => freeBytes(engine.paths.storageDir)) : Effect.succeed(undefined)
      ],
      { concurrency: "unbounded" }
    )
    const processes = [own, ...others]
    const requests = new RequestCounts(workers.retired.requests.entries())
    const rejected = { ...workers.retired.rejected }
    for (const report of processes) {
      requests.addAll(report.requests)
      rejected.initial += report.admission.initial.rejected
      rejected.existing += report.admission.existing.rejected
    }
    const journalBytes = journal?.reduce((sum, file) => sum + file.bytes, 0)
    return {
      version: batonVersion,
      instanceId: config.instanceId,
      state,
      epoch: engine.at.epoch,
      shapes: engine.store.count,
      dormantShapes: engine.store.dormant.count,
      subselects: subselectReport(engine),
      nowMillis: epochMillis(),
      metrics,
      faults,
      progress: progress.reports(),
      processes,
      requests,
      rejected,
      limits: config.maxConcurrentRequests,
      ...bucketOf(engine, tail.mirrors()),
      workers: {
        configured: workers.configured,
        ready: workers.ready(),
        restarts: workers.restarts()
      },
      journalBytes,
      storageLevel: engine.store.level,
      ...liveWork(engine, metrics),
      stored: storedNow,
      freeBytes: freeNow,
      source: sourceNow
    } satisfies MetricsSnapshot
  })
})
