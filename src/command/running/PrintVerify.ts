import { totalFound, type VerifyReport } from "../../registry/verify/VerifyReport.ts"
import { duration, harmless } from "../Figures.ts"
import { textTable } from "./TextTable.ts"

const count = (value: number, one: string, many = `${one}s`): string =>
  `${value.toLocaleString("en-US")} ${value === 1 ? one : many}`

const head = ["shape", "table", "row", "how", "last in the log"]

const kinds = {
  missing: "missing: only Postgres has it",
  surplus: "surplus: only the shape has it",
  differs: "differs"
} as const

const differences = (report: VerifyReport, width: number): ReadonlyArray<string> => {
  const total = totalFound(report.found)
  if (total === 0) return []
  const rows = report.differences.map(({ columns, handle, key, kind, since, table }) => [
    handle,
    table,
    harmless(key),
    columns.length === 0 ? kinds[kind] : `${kinds[kind]} in ${harmless(columns.join(", "))}`,
    since ?? "never"
  ])
  const more = total - rows.length
  return ["", ...textTable(head, rows, width), ...(more > 0 ? [`and ${count(more, "row")} more`] : [])]
}

const notCompared = ({ moreSkipped, skipped }: VerifyReport): ReadonlyArray<string> =>
  skipped.length === 0
    ? []
    : [
        "",
        "Not compared:",
        ...skipped.map(
          ({ handle, reason, table }) => `  ${handle} on ${harmless(table)}: ${harmless(reason)}`
        ),
        ...(moreSkipped > 0 ? [`  and ${moreSkipped} more`] : [])
      ]

const repairs = {
  none: [],
  underWay: [
    "",
    "All shapes are being compared with the database, and get what they lack, under their handles."
  ],
  done: [
    "",
    "All shapes were compared with the database, and have got what they lacked, under their handles."
  ]
} as const

const verdict = (report: VerifyReport): string => {
  const { failure, found, shapes, state } = report
  const total = totalFound(found)
  if (state === "failed") return `It could not be finished: ${failure ?? "nobody knows why"}`
  if (state === "stopped") return "It was stopped."
  if (total === 0) return "Nothing differs."
  return `${count(total, "row")} of ${count(shapes.differing, "shape")} ${total === 1 ? "is" : "are"} not what Postgres has: ${found.missing} missing, ${found.differs} that differ, ${found.surplus} surplus.`
}

/** What has come of a comparison. `width`: of the terminal, in characters. */
export const printVerify = (report: VerifyReport, width: number): string => {
  const { endedAt, rowsRead, shapes, startedAt, tables } = report
  const seconds = (Date.parse(endedAt ?? startedAt) - Date.parse(startedAt)) / 1000
  return [
    `Compared ${shapes.compared} of ${count(shapes.total, "shape")} on ${count(tables.done, "table")} with ${count(rowsRead, "row")} of Postgres in ${duration(seconds)}. ${verdict(report)}`,
    ...differences(report, width),
    ...notCompared(report),
    ...repairs[report.repair],
    ""
  ].join("\n")
}

const barWidth = 30

/** How far it is, for one line of a terminal that is written over and over. */
export const verifyBar = ({ found, repair, rowsRead, shapes, state, tables }: VerifyReport): string => {
  const share = tables.total === 0 ? 1 : tables.done / tables.total
  const full = Math.round(share * barWidth)
  const what =
    state !== "running" && repair === "underWay"
      ? "repairing"
      : `${tables.done} of ${tables.total} tables, ${shapes.compared} shapes, ${rowsRead} rows, ${totalFound(found)} differ`
  return `[${"#".repeat(full)}${".".repeat(barWidth - full)}] ${what}`
}
