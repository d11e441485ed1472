import type { Effect } from "effect"
import type { FaultCode } from "./faults/FaultTable.ts"
import { reportFault } from "./faults/ReportFault.ts"

/** The same thing is told again after so long, if it still happens. */
const everyMillis = 60_000

/**
 * Tells what clients meet again and again until an operator mends it: a line for each thing, not for each request, and another one a
 * minute later if it goes on. `about` tells one thing from another; by default the line itself does.
 */
export const notice = (code: FaultCode, message: string, about: string = message): Effect.Effect<void> =>
  reportFault(code, { message, about, everyMillis })
