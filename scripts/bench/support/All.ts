import { spawn } from "node:child_process"
import { createWriteStream, mkdirSync } from "node:fs"
import * as path from "node:path"
import type { Benchmark } from "./Benchmark.ts"
import { tracked } from "./Cleanup.ts"
import { nowMillis } from "./Clock.ts"

/** In this order; what is not named here comes last, as it is. Together about half an hour on two quiet cores. */
const moderate: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  latency: { runs: 3, changes: 200 },
  replication: { runs: 1, shapes: 100_000, scale: 0.5 },
  filter: { runs: 1 },
  "fanout-shapes": { runs: 1, transactions: 300 },
  clients: { runs: 2 },
  initial: { runs: 1 },
  memory: { shapes: 100_000 },
  start: { runs: 1 },
  handover: { handovers: 2 },
  events: { runs: 1 },
  workers: { runs: 1 },
  soak: { minutes: 2 }
}

/** One that takes longer than this is ended; the others still run. */
const limitMillis = 20 * 60_000

const script = path.resolve(import.meta.dirname, "../main.ts")

const runInProcess = (name: string, args: ReadonlyArray<string>, file: string): Promise<boolean> => {
  const output = createWriteStream(file)
  const child = tracked(
    spawn(process.execPath, [script, name, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  )
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (piece: Buffer) => {
      process.stdout.write(piece)
      output.write(piece)
    })
  }
  const limit = setTimeout(() => child.kill("SIGTERM"), limitMillis)
  return new Promise((resolve) => {
    child.once("close", (code) => {
      clearTimeout(limit)
      output.end(() => resolve(code === 0))
    })
  })
}

/**
 * Every benchmark in sequence, each as a process of its own and with sizes that keep all of them to half an hour. What it
 * prints is kept in `directory`; figures and plots go into `docs`. Gives the names of those that failed.
 */
export const runAll = async (
  benchmarks: ReadonlyArray<Benchmark>,
  directory: string,
  wanted: ReadonlySet<string> | undefined
): Promise<ReadonlyArray<string>> => {
  mkdirSync(directory, { recursive: true })
  const order = Object.keys(moderate)
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length)
  const failed: Array<string> = []
  for (const benchmark of benchmarks.toSorted((a, b) => rank(a.name) - rank(b.name))) {
    const { name } = benchmark
    if (wanted !== undefined && !wanted.has(name)) continue
    const flags = Object.entries(moderate[name] ?? {})
      .filter(([option]) => option in benchmark.options)
      .flatMap(([option, value]) => [`--${option}`, String(value)])
    const began = nowMillis()
    process.stdout.write(`\n=== ${name} ${flags.join(" ")}\n`)
    const good = await runInProcess(name, [...flags, "--save"], path.join(directory, `${name}.txt`))
    process.stdout.write(
      `=== ${name} ${good ? "done" : "FAILED"} after ${((nowMillis() - began) / 1000).toFixed(0)} s\n`
    )
    if (!good) failed.push(name)
  }
  return failed
}
