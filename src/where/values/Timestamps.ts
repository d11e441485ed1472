import { civilOf, daysInMonth, daysOf } from "./Calendar.ts"
import { fail, invalidSyntax, undecided } from "./Failure.ts"
import { normalise, type Integer } from "./Integer.ts"

/**
 * Dates are days, times are microseconds of the day, timestamps microseconds, all since 2000-01-01; infinities
 * are JavaScript's. `timestamp` and `timestamptz` share the representation, the latter in UTC.
 */
export const microsPerDay = 86400000000
const bigDay = 86400000000n

export const minDate = -2451545
/** First day past the range of `date`. */
export const endDate = 2145031949
const minTimestamp = -211813488000000000n
const endTimestamp = 9223371331200000000n

export const isInfinite = (value: Integer): boolean => value === Infinity || value === -Infinity

/** Joins days and microseconds of the day; checks the range of the type. */
export const joinTimestamp = (days: number, micros: number, type = "timestamp"): Integer => {
  const quick = days * microsPerDay + micros
  if (Number.isSafeInteger(quick)) return quick
  const exact = BigInt(days) * bigDay + BigInt(micros)
  return checkTimestamp(exact, type)
}

export const checkTimestamp = (value: bigint, type = "timestamp"): Integer => {
  if (value < minTimestamp || value >= endTimestamp) return fail(`${type} out of range`)
  return normalise(value)
}

interface Split {
  readonly days: number
  readonly micros: number
}

export const splitTimestamp = (value: Integer): Split => {
  if (typeof value === "number") {
    const days = Math.floor(value / microsPerDay)
    const micros = value - days * microsPerDay
    if (micros >= 0 && micros < microsPerDay) return { days, micros }
  }
  const exact = BigInt(value)
  let days = exact / bigDay
  let micros = exact % bigDay
  if (micros < 0n) {
    micros += bigDay
    days -= 1n
  }
  return { days: Number(days), micros: Number(micros) }
}

const iso =
  /^(\d{4,7})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{0,9}))?)?(?: ?(Z|z|[+-]\d{1,2}(?::?\d{2}(?::?\d{2})?)?))?)?( BC)?$/

interface Parsed {
  readonly days: number
  readonly micros: number
  /** Seconds east of UTC as written, `undefined` when no zone was written. */
  readonly zone: number | undefined
}

const zoneSeconds = (text: string): number => {
  if (text === "Z" || text === "z") return 0
  const digits = text.slice(1).replaceAll(":", "")
  const padded = digits.length % 2 === 1 ? `0${digits}` : digits
  const hours = Number(padded.slice(0, 2))
  const minutes = Number(padded.slice(2, 4) || "0")
  const seconds = Number(padded.slice(4, 6) || "0")
  if (hours > 15 || minutes > 59 || seconds > 59)
    return fail(`time zone displacement out of range: "${text}"`)
  const total = hours * 3600 + minutes * 60 + seconds
  return text.startsWith("-") ? -total : total
}

/** Microseconds of a fraction of a second, rounded to the nearest as Postgres does. */
const fractionMicros = (digits: string): number =>
  digits.length <= 6 ? Number(digits.padEnd(6, "0")) : Math.round(Number(`0.${digits}`) * 1000000)

const words = /^[ \t\n\r]*(now|today|tomorrow|yesterday|allballs)[ \t\n\r]*$/i

/**
 * Reads the ISO form, which is what Postgres prints and most programs write. Other forms exist (Postgres reads
 * dozens): whether they are valid is left to Postgres.
 */
const parseParts = (text: string, type: string): Parsed | number => {
  let match = iso.exec(text)
  if (match === null) {
    const trimmed = text.trim()
    const lower = trimmed.toLowerCase()
    if (lower === "infinity" || lower === "+infinity") return Infinity
    if (lower === "-infinity") return -Infinity
    if (lower === "epoch") return { days: -10957, micros: 0, zone: 0 }
    if (words.test(text)) return undecided(`"${trimmed}" depends on the time it is read`)
    if (!/\d|inf|epoch|now|today|tomorrow|yesterday/i.test(text)) return invalidSyntax(type, text)
    if (trimmed !== text) match = iso.exec(trimmed)
    if (match === null)
      return undecided(`the form of "${text.slice(0, 40)}" as ${type} is read by Postgres only`)
  }
  const [, yearText = "", monthText = "", dayText = "", hours, minutes, seconds, fraction, zone, bc] = match
  const written = Number(yearText)
  const year = bc === undefined ? written : 1 - written
  const month = Number(monthText)
  const day = Number(dayText)
  if (written === 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) {
    return fail(`date/time field value out of range: "${text}"`)
  }
  let micros = 0
  if (hours !== undefined) micros = timeMicros(hours, minutes ?? "0", seconds ?? "0", fraction ?? "", text)
  return { days: daysOf(year, month, day), micros, zone: zone === undefined ? undefined : zoneSeconds(zone) }
}

