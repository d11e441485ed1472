import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { headings, row, type SavedResult } from "./Report.ts"

const page = path.resolve(import.meta.dirname, "../../../docs/performance.md")

const cell = (text: string): string => text.replaceAll("|", "\\|")

/**
 * Puts the result into `docs/performance.md`, between the marks of this benchmark, so that no figure on that page was
 * typed by hand. What surrounds the marks is text.
 * A benchmark without marks gets a section at the end.
 */
export const updatePage = (saved: SavedResult): void => {
  const kept = readFileSync(page, "utf8")
  const open = `<!-- figures: ${saved.benchmark} -->`
  const close = `<!-- end: ${saved.benchmark} -->`
  // The figures of a long run must not be lost because nobody has written a text for them.
  const text = kept.includes(open) ? kept : `${kept}\n## ${saved.benchmark}\n\n${open}\n${close}\n`
  const from = text.indexOf(open)
  const to = text.indexOf(close)
  if (to < from) throw new Error(`docs/performance.md lacks ${close} after ${open}.`)
  const lines = [
    open,
    "",
    `\`${saved.command}\``,
    "",
    `${[saved.machine, ...saved.environment].join(". ")}. Checked: ${saved.checked}.`,
    "",
    `| ${headings.join(" | ")} |`,
    `| ${headings.map((_, i) => (i === 0 ? "---" : "--:")).join(" | ")} |`,
    ...saved.figures.map((figure) => `| ${row(figure).map(cell).join(" | ")} |`),
    "",
    ...saved.plots.flatMap((plot) => [`![${plot.title}](plots/${plot.name}.svg)`, ""])
  ]
  writeFileSync(page, text.slice(0, from) + lines.join("\n") + text.slice(to))
}
