import { type FaultCode, faultTable } from "../../telemetry/faults/FaultTable.ts"

/** What is looked at, in the order of the report. The table of faults names these where a check shows a fault. */
export const checks = [
  "configuration",
  "process",
  "connection",
  "server",
  "wal_level",
  "limits",
  "clock",
  "role",
  "publication",
  "tables",
  "slot",
  "failover",
  "lock",
  "storage",
  "bucket",
  "service"
] as const
export type Check = (typeof checks)[number]

/** One thing that was found. `advice` is what works and could be better, or will be trouble; `problem` is what does not work. */
export interface Finding {
  readonly check: Check
  readonly level: "ok" | "advice" | "problem"
  /** The row of `docs/errors.md` that tells more. */
  readonly code?: FaultCode
  readonly text: string
  /** What to run or to set, and nothing else. */
  readonly fix?: string
}

export const fine = (check: Check, text: string): Finding => ({ check, level: "ok", text })

export const advice = (check: Check, code: FaultCode | undefined, text: string, fix?: string): Finding =>
  finding(check, "advice", code, text, fix)

export const problem = (check: Check, code: FaultCode | undefined, text: string, fix?: string): Finding =>
  finding(check, "problem", code, text, fix)

const finding = (
  check: Check,
  level: Finding["level"],
  code: FaultCode | undefined,
  text: string,
  fix: string | undefined
): Finding => ({
  check,
  level,
  ...(code === undefined ? {} : { code }),
  text,
  ...(fix === undefined ? {} : { fix })
})

/** The check that shows a fault, or `otherwise` where the table names none. */
export const checkOf = (code: FaultCode, otherwise: Check): Check => {
  const { doctor } = faultTable[code]
  return checks.find((check) => check === doctor) ?? otherwise
}
