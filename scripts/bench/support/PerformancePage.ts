import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import type { Benchmark, Options, Result } from "./Benchmark.ts"
import { headings, machine, row } from "./Report.ts"

const page = path.resolve(import.meta.dirname, "../../../docs/performance.md")

/** The command that gives these figures again: options that differ from their defaults are part of it. */
const commandOf = (benchmark: Benchmark, options: Options): string => {
  const changed = Object.entries(options).filter(([name, value]) => benchmark.options[name] !== value)
  const flags = changed.map(([name, value]) => ` --${name} ${value}`).join("")
  return `npm run bench -- ${benchmark.name}${flags}`
}

const cell = (text: string): string => text.replaceAll("|", "\\|")

/**
 * Puts the result into `docs/performance.md`, between the marks of this benchmark, so that no figure on that page was
 * typed by hand. What surrounds the marks is text.
 */
export const updatePage = (benchmark: Benchmark, options: Options, result: Result): void => {
  const text = readFileSync(page, "utf8")
  const open = `<!-- figures: ${benchmark.name} -->`
  const close = `<!-- end: ${benchmark.name} -->`
  const from = text.indexOf(open)
  const to = text.indexOf(close)
  if (from === -1 || to === -1)
    throw new Error(`docs/performance.md has no place for ${benchmark.name}: ${open} ... ${close}.`)
  const lines = [
    open,
    "",
    `\`${commandOf(benchmark, options)}\``,
    "",
    `${[machine(), ...result.environment].join(". ")}. Checked: ${result.checked}.`,
    "",
    `| ${headings.join(" | ")} |`,
    `| ${headings.map((_, i) => (i === 0 ? "---" : "--:")).join(" | ")} |`,
    ...result.figures.map((figure) => `| ${row(figure).map(cell).join(" | ")} |`),
    "",
    ...(result.plots ?? []).flatMap((plot) => [`![${plot.title}](plots/${plot.name}.svg)`, ""])
  ]
  writeFileSync(page, text.slice(0, from) + lines.join("\n") + text.slice(to))
}