const timeMicros = (
  hours: string,
  minutes: string,
  seconds: string,
  fraction: string,
  text: string
): number => {
  const h = Number(hours)
  const m = Number(minutes)
  const s = Number(seconds)
  const micros = (h * 3600 + m * 60 + s) * 1000000 + fractionMicros(fraction)
  if (h > 24 || m > 59 || s > 60 || micros > microsPerDay) {
    return fail(`date/time field value out of range: "${text}"`)
  }
  return micros
}

export const parseDate = (text: string): number => {
  const parts = parseParts(text, "date")
  if (typeof parts === "number") return parts
  if (parts.days < minDate || parts.days >= endDate) return fail(`date out of range: "${text}"`)
  return parts.days
}

export const parseTimestamp = (text: string): Integer => {
  const parts = parseParts(text, "timestamp")
  return typeof parts === "number" ? parts : joinTimestamp(parts.days, parts.micros)
}

/** Without a zone the text is in the session's zone, which this service fixes to UTC. */
export const parseTimestamptz = (text: string): Integer => {
  const parts = parseParts(text, "timestamp with time zone")
  if (typeof parts === "number") return parts
  return shift(joinTimestamp(parts.days, parts.micros), -(parts.zone ?? 0))
}

export const shift = (value: Integer, seconds: number): Integer => {
  if (typeof value === "number") {
    const moved = value + seconds * 1000000
    if (Number.isSafeInteger(moved)) return moved
  }
  return checkTimestamp(BigInt(value) + BigInt(seconds) * 1000000n)
}

const time = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{0,9}))?)?$/

export const parseTime = (text: string): number => {
  const match = time.exec(text.trim())
  if (match === null) {
    if (words.test(text)) return undecided(`"${text.trim()}" depends on the time it is read`)
    if (!/\d|now|allballs/i.test(text)) return invalidSyntax("time", text)
    return undecided(`the form of "${text.slice(0, 40)}" as time is read by Postgres only`)
  }
  return timeMicros(match[1] ?? "", match[2] ?? "", match[3] ?? "0", match[4] ?? "", text)
}

/** Time of day with a zone; `zone` is seconds west of UTC, as Postgres keeps it. */
export interface TimeTz {
  readonly micros: number
  readonly zone: number
}

const timetz = /^(.*?) ?(Z|z|[+-]\d{1,2}(?::?\d{2}(?::?\d{2})?)?)$/

export const parseTimetz = (text: string): TimeTz => {
  const match = timetz.exec(text.trim())
  if (match === null) return { micros: parseTime(text), zone: 0 }
  return { micros: parseTime(match[1] ?? ""), zone: 0 - zoneSeconds(match[2] ?? "") }
}

export const compareTimetz = (a: TimeTz, b: TimeTz): number =>
  a.micros + a.zone * 1000000 - (b.micros + b.zone * 1000000) || a.zone - b.zone

const two = (n: number): string => (n < 10 ? `0${n}` : String(n))

const printZone = (secondsEast: number): string => {
  const size = Math.abs(secondsEast)
  const seconds = size % 60
  const minutes = Math.floor(size / 60) % 60
  const hours = Math.floor(size / 3600)
  const tail = seconds !== 0 ? `:${two(minutes)}:${two(seconds)}` : minutes !== 0 ? `:${two(minutes)}` : ""
  return `${secondsEast < 0 ? "-" : "+"}${two(hours)}${tail}`
}

export const printTime = (micros: number): string => {
  const seconds = Math.floor(micros / 1000000)
  const fraction = micros - seconds * 1000000
  const text = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return fraction === 0 ? text : `${text}.${String(fraction).padStart(6, "0").replace(/0+$/, "")}`
}

export const printTimetz = (value: TimeTz): string => printTime(value.micros) + printZone(0 - value.zone)

const printDays = (days: number): { readonly text: string; readonly era: string } => {
  const { year, month, day } = civilOf(days)
  const shown = year > 0 ? year : 1 - year
  return { text: `${String(shown).padStart(4, "0")}-${two(month)}-${two(day)}`, era: year > 0 ? "" : " BC" }
}

const printInfinity = (value: Integer): string => (value === Infinity ? "infinity" : "-infinity")

export const printDate = (days: number): string => {
  if (isInfinite(days)) return printInfinity(days)
  const { text, era } = printDays(days)
  return text + era
}

export const printTimestamp = (value: Integer): string => {
  if (isInfinite(value)) return printInfinity(value)
  const { days, micros } = splitTimestamp(value)
  const { text, era } = printDays(days)
  return `${text} ${printTime(micros)}${era}`
}

export const printTimestamptz = (value: Integer): string => {
  if (isInfinite(value)) return printInfinity(value)
  const { days, micros } = splitTimestamp(value)
  const { text, era } = printDays(days)
  return `${text} ${printTime(micros)}+00${era}`
}

/** `timestamp(p)`, `time(p)`: rounds to `p` digits of a second, half away from the epoch. */
export const roundMicros = (value: Integer, precision: number): Integer => {
  if (precision < 0 || precision >= 6 || isInfinite(value)) return value
  const unit = 10n ** BigInt(6 - precision)
  const half = unit / 2n
  const exact = BigInt(value)
  return normalise(exact >= 0n ? ((exact + half) / unit) * unit : -(((-exact + half) / unit) * unit))
}
