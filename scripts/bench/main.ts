import { mkdtempSync, readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { runAll } from "./support/All.ts"
import type { Benchmark, Options } from "./support/Benchmark.ts"
import { cleanUp, installSignalHandlers } from "./support/Cleanup.ts"
import { keepLogs } from "./support/ServiceProcess.ts"
import { updatePage } from "./support/PerformancePage.ts"
import { drawPlots, printResult, savedResults, saveResult } from "./support/Report.ts"

/**
 * - `npm run bench` runs a short version of every benchmark.
 * - `npm run bench -- <name> [--runs 5] [--short] [--save]` runs one of them; `--save` puts figures and plots into `docs`.
 * - `npm run bench -- all [--out directory] [--only name,name]` runs every one with moderate sizes and saves, in about half
 *   an hour; what is printed is kept in the directory.
 * - `npm run bench -- plots` makes plots and tables again from the results that are kept.
 */
const isBenchmark = (value: unknown): value is Benchmark =>
  typeof value === "object" && value !== null && "run" in value && "summary" in value && "short" in value

const load = async (): Promise<ReadonlyArray<Benchmark>> => {
  const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".ts") && file !== "main.ts")
  const found: Array<Benchmark> = []
  for (const file of files.toSorted()) {
    // The other scripts here measure when they are loaded; they are run by themselves.
    if (
      [
        "dormant.ts",
        "encode.ts",
        "load.ts",
        "membership.ts",
        "million.ts",
        "pipeline.ts",
        "truncate.ts",
        "where.ts"
      ].includes(file)
    )
      continue
    const { benchmark } = (await import(path.join(import.meta.dirname, file))) as {
      readonly benchmark?: unknown
    }
    if (isBenchmark(benchmark)) found.push(benchmark)
  }
  return found
}

const optionsFor = (
  benchmark: Benchmark,
  args: ReadonlyArray<string>
): { readonly options: Options; readonly save: boolean } => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...Object.fromEntries(
        Object.keys(benchmark.options).map((name) => [name, { type: "string" as const }])
      ),
      short: { type: "boolean" },
      save: { type: "boolean" }
    }
  })
  const given: Record<string, string | boolean | undefined> = values
  const options = Object.fromEntries(
    Object.entries({ ...benchmark.options, ...(given["short"] === true ? benchmark.short : {}) }).map(
      ([name, value]) => {
        const text = given[name]
        const number = typeof text === "string" ? Number(text) : value
        if (!Number.isFinite(number)) throw new Error(`--${name} takes a number, not ${String(text)}.`)
        return [name, number]
      }
    )
  )
  return { options, save: given["save"] === true }
}

const runOne = async (benchmark: Benchmark, args: ReadonlyArray<string>): Promise<void> => {
  const { options, save } = optionsFor(benchmark, args)
  const began = performance.now()
  const say = (line: string) =>
    process.stderr.write(`[${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s] ${line}\n`)
  try {
    const result = await benchmark.run(options, say)
    printResult(benchmark, result)
    if (save) {
      const saved = saveResult(benchmark, options, result)
      drawPlots(saved)
      updatePage(saved)
    }
  } catch (error) {
    const logs = keepLogs()
    if (logs !== undefined) process.stderr.write(`The service's logs are kept in ${logs}\n`)
    throw error
  } finally {
    await cleanUp()
  }
}

const list = (benchmarks: ReadonlyArray<Benchmark>): string =>
  benchmarks
    .map(({ name, summary, options }) => {
      const flags = Object.entries(options).map(([flag, value]) => `--${flag} ${value}`)
      return `  ${name.padEnd(16)} ${summary}\n  ${"".padEnd(16)} ${flags.join(" ")}`
    })
    .join("\n")

installSignalHandlers()
const [name, ...args] = process.argv.slice(2)
const benchmarks = await load()
const usage = `Benchmarks: npm run bench -- <name> [--short] [--save] [options]\n${list(benchmarks)}\n`
let failed = false
if (name === undefined) {
  console.log(`${usage}\nA short version of each:\n`)
  for (const benchmark of benchmarks) {
    try {
      await runOne(benchmark, ["--short"])
    } catch (error) {
      failed = true
      console.error(`${benchmark.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
} else if (name === "plots") {
  for (const saved of savedResults()) {
    drawPlots(saved)
    updatePage(saved)
  }
} else if (name === "all") {
  const { values } = parseArgs({ args, options: { out: { type: "string" }, only: { type: "string" } } })
  const only = values.only === undefined ? undefined : new Set(values.only.split(","))
  const directory = values.out ?? mkdtempSync(path.join(tmpdir(), "baton-bench-results-"))
  const bad = await runAll(benchmarks, directory, only)
  console.log(`\nWhat was printed is in ${directory}.${bad.length > 0 ? ` Failed: ${bad.join(", ")}.` : ""}`)
  failed = bad.length > 0
} else {
  const benchmark = benchmarks.find((candidate) => candidate.name === name)
  if (benchmark === undefined) {
    console.error(name.startsWith("-") ? usage : `There is no benchmark ${name}.\n${usage}`)
    failed = true
  } else {
    try {
      await runOne(benchmark, args)
    } catch (error) {
      failed = true
      console.error(error instanceof Error ? error.stack : String(error))
    }
  }
}
process.exit(failed ? 1 : 0)
