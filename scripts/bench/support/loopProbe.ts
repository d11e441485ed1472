import { constants, monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks"
import { renameSync, writeFileSync } from "node:fs"
import { isMainThread } from "node:worker_threads"

/**
 * Loaded into the service before it starts, by benchmarks that watch it for long: every five seconds (or `BENCH_LOOP_MILLIS`) it writes down by how
 * much the event loop was late meanwhile, and what memory was made of.
 */
export interface LoopDelay {
  readonly p50Millis: number
  readonly p99Millis: number
  readonly maxMillis: number
  /** The longest that nothing else had its turn, in processor time of the thread: what other programs take is not in it. */
  readonly maxTurnMillis: number
  /** Of the main thread: the heap as it is reserved, and what stands outside of it. */
  readonly heapBytes?: number
  readonly externalBytes?: number
  /** What was in use when the heap was last collected as a whole; 0 before. */
  readonly keptBytes?: number
}

const file = process.env["BENCH_LOOP_FILE"]

// Threads of the service load it, too.
if (file !== undefined && isMainThread) {
  const resolution = 5
  const delay = monitorEventLoopDelay({ resolution })
  delay.enable()
  const late = (nanos: number): number => Math.max(0, nanos / 1e6 - resolution)
  let maxTurnMillis = 0
  let lastCpu = process.threadCpuUsage()
  setInterval(() => {
    const { system, user } = process.threadCpuUsage(lastCpu)
    lastCpu = process.threadCpuUsage()
    maxTurnMillis = Math.max(maxTurnMillis, (system + user) / 1000)
  }, 1).unref()
  let keptBytes = 0
  const collections = new PerformanceObserver((list) => {
    const isWhole = list.getEntries().some((entry) => {
      const { detail } = entry as unknown as { readonly detail?: { readonly kind?: number } }
      return detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR
    })
    if (isWhole) keptBytes = process.memoryUsage().heapUsed
  })
  collections.observe({ entryTypes: ["gc"] })
  setInterval(
    () => {
      const { external, heapTotal } = process.memoryUsage()
      const measured: LoopDelay = {
        p50Millis: late(delay.percentile(50)),
        p99Millis: late(delay.percentile(99)),
        maxMillis: late(delay.max),
        maxTurnMillis,
        heapBytes: heapTotal,
        externalBytes: external,
        keptBytes
      }
      maxTurnMillis = 0
      delay.reset()
      writeFileSync(`${file}.part`, JSON.stringify(measured))
      renameSync(`${file}.part`, file)
    },
    Number(process.env["BENCH_LOOP_MILLIS"] ?? 5000)
  ).unref()
}
