import { limits } from "../../config/Limits.ts"
import { redact } from "../../config/Redaction.ts"
import type { Variable } from "../../config/Variable.ts"
import { variables } from "../../config/Variables.ts"

/** A variable of the configuration, as an operator may see it. */
interface VariableReport {
  readonly name: string
  readonly group: string
  /** As it was set, `(hidden)` where it is a secret; null: it is not set. */
  readonly value: string | null
  readonly standard: string
  readonly about: string
}

const longestValue = 500

const shown = (variable: Variable<unknown>, value: string | undefined): string | null => {
  if (value === undefined) return null
  if (variable.secret) return "(hidden)"
  // A secret that strayed into another variable is none of anybody's business either.
  const safe = redact(value)
  return safe.length > longestValue ? `${safe.slice(0, longestValue)}…` : safe
}

/** Every variable there is, with what the environment says. */
export const configReport = (
  environment: Readonly<Record<string, string | undefined>>
): ReadonlyArray<VariableReport> =>
  [...Object.values<Variable<unknown>>(variables), ...Object.values<Variable<unknown>>(limits)].map(
    (variable) => ({
      name: variable.name,
      group: variable.group,
      value: shown(variable, environment[variable.name]),
      standard: variable.standard,
      about: variable.about
    })
  )
