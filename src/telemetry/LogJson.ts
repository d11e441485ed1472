import { Cause } from "effect"
import { isSecretName, redact } from "../config/Redaction.ts"
import { codeField } from "../shared/TellFault.ts"
import { described, type LogEvent, names, plainText } from "./LogEvent.ts"

/** Characters of one text; what is longer is cut and says by how much. */
const longestText = 8_000

const text = (value: unknown): string => {
  const all = redact(plainText(value))
  return all.length <= longestText
    ? all
    : `${all.slice(0, longestText)}… (${all.length - longestText} more characters)`
}

/** What went wrong: `error` if it was expected to happen, `stack` if it was not. */
const failures = (cause: Cause.Cause<unknown>): { readonly error?: string; readonly stack?: string } => {
  if (cause.reasons.length === 0) return {}
  if (Cause.hasInterruptsOnly(cause)) return { error: "interrupted" }
  const errors: Array<string> = []
  const stacks: Array<string> = []
  for (const reason of cause.reasons) {
    if (Cause.isFailReason(reason)) errors.push(text(described(reason.error)))
    if (Cause.isDieReason(reason)) {
      const { defect } = reason
      stacks.push(text(defect instanceof Error ? (defect.stack ?? defect) : defect))
    }
  }
  return {
    ...(errors.length === 0 ? {} : { error: errors.join("; ") }),
    ...(stacks.length === 0 ? {} : { stack: stacks.join("\n") })
  }
}

/** One event as plain data, without secrets. Values are text, log spans in milliseconds. */
interface LogRecord {
  readonly level: string
  readonly message: string
  readonly error?: string
  readonly stack?: string
  readonly fields: Readonly<Record<string, string>>
}

export const logRecord = (event: LogEvent): LogRecord => {
  const messages = Array.isArray(event.message) ? event.message : [event.message]
  const fields: Record<string, string> = {}
  for (const [name, value] of Object.entries(event.annotations))
    fields[name] = isSecretName(name) ? "[REDACTED]" : text(value)
  for (const [name, start] of event.spans) fields[`${name}Millis`] = String(event.date.getTime() - start)
  return {
    level: names[event.level],
    message: text(messages.map(plainText).join(" ")),
    ...failures(event.cause),
    fields
  }
}

/**
 * One event as one line of JSON: `time` (UTC, ISO 8601), `level`, `code` where it is one of `docs/errors.md`, `message`, then `error` or `stack`, and under `fields`
 * what belongs to it, log spans in milliseconds among them. Values are text. No line feed at the end, and no secrets.
 */
export const formatLogJson = (event: LogEvent): string => {
  const { fields, level, ...rest } = logRecord(event)
  const { [codeField]: code, ...others } = fields
  return JSON.stringify({
    time: event.date.toISOString(),
    level,
    code,
    ...rest,
    ...(Object.keys(others).length === 0 ? {} : { fields: others })
  })
}
