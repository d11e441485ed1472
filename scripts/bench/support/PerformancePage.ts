import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { headings, row, type SavedResult } from "./Report.ts"

const page = path.resolve(import.meta.dirname, "../../../docs/performance.md")

const cell = (text: string): string => text.replaceAll("|", "\\|")

/**
 * Puts the result into `docs/performance.md`, between the marks of this benchmark, so that no figure on that page was
 * typed by hand. What surrounds the marks is text.
 */
export const updatePage = (saved: SavedResult): void => {
  const text = readFileSync(page, "utf8")
  const open = `<!-- figures: ${saved.benchmark} -->`
  const close = `<!-- end: ${saved.benchmark} -->`
  const from = text.indexOf(open)
  const to = text.indexOf(close)
  if (from === -1 || to === -1)
    throw new Error(`docs/performance.md has no place for ${saved.benchmark}: ${open} ... ${close}.`)
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
