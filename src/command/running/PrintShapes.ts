import type { ShapeDetail } from "../../operator/reports/ShapeDetail.ts"
import type { ShapePage } from "../../operator/gather/ListShapes.ts"
import { bytes, duration, harmless } from "../Figures.ts"
import { textTable } from "./TextTable.ts"

const ago = (date: string, nowMillis: number): string => {
  const seconds = (nowMillis - Date.parse(date)) / 1000
  return Number.isFinite(seconds) ? `${duration(Math.max(0, seconds))} ago` : "unknown"
}

const head = ["handle", "table", "found", "size", "changes", "readers", "last read", "where"]

/** One page of the list; `width`: of the terminal, in characters. */
export const printShapes = (page: ShapePage, nowMillis: number, width: number): string => {
  const { limit, matching, page: number, shapes, total } = page
  if (shapes.length === 0)
    return matching === 0
      ? `None of ${total} shapes.\n`
      : `Page ${number} is behind the last of ${matching} shapes.\n`
  const rows = shapes.map((shape) => [
    shape.handle,
    shape.table,
    shape.state === "loading" ? "loading" : shape.evaluation,
    bytes(shape.snapshotBytes + shape.logBytes),
    String(shape.changes),
    String(shape.readers),
    ago(shape.lastReadAt, nowMillis),
    shape.where ?? ""
  ])
  const first = (number - 1) * limit + 1
  const more = first + shapes.length <= matching ? ` --page=${number + 1} has more.` : ""
  return [
    ...textTable(head, rows, width),
    "",
    `${first} to ${first + shapes.length - 1} of ${matching}${matching === total ? "" : `, of ${total} in all`}.${more}`,
    ""
  ].join("\n")
}

/** One shape in depth. */
export const printShape = (shape: ShapeDetail, nowMillis: number): string => {
  const { evaluationDetail: how, journal, snapshot } = shape
  const columns = shape.columns === null ? "all" : shape.columns.join(", ")
  const fields: ReadonlyArray<readonly [string, string | null]> = [
    ["handle", shape.handle],
    ["table", shape.table],
    ["where", shape.where ?? "all rows"],
    ["columns", columns],
    ["key", shape.keyColumns.join(", ")],
    ["replica, log", `${shape.replica}, ${shape.log}`],
    ["sub-selects", shape.memberTables.length === 0 ? null : shape.memberTables.join(", ")],
    ["found", `${how.kind}. ${how.cost}`],
    ["why", how.reason],
    ["faster", how.faster],
    [
      "first rows",
      `${bytes(shape.snapshotBytes)} in ${snapshot.chunks} chunks${snapshot.complete ? "" : ", being written"}`
    ],
    [
      "changes",
      `${shape.changes}; ${bytes(shape.logBytes)} in ${shape.logFiles} files, ${bytes(journal.bytes)} in the journal`
    ],
    ["end", shape.offset],
    ["readers", String(shape.readers)],
    ["made", `${shape.createdAt} (${ago(shape.createdAt, nowMillis)})`],
    [
      "last read",
      `${shape.lastReadAt} (${ago(shape.lastReadAt, nowMillis)})${shape.dormant ? ", dormant" : ""}`
    ],
    ["request", shape.request]
  ]
  return fields
    .flatMap(([name, text]) => (text === null ? [] : [`${name.padEnd(14)}${harmless(text)}\n`]))
    .join("")
}
