import type { FaultKind } from "./TellFault.ts"

/** What must not happen. */
export const mistake = {
  code: "BATON-SERVICE-MISTAKE",
  severity: "critical",
  title: "A mistake in Baton",
  happened:
    "Something happened that must not, in one request or in one part of the service. The line has the cause.",
  heals: "The service goes on; what was under way is tried again or answered with a 500.",
  advice: "Report it, with the line and what is below it."
} as const satisfies FaultKind

/** Work beside requests ended otherwise than it should. */
export const dutyDied = {
  code: "BATON-SERVICE-STUMBLED",
  severity: "critical",
  title: "A part of the service stumbled",
  happened:
    "Work that goes on beside requests has ended by a failure that nobody expected. The line says which, and how the service goes on.",
  heals:
    "As a rule it begins anew by itself after a pause; the line says what happens instead where it does not.",
  advice: "If it comes again, mend what the line names (a disk, say), or report it."
} as const satisfies FaultKind
