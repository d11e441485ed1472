import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Benchmark, Figure, Options, Result } from "./Benchmark.ts"
import { type Plot, renderPlot } from "./Plot.ts"
import { median } from "./Statistics.ts"

const plotDirectory = path.resolve(import.meta.dirname, "../../../docs/plots")

/** Three significant digits, thousands separated. */
export const formatNumber = (value: number): string => {
  if (!Number.isFinite(value)) return "-"
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toLocaleString("en", { maximumFractionDigits: Math.min(3, digits), minimumFractionDigits: 0 })
}

const withUnit = (value: number, unit: string): string =>
  unit === "" ? formatNumber(value) : `${formatNumber(value)} ${unit}`

/** How the figure stands to its floor; `undefined` without one. */
export const ratioOf = (figure: Figure): string | undefined => {
  if (figure.floor === undefined) return undefined
  const value = median(figure.runs)
  const floor = median(figure.floor.runs)
  switch (figure.compare ?? "rate") {
    case "rate":
      return `${formatNumber((100 * value) / floor)} %`
    case "time":
      return `${formatNumber(value / floor)} x`
    case "difference":
      return `${value < floor ? "-" : "+"}${withUnit(Math.abs(value - floor), figure.unit)}`
  }
}

const spread = (figure: Figure): string =>
  figure.runs.length < 2
    ? ""
    : `${formatNumber(Math.min(...figure.runs))} to ${formatNumber(Math.max(...figure.runs))}`

export const headings = ["figure", "median", "runs", "floor", "ratio", "aim"]

export const row = (figure: Figure): ReadonlyArray<string> => [
  figure.note === undefined ? figure.what : `${figure.what} (${figure.note})`,
  withUnit(median(figure.runs), figure.unit),
  spread(figure),
  figure.floor === undefined ? "" : `${withUnit(median(figure.floor.runs), figure.unit)} ${figure.floor.is}`,
  ratioOf(figure) ?? "",
  figure.aim ?? ""
]

const printRows = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = headings.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)))
  return rows
    .map((cells) =>
      cells
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join("  ")
    )
    .join("\n")
}

export const machine = (): string => {
  const cpus = os.cpus()
  const memory = Math.round(os.totalmem() / 2 ** 30)
  return `${cpus.length} x ${cpus[0]?.model.trim() ?? "unknown processor"}, ${memory} GiB, ${os.type()} ${os.release()}, Node ${process.versions.node}`
}

export const printResult = (benchmark: Benchmark, result: Result): void => {
  const lines = [
    `${benchmark.name}: ${benchmark.summary}`,
    machine(),
    ...result.environment,
    `Checked: ${result.checked}`,
    "",
    printRows([headings, ...result.figures.map(row)])
  ]
  console.log(`\n${lines.join("\n")}\n`)
}

/** The command that gives these figures again: options that differ from their defaults are part of it. */
const commandOf = (benchmark: Benchmark, options: Options): string => {
  const changed = Object.entries(options).filter(([name, value]) => benchmark.options[name] !== value)
  const flags = changed.map(([name, value]) => ` --${name} ${value}`).join("")
  return `npm run bench -- ${benchmark.name}${flags}`
}

/** A result as it is kept beside the page: everything that page and plots are made from. */
export interface SavedResult {
  readonly benchmark: string
  readonly command: string
  readonly machine: string
  readonly environment: ReadonlyArray<string>
  readonly checked: string
  readonly figures: ReadonlyArray<Figure>
  readonly plots: ReadonlyArray<Plot>
}

const fiveDigits = (_: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(5)) : value

/** Keeps the result for `docs/performance.md` as JSON. */
export const saveResult = (benchmark: Benchmark, options: Options, result: Result): SavedResult => {
  mkdirSync(plotDirectory, { recursive: true })
  const saved: SavedResult = {
    benchmark: benchmark.name,
    command: commandOf(benchmark, options),
    machine: machine(),
    environment: result.environment,
    checked: result.checked,
    figures: result.figures,
    plots: result.plots ?? []
  }
  const text = JSON.stringify(saved, fiveDigits, 1)
  writeFileSync(path.join(plotDirectory, `${benchmark.name}.json`), `${text}\n`)
  // What a later run reads is what is in the file, so the plots are made from that, too.
  return JSON.parse(text) as SavedResult
}

/** All results that are kept. */
export const savedResults = (): ReadonlyArray<SavedResult> =>
  readdirSync(plotDirectory)
    .filter((file) => file.endsWith(".json"))
    .toSorted()
    .map((file) => JSON.parse(readFileSync(path.join(plotDirectory, file), "utf8")) as SavedResult)

export const drawPlots = (saved: SavedResult): void => {
  for (const plot of saved.plots) {
    writeFileSync(path.join(plotDirectory, `${plot.name}.svg`), renderPlot(plot))
  }
}
