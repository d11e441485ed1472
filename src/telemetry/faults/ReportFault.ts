import { Effect } from "effect"
import { endFault, type FaultEnd, type FaultReport, tellFault } from "../../shared/TellFault.ts"
import { type FaultCode, faultTable } from "./FaultTable.ts"

/**
 * The one way to tell an operator: a line in the log with its code (`[BATON-…]` in text, `code` in JSON), at the level of its severity;
 * `baton_faults_total` counts it; a fault that lasts makes `baton_fault_active` 1 until `faultEnded`; and it is among the
 * `recentFaults`. Needs nothing of its context, so that it works in every process, and in a program that Baton is part of.
 */
export const reportFault = (code: FaultCode, report: FaultReport | string): Effect.Effect<void> =>
  tellFault(faultTable[code], typeof report === "string" ? { message: report } : report)

/** A fault that lasts is over, which is said in the log if it was active. Whether it was. */
export const faultEnded = (code: FaultCode, end: FaultEnd = {}): Effect.Effect<boolean> =>
  endFault(faultTable[code], end)
