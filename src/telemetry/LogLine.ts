import { Cause, type LogLevel } from "effect"
import { isSecretName, redact } from "../config/Redaction.ts"
import { codeField } from "../shared/TellFault.ts"
import { described, type LogEvent, names, plainText } from "./LogEvent.ts"

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

/** A value behind `key=`: quoted when it could be mistaken for something else. */
const quoted = (text: string): string => (/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text))

const entry = (name: string, value: unknown): string =>
  `${name}=${isSecretName(name) ? "[REDACTED]" : quoted(cut(redact(plainText(value)), longestValue))}`

const twoDigits = (value: number): string => String(value).padStart(2, "0")

/** Local time of the machine with its distance from UTC, as the rest of its logs: set `TZ` for another. */
const localTime = (date: Date): string => {
  const minutes = -date.getTimezoneOffset()
  const distance = Math.abs(minutes)
  return (
    `${String(date.getFullYear()).padStart(4, "0")}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}T` +
    `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}.` +
    `${String(date.getMilliseconds()).padStart(3, "0")}` +
    `${minutes < 0 ? "-" : "+"}${twoDigits(Math.floor(distance / 60))}:${twoDigits(distance % 60)}`
  )
}

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

/** `YYYY-MM-DDTHH:MM:SS.mmm+HH:MM level [CODE] message key=value ...`, without a line feed at the end, and without secrets. */
export const formatLogLine = (event: LogEvent, colors: boolean): string => {
  const messages = Array.isArray(event.message) ? event.message : [event.message]
  const text = messages.map((part) => redact(plainText(part))).join(" ")
  const { inline, below } = failures(event.cause)
  const { [codeField]: code, ...annotations } = event.annotations
  const head = code === undefined ? "" : `[${plainText(code)}] `
  let entries = Object.entries(annotations)
    .map(([name, value]) => ` ${entry(name, value)}`)
    .join("")
  for (const [name, start] of event.spans) entries += ` ${entry(name, `${event.date.getTime() - start}ms`)}`
  const rest = printable(cut(head + text + entries + inline + below, longestLine))
  return colors
    ? `${dim}${localTime(event.date)}${plain} ${color[event.level] ?? ""}${names[event.level]}${plain} ${rest}`
    : `${localTime(event.date)} ${names[event.level]} ${rest}`
}
