import type { ActiveFault, RecordedFault } from "../../shared/FaultRecord.ts"
import type { FaultKind } from "../../shared/TellFault.ts"
import { isoTime } from "./ShapeRow.ts"

/** A fault that lasts, with all that the table of faults says of it. */
export interface ActiveFaultReport {
  readonly code: string
  readonly about: string
  readonly since: string
  readonly message: string
  readonly title: string
  readonly severity: string
  readonly heals: string
  readonly advice: string
}

/** What an operator should know has gone wrong: what lasts, and what was in the log last, the newest first. */
export interface FaultsReport {
  readonly active: ReadonlyArray<ActiveFaultReport>
  readonly recent: ReadonlyArray<
    Omit<RecordedFault, "atMillis"> & { readonly at: string; readonly title: string }
  >
}

type Table = Readonly<Record<string, FaultKind>>

export const activeReport = (table: Table, active: ReadonlyArray<ActiveFault>): FaultsReport["active"] =>
  active.map(({ about, code, message, sinceMillis }) => {
    const kind = table[code]
    return {
      code,
      about,
      since: isoTime(sinceMillis),
      message,
      title: kind?.title ?? code,
      severity: kind?.severity ?? "warning",
      heals: kind?.heals ?? "",
      advice: kind?.advice ?? ""
    }
  })

export const recentReport = (table: Table, recent: ReadonlyArray<RecordedFault>): FaultsReport["recent"] =>
  recent.map(({ atMillis, ...fault }) => ({
    at: isoTime(atMillis),
    ...fault,
    title: table[fault.code]?.title ?? fault.code
  }))
