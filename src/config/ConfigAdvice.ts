import { Effect } from "effect"
import { type FaultKind, tellFault } from "../shared/TellFault.ts"

/** What is said of the configuration at the start. */
export const configAdvice = {
  code: "BATON-CONFIG-ADVICE",
  severity: "warning",
  title: "Something in the configuration has another effect than may be meant",
  happened: "A variable is misspelt, has no effect, or is risky. The line names it. The service runs.",
  heals: "No.",
  advice: "Change or remove the variable, and start again.",
  doctor: "configuration"
} as const satisfies FaultKind

/** Says in the log what the reading of the configuration has found. */
export const tellConfigAdvice = (warnings: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(warnings, (message) => tellFault(configAdvice, { message }), { discard: true })
