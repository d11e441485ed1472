import { mkdirSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Benchmark, Figure, Options, Result } from "./Benchmark.ts"
import { renderPlot } from "./Plot.ts"
import { median } from "./Statistics.ts"

const plots = path.resolve(import.meta.dirname, "../../../docs/plots")

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

const fiveDigits = (_: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(5)) : value

/** Keeps the result for `docs/performance.md`: the figures as JSON, and the plots. */
export const saveResult = (benchmark: Benchmark, options: Options, result: Result): void => {
  mkdirSync(plots, { recursive: true })
  const saved = {
    benchmark: benchmark.name,
    options,
    machine: machine(),
    environment: result.environment,
    checked: result.checked,
    figures: result.figures.map((figure) => ({
      ...figure,
      median: median(figure.runs),
      ratio: ratioOf(figure)
    }))
  }
  writeFileSync(path.join(plots, `${benchmark.name}.json`), `${JSON.stringify(saved, fiveDigits, 1)}\n`)
  for (const plot of result.plots ?? []) writeFileSync(path.join(plots, `${plot.name}.svg`), renderPlot(plot))
}
