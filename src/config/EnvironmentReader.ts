import { Result } from "effect"
import { redact } from "./Redaction.ts"
import type { Defaulted, Variable } from "./Variable.ts"

export type Environment = Readonly<Record<string, string | undefined>>

const shownValueLength = 80

/** How a bad value appears in an error: quoted, short, and without a password that strayed into it. */
const shown = (value: string): string => {
  const safe = redact(value)
  return JSON.stringify(safe.length > shownValueLength ? `${safe.slice(0, shownValueLength)}…` : safe)
}

/**
 * Reads variables one by one and collects what is wrong, so that an operator sees all of it at once. A variable may be
 * read several times; its problem is collected once.
 */
export class EnvironmentReader {
  readonly problems: Array<string> = []
  readonly warnings: Array<string> = []
  private readonly bad = new Set<string>()
  private readonly env: Environment

  constructor(env: Environment) {
    this.env = env
  }

  /** The raw text; for secret variables better not asked for. */
  text(variable: Variable<unknown>): string | undefined {
    return this.env[variable.name]
  }

  isSet(variable: Variable<unknown>): boolean {
    return this.env[variable.name] !== undefined
  }

  /** Was it read, and could not be used? */
  isBad(variable: Variable<unknown>): boolean {
    return this.bad.has(variable.name)
  }

  problem(text: string): void {
    this.problems.push(text)
  }

  warn(text: string): void {
    this.warnings.push(text)
  }

  /** The value; `undefined` when unset, and also when bad, which is then a problem. */
  optional<A>(variable: Variable<A>): A | undefined {
    const value = this.env[variable.name]
    if (value === undefined) return undefined
    const parsed = variable.kind.parse(value)
    if (Result.isSuccess(parsed)) return parsed.success
    if (!this.bad.has(variable.name)) {
      this.bad.add(variable.name)
      const what = variable.secret ? variable.name : `${variable.name}=${shown(value)}`
      const hint = value === "" ? "; to use the default, remove the variable instead of leaving it empty" : ""
      this.problem(`${what}: ${parsed.failure}${hint}`)
    }
    return undefined
  }

  /** The value, or the default; the default as well when it is bad, since nobody will see the result. */
  read<A>(variable: Defaulted<A>): A {
    return this.optional(variable) ?? variable.fallback
  }

  /** The value under its present name, else under an old one, with a warning to change it. */
  optionalWithOldName<A>(variable: Variable<A>, old: Variable<A>): A | undefined {
    const value = this.optional(variable)
    const oldValue = this.optional(old)
    if (this.isSet(old)) {
      this.warn(
        this.isSet(variable)
          ? `${old.name} is an old name and ignored, because ${variable.name} is set`
          : `${old.name} is an old name: use ${variable.name}`
      )
    }
    return this.isSet(variable) ? value : oldValue
  }
}
