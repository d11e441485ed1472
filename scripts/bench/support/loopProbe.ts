import { monitorEventLoopDelay } from "node:perf_hooks"
import { renameSync, writeFileSync } from "node:fs"

/**
 * Loaded into the service before it starts, by benchmarks that watch it for long: every five seconds (or `BENCH_LOOP_MILLIS`) it writes down by how
 * much the event loop was late meanwhile.
 */
export interface LoopDelay {
  readonly p50Millis: number
  readonly p99Millis: number
  readonly maxMillis: number
  /** The longest that nothing else had its turn, in processor time of the thread: what other programs take is not in it. */
  readonly maxTurnMillis: number
}

const file = process.env["BENCH_LOOP_FILE"]

if (file !== undefined) {
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
  setInterval(
    () => {
      const measured: LoopDelay = {
        p50Millis: late(delay.percentile(50)),
        p99Millis: late(delay.percentile(99)),
        maxMillis: late(delay.max),
        maxTurnMillis
      }
      maxTurnMillis = 0
      delay.reset()
      writeFileSync(`${file}.part`, JSON.stringify(measured))
      renameSync(`${file}.part`, file)
    },
    Number(process.env["BENCH_LOOP_MILLIS"] ?? 5000)
  ).unref()
}
