import { Cause, type LogLevel } from "effect"
import { isSecretName, redact } from "../config/Redaction.ts"

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

const names: Readonly<Record<LogLevel.LogLevel, string>> = {
  All: "all",
  Fatal: "fatal",
  Error: "error",
  Warn: "warning",
  Info: "info",
  Debug: "debug",
  Trace: "trace",
  None: "none"
}

const color: Readonly<Partial<Record<LogLevel.LogLevel, string>>> = {
  Fatal: "\u001b[31;1m",
  Error: "\u001b[31m",
  Warn: "\u001b[33m",
  Info: "\u001b[32m",
  Debug: "\u001b[36m",
  Trace: "\u001b[36m"
}
const dim = "\u001b[2m"
const plain = "\u001b[0m"

/** Characters of one value and of one whole line; what is longer is cut and says by how much. */
const longestValue = 2_000
const longestLine = 16_000

const cut = (text: string, limit: number): string =>
  text.length <= limit ? text : `${text.slice(0, limit)}… (${text.length - limit} more characters)`

/**
 * Text for a terminal: control characters are written as escapes, so that nothing that a client sends can colour,
 * overwrite or imitate a log line. Further lines are indented, so that every line that starts with a time is one event.
 */
const printable = (text: string): string =>
  text
    .replaceAll(/\r?\n/g, "\n    ")
    // oxlint-disable-next-line no-control-regex -- these are the characters to be removed
    .replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
      const code = character.charCodeAt(0).toString(16).padStart(4, "0")
      return `\\u${code}`
    })

/** Members of objects: no secrets, and no bigints, which JSON does not have. */
const safePart = (name: string, part: unknown): unknown =>
  isSecretName(name) ? "[REDACTED]" : typeof part === "bigint" ? String(part) : part

const plainText = (value: unknown): string => {
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

/** A value behind `key=`: quoted when it could be mistaken for something else. */
const quoted = (text: string): string => (/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text))

const entry = (name: string, value: unknown): string =>
  `${name}=${isSecretName(name) ? "[REDACTED]" : quoted(cut(redact(plainText(value)), longestValue))}`

const twoDigits = (value: number): string => String(value).padStart(2, "0")

/** Local time of the machine, as the rest of its logs: set `TZ` for another. */
const clock = (date: Date): string =>
  `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}.` +
  String(date.getMilliseconds()).padStart(3, "0")

/**
 * What went wrong, on the line if it was expected to happen, with its stack below the line if it was not: a defect is a
 * mistake in the program, and only the stack tells where.
 */
const failures = (cause: Cause.Cause<unknown>): { readonly inline: string; readonly below: string } => {
  if (cause.reasons.length === 0) return { inline: "", below: "" }
  if (Cause.hasInterruptsOnly(cause)) return { inline: " error=interrupted", below: "" }
  const inline: Array<string> = []
  const below: Array<string> = []
  for (const reason of cause.reasons) {
    if (Cause.isFailReason(reason)) inline.push(entry("error", described(reason.error)))
    if (Cause.isDieReason(reason)) {
      const { defect } = reason
      below.push(defect instanceof Error ? (defect.stack ?? plainText(defect)) : plainText(defect))
    }
  }
  return {
    inline: inline.map((text) => ` ${text}`).join(""),
    below: below.map((text) => `\n${redact(text)}`).join("")
  }
}

/** Tag and message of an error: the tag is what the code calls it, the message what an operator needs. */
const described = (error: unknown): string => {
  const text = plainText(error)
  const tag = typeof error === "object" && error !== null && "_tag" in error ? plainText(error._tag) : ""
  return tag === "" || text.startsWith(tag) ? text : `${tag}: ${text}`
}

/** `HH:MM:SS.mmm level message key=value ...`, without a line feed at the end, and without secrets. */
export const formatLogLine = (event: LogEvent, colors: boolean): string => {
  const messages = Array.isArray(event.message) ? event.message : [event.message]
  const text = messages.map((part) => redact(plainText(part))).join(" ")
  const { inline, below } = failures(event.cause)
  let entries = Object.entries(event.annotations)
    .map(([name, value]) => ` ${entry(name, value)}`)
    .join("")
  for (const [name, start] of event.spans) entries += ` ${entry(name, `${event.date.getTime() - start}ms`)}`
  const rest = printable(cut(text + entries + inline + below, longestLine))
  return colors
    ? `${dim}${clock(event.date)}${plain} ${color[event.level] ?? ""}${names[event.level]}${plain} ${rest}`
    : `${clock(event.date)} ${names[event.level]} ${rest}`
}
