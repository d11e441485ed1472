import type { Cause, LogLevel } from "effect"
import { isSecretName } from "../config/Redaction.ts"

/** One log event, already taken out of the fiber that logged it. */
export interface LogEvent {
  readonly date: Date
  readonly level: LogLevel.LogLevel
  /** What was passed to `Effect.log`: one value or several. */
  readonly message: unknown
  readonly cause: Cause.Cause<unknown>
  readonly annotations: Readonly<Record<string, unknown>>
  /** Log spans: name and start, in milliseconds since 1970. */
  readonly spans: ReadonlyArray<readonly [string, number]>
}

/** What the levels are called in the log. */
export const names: Readonly<Record<LogLevel.LogLevel, string>> = {
  All: "all",
  Fatal: "fatal",
  Error: "error",
  Warn: "warning",
  Info: "info",
  Debug: "debug",
  Trace: "trace",
  None: "none"
}

/** Members of objects: no secrets, and no bigints, which JSON does not have. */
/** A value as text, whatever it is. */
const safePart = (name: string, part: unknown): unknown =>
  isSecretName(name) ? "[REDACTED]" : typeof part === "bigint" ? String(part) : part

export const plainText = (value: unknown): string => {
  if (typeof value === "string") return value
  if (value instanceof Error) return value.message === "" ? value.name : value.message
  if (typeof value === "object" && value !== null) {
    try {
      return JSON.stringify(value, safePart) ?? String(value)
    } catch {
      return Object.prototype.toString.call(value)
    }
  }
  return String(value)
}

/** Tag and message of an error: the tag is what the code calls it, the message what an operator needs. */
export const described = (error: unknown): string => {
  const text = plainText(error)
  const tag = typeof error === "object" && error !== null && "_tag" in error ? plainText(error._tag) : ""
  return tag === "" || text.startsWith(tag) ? text : `${tag}: ${text}`
}
