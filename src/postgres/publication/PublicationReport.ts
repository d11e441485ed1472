import type { PublicationErrorReason } from "./PublicationError.ts"
import type { Operation } from "./PublicationState.ts"

/** What is wrong, or was until now, with one table that shapes use. */
export interface TableProblem {
  readonly oid: number
  /**
   * `vanished`: the table is gone. `notPublished`: its changes did not arrive for some time; its shapes are stale even if
   * it is repaired. `identityNotFull`: old rows may have been missing from changes; the stream says so where they were.
   * Otherwise a reason for which new shapes of the table are refused.
   */
  readonly problem: "vanished" | PublicationErrorReason
  readonly repaired: boolean
  readonly message: string
}

/** One comparison of the publication with what shapes need. */
export interface PublicationReport {
  /** The publication is gone: streaming with the present slot is over. */
  readonly isMissing: boolean
  /** Operations that were not published for some time: all shapes are stale, even if this is repaired. */
  readonly operationsLost: ReadonlyArray<Operation>
  /** Shapes with generated columns are stale, even if this is repaired. */
  readonly generatedColumnsLost: boolean
  /** The publication carries everything again. */
  readonly repaired: boolean
  readonly tables: ReadonlyArray<TableProblem>
  /** Tables that left the publication because no shape had used them for the grace period. */
  readonly removed: ReadonlyArray<number>
}

/** Whether anybody has to do anything about it. */
export const saysSomething = (report: PublicationReport): boolean =>
  report.isMissing ||
  report.operationsLost.length > 0 ||
  report.generatedColumnsLost ||
  report.tables.length > 0

const outcome = (repaired: boolean): string => (repaired ? "It is repaired." : "It was not repaired.")

/** A line of the log, and what it is about. */
interface ReportLine {
  readonly about: "publication" | "missing" | "vanished"
  readonly text: string
}

/** For the log: what was found, one sentence each. */
export const describeReport = (
  publicationName: string,
  report: PublicationReport
): ReadonlyArray<ReportLine> => {
  const named = `The publication "${publicationName}"`
  const found: Array<ReportLine> = []
  const about = report.isMissing ? "missing" : "publication"
  const lines = { push: (text: string) => found.push({ about, text }) }
  if (report.isMissing) {
    lines.push(
      `${named} is gone. It is created anew with a new replication slot, and all shapes are compared with the database; when tables are published manually, create it.`
    )
  }
  if (report.operationsLost.length > 0) {
    lines.push(
      `${named} does not publish ${report.operationsLost.join(", ")}: changes may be missing, all shapes are compared with the database. ${outcome(report.repaired)}`
    )
  }
  if (report.generatedColumnsLost) {
    lines.push(
      `${named} does not publish generated columns: shapes with such columns are fetched again. ${outcome(report.repaired)}`
    )
  }
  for (const { message, problem, repaired } of report.tables)
    if (problem === "vanished") found.push({ about: problem, text: `${message}.` })
    else lines.push(`${message}. ${outcome(repaired)}`)
  return found
}
