import { renameSync, writeFileSync } from "node:fs"

/**
 * Loaded into the service before it starts, by benchmarks that measure memory: on SIGUSR2 it collects all garbage and
 * writes down what is left, so that a figure does not depend on when the collector happened to run last.
 */
/** Collects everything, and gives the emptied pages back to the system. */
const collect = (): void => {
  void globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" })
}

const file = process.env["BENCH_PROBE_FILE"]

process.on("SIGUSR2", () => {
  if (file === undefined) return
  collect()
  // Once more after finalizers and array buffers have gone.
  setTimeout(() => {
    collect()
    writeFileSync(`${file}.part`, JSON.stringify(process.memoryUsage()))
    renameSync(`${file}.part`, file)
  }, 200)
})
