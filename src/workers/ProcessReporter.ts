import { Effect, type Scope } from "effect"
import type { ShapeApi } from "../http/shape/ShapeApi.ts"
import { fromDisk } from "../storage/disk/DiskFault.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { monitorEventLoop } from "../telemetry/EventLoopMonitor.ts"
import { bytesBehind, journalFiles } from "../storage/JournalSize.ts"
import { Metrics, type MetricsRecord } from "../telemetry/Metrics.ts"
import type { LiveReport, ProcessReport } from "../telemetry/ProcessReport.ts"

/** What is to be said of the process that runs this. */
export const liveReport = (
  processName: string,
  api: ShapeApi["Service"],
  engine: StorageEngine,
  { slowReaders }: Pick<MetricsRecord, "slowReaders">
): LiveReport => {
  const stats = api.stats()
  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  return {
    process: processName,
    admission: {
      initial: { running: stats.initialRequests, rejected: stats.rejected.initial },
      existing: { running: stats.existingRequests, rejected: stats.rejected.existing }
    },
    heldRequests: engine.waiters.count,
    slowReaders: { waiting: slowReaders.waiting, cut: slowReaders.cut },
    expiredReads: engine.compactions.expiredReads,
    residentBytes: memory.rss,
    heapUsedBytes: memory.heapUsed,
    cpuSeconds: (cpu.user + cpu.system) / 1e6
  }
}

/** Makes reports of this process for as long as the scope is open. */
export const makeProcessReporter = (options: {
  readonly process: string
  readonly api: ShapeApi["Service"]
  readonly engine: StorageEngine
  /** Requests in progress at the server of this process. */
  readonly openRequests: () => number
}): Effect.Effect<Effect.Effect<ProcessReport>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { api, engine } = options
    const metrics = yield* Metrics
    const eventLoop = yield* monitorEventLoop
    /** Of the journal that has not been read; undefined where it is written, and where the disk refuses to say. */
    const lagBytes: Effect.Effect<number | undefined> = Effect.suspend(() =>
      engine.writer !== undefined
        ? Effect.succeed(undefined)
        : fromDisk(() => journalFiles(engine.paths)).pipe(
            Effect.map((files) => bytesBehind(files, engine.at)),
            Effect.catch(({ message }) =>
              Effect.as(
                Effect.logDebug(`It is not known how far this process is behind: ${message}`),
                undefined
              )
            )
          )
    )
    return Effect.map(lagBytes, (followerLagBytes): ProcessReport => ({
      ...liveReport(options.process, api, engine, metrics),
      requests: metrics.requests.entries(),
      openRequests: options.openRequests(),
      followerLagBytes,
      eventLoop: eventLoop(),
      slowest: metrics.slowReaders.longest(engine.timers.nowMillis())
    }))
  })
