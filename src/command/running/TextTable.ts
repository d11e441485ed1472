import { harmless } from "../Figures.ts"

type Row = ReadonlyArray<string>

const cut = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`

/**
 * Rows under a head, each column as wide as what stands in it; the last one is cut so that lines are no longer than `width`
 * characters.
 */
export const textTable = (head: Row, rows: ReadonlyArray<Row>, width: number): ReadonlyArray<string> => {
  const all = [head, ...rows].map((row) => row.map(harmless))
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const last = head.length - 1
  const before = widths.slice(0, last).reduce((sum, one) => sum + one + 2, 0)
  return all.map((row) =>
    row
      .map((cell, column) =>
        column === last ? cut(cell, Math.max(20, width - before)) : cell.padEnd(widths[column] ?? 0)
      )
      .join("  ")
      .trimEnd()
  )
}
