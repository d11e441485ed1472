import { monitorEventLoopDelay } from "node:perf_hooks"
import { renameSync, writeFileSync } from "node:fs"

/**
 * Loaded into the service before it starts, by benchmarks that watch it for long: every five seconds it writes down by how
 * much the event loop was late meanwhile.
 */
export interface LoopDelay {
  readonly p50Millis: number
  readonly p99Millis: number
  readonly maxMillis: number
}

const file = process.env["BENCH_LOOP_FILE"]

if (file !== undefined) {
  const resolution = 5
  const delay = monitorEventLoopDelay({ resolution })
  delay.enable()
  const late = (nanos: number): number => Math.max(0, nanos / 1e6 - resolution)
  setInterval(() => {
    const measured: LoopDelay = {
      p50Millis: late(delay.percentile(50)),
      p99Millis: late(delay.percentile(99)),
      maxMillis: late(delay.max)
    }
    delay.reset()
    writeFileSync(`${file}.part`, JSON.stringify(measured))
    renameSync(`${file}.part`, file)
  }, 5000).unref()
}
