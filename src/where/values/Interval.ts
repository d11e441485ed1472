import { fail, invalidSyntax, undecided } from "./Failure.ts"
import { normalise, type Integer } from "./Integer.ts"

/**
 * An interval as Postgres keeps it: months, days and microseconds side by side. The infinities exist as of
 * PostgreSQL 17 and are the extreme value in all three fields.
 */
export interface Interval {
  readonly months: number
  readonly days: number
  readonly micros: Integer
}

const maxInt = 2147483647
export const infiniteInterval: Interval = { months: maxInt, days: maxInt, micros: 2n ** 63n - 1n }
export const minusInfiniteInterval: Interval = {
  months: -maxInt - 1,
  days: -maxInt - 1,
  micros: -(2n ** 63n)
}

export const isInfiniteInterval = (v: Interval): boolean =>
  (v.months === maxInt && v.days === maxInt && v.micros === infiniteInterval.micros) ||
  (v.months === -maxInt - 1 && v.days === -maxInt - 1 && v.micros === minusInfiniteInterval.micros)

export const makeInterval = (months: number, days: number, micros: bigint): Interval => {
  if (Math.abs(months) > maxInt || Math.abs(days) > maxInt || micros >= 2n ** 63n || micros < -(2n ** 63n)) {
    return fail("interval out of range")
  }
  return { months, days, micros: normalise(micros) }
}

/** The order of intervals: a month counts 30 days, a day 24 hours. */
export const intervalMicros = (v: Interval): bigint =>
  BigInt(v.micros) + (BigInt(v.days) + BigInt(v.months) * 30n) * 86400000000n

export const compareIntervals = (a: Interval, b: Interval): number => {
  const left = intervalMicros(a)
  const right = intervalMicros(b)
  return left < right ? -1 : left > right ? 1 : 0
}

const isoPattern =
  /^P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)W)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d{1,6}))?S)?)?$/

const units: Readonly<Record<string, readonly ["months" | "days" | "micros", number]>> = {
  microsecond: ["micros", 1],
  microseconds: ["micros", 1],
  us: ["micros", 1],
  usec: ["micros", 1],
  millisecond: ["micros", 1000],
  milliseconds: ["micros", 1000],
  ms: ["micros", 1000],
  second: ["micros", 1000000],
  seconds: ["micros", 1000000],
  sec: ["micros", 1000000],
  secs: ["micros", 1000000],
  s: ["micros", 1000000],
  minute: ["micros", 60000000],
  minutes: ["micros", 60000000],
  min: ["micros", 60000000],
  mins: ["micros", 60000000],
  m: ["micros", 60000000],
  hour: ["micros", 3600000000],
  hours: ["micros", 3600000000],
  hr: ["micros", 3600000000],
  hrs: ["micros", 3600000000],
  h: ["micros", 3600000000],
  day: ["days", 1],
  days: ["days", 1],
  d: ["days", 1],
  week: ["days", 7],
  weeks: ["days", 7],
  w: ["days", 7],
  month: ["months", 1],
  months: ["months", 1],
  mon: ["months", 1],
  mons: ["months", 1],
  year: ["months", 12],
  years: ["months", 12],
  yr: ["months", 12],
  yrs: ["months", 12],
  y: ["months", 12],
  decade: ["months", 120],
  decades: ["months", 120],
  century: ["months", 1200],
  centuries: ["months", 1200]
}

/**
 * Reads whole-number forms exactly: ISO 8601 with designators, `1 year 2 days 03:04:05.6`, `… ago`. Fractions
 * of units other than seconds, `1-2` and the like have rules of their own and are left to Postgres.
 */
export const parseInterval = (text: string): Interval => {
  const match = isoPattern.exec(text)
  if (match !== null && text.length > 1 && !text.endsWith("T")) {
    const part = (i: number): number => Number(match[i] ?? "0")
    const sign = match[7] === "-" ? -1n : 1n
    const seconds = sign * (BigInt(match[8] ?? "0") * 1000000n + BigInt((match[9] ?? "").padEnd(6, "0")))
    const micros = BigInt(match[5] ?? "0") * 3600000000n + BigInt(match[6] ?? "0") * 60000000n + seconds
    return makeInterval(part(1) * 12 + part(2), part(3) * 7 + part(4), micros)
  }
  return parseVerbose(text)
}

const token =
  /^\s*(?:([+-]?)(\d+):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?(?![\d.:])|([+-]?\d+)(?:\.(\d{1,6}))?\s*([a-z]+)(?![a-z\d]))/

const parseVerbose = (text: string): Interval => {
  let rest = text.trim().toLowerCase()
  if (rest === "infinity" || rest === "+infinity") return infiniteInterval
  if (rest === "-infinity") return minusInfiniteInterval
  if (!/\d|inf/.test(rest)) return invalidSyntax("interval", text)
  const unknown = (): never =>
    undecided(`the form of "${text.slice(0, 40)}" as interval is read by Postgres only`)
  if (rest.startsWith("@")) rest = rest.slice(1)
  let ago = false
  if (rest.endsWith(" ago")) {
    ago = true
    rest = rest.slice(0, -4)
  }
  if (/^[+-]?\d{1,9}$/.test(rest)) rest = `${rest} seconds`
  let months = 0
  let days = 0
  let micros = 0n
  const seen = new Set<string>()
  while (rest.trim() !== "") {
    const match = token.exec(rest)
    if (match === null) return unknown()
    rest = rest.slice(match[0].length)
    if (rest !== "" && !/^[\s+-]/.test(rest)) return unknown()
    if (match[2] !== undefined) {
      const sign = match[1] === "-" ? -1n : 1n
      if (Number(match[3]) > 59 || Number(match[4] ?? "0") > 59 || seen.has("time") || ago) return unknown()
      seen.add("time")
      micros +=
        sign *
        (BigInt(match[2]) * 3600000000n +
          BigInt(match[3] ?? "0") * 60000000n +
          BigInt(match[4] ?? "0") * 1000000n +
          BigInt((match[5] ?? "").padEnd(6, "0")))
      continue
    }
    const unit = Object.hasOwn(units, match[8] ?? "") ? units[match[8] ?? ""] : undefined
    if (unit === undefined || seen.has(match[8] ?? "")) return unknown()
    seen.add(match[8] ?? "")
    const amount = Number(match[6])
    if (match[7] !== undefined) {
      if (unit[0] !== "micros" || unit[1] !== 1000000) return unknown()
      const fraction = BigInt(match[7].padEnd(6, "0"))
      micros += BigInt(amount) * 1000000n + ((match[6] ?? "").startsWith("-") ? -fraction : fraction)
    } else if (unit[0] === "months") months += amount * unit[1]
    else if (unit[0] === "days") days += amount * unit[1]
    else micros += BigInt(amount) * BigInt(unit[1])
  }
  return ago ? makeInterval(-months, -days, -micros) : makeInterval(months, days, micros)
}

/** `IntervalStyle = iso_8601`. */
export const printInterval = (v: Interval): string => {
  if (isInfiniteInterval(v)) return v.months > 0 ? "infinity" : "-infinity"
  const years = Math.trunc(v.months / 12)
  const months = v.months % 12
  let text = "P"
  if (years !== 0) text += `${years}Y`
  if (months !== 0) text += `${months}M`
  if (v.days !== 0) text += `${v.days}D`
  const micros = BigInt(v.micros)
  if (micros === 0n) return text === "P" ? "PT0S" : text
  text += "T"
  const size = micros < 0n ? -micros : micros
  const sign = micros < 0n ? "-" : ""
  const hours = size / 3600000000n
  const minutes = (size / 60000000n) % 60n
  const seconds = (size / 1000000n) % 60n
  const fraction = size % 1000000n
  if (hours !== 0n) text += `${sign}${hours}H`
  if (minutes !== 0n) text += `${sign}${minutes}M`
  if (seconds !== 0n || fraction !== 0n) {
    const tail = fraction === 0n ? "" : `.${String(fraction).padStart(6, "0").replace(/0+$/, "")}`
    text += `${sign}${seconds}${tail}S`
  }
  return text
}

export const negateInterval = (v: Interval): Interval => {
  if (isInfiniteInterval(v)) return v.months > 0 ? minusInfiniteInterval : infiniteInterval
  return makeInterval(0 - v.months, 0 - v.days, -BigInt(v.micros))
}

const finiteOnly = (v: Interval): void => {
  if (isInfiniteInterval(v)) undecided("arithmetic on infinite intervals")
}

export const addIntervals = (a: Interval, b: Interval): Interval => {
  finiteOnly(a)
  finiteOnly(b)
  return makeInterval(a.months + b.months, a.days + b.days, BigInt(a.micros) + BigInt(b.micros))
}

const round6 = (value: number): number => roundEven(value * 1000000) / 1000000

export const roundEven = (value: number): number => {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1
}

const asInt32 = (value: number): number => {
  if (Number.isNaN(value) || value < -maxInt - 1 || value > maxInt) return fail("interval out of range")
  return value
}

/** `interval * double precision`: whole months and days stay, their fractions spill downwards. */
export const multiplyInterval = (v: Interval, factor: number): Interval => scaled(v, (x) => x * factor)

export const divideInterval = (v: Interval, divisor: number): Interval => {
  if (divisor === 0) return fail("division by zero")
  return scaled(v, (x) => x / divisor)
}

const scaled = (v: Interval, scale: (x: number) => number): Interval => {
  finiteOnly(v)
  if (!Number.isFinite(scale(1)))
    return undecided("arithmetic on intervals with infinite or not-a-number factors")
  const exactMonths = scale(v.months)
  const months = Math.trunc(asInt32(exactMonths))
  const exactDays = scale(v.days)
  let days = Math.trunc(asInt32(exactDays))
  const monthRemainderDays = round6((exactMonths - months) * 30)
  let secondRemainder = round6(
    (exactDays - days + monthRemainderDays - Math.trunc(monthRemainderDays)) * 86400
  )
  if (Math.abs(secondRemainder) >= 86400) {
    days += Math.trunc(secondRemainder / 86400)
    secondRemainder -= Math.trunc(secondRemainder / 86400) * 86400
  }
  days += Math.trunc(monthRemainderDays)
  const micros = roundEven(scale(Number(v.micros)) + secondRemainder * 1000000)
  if (Math.abs(micros) >= 2 ** 63) return fail("interval out of range")
  return makeInterval(months, asInt32(days), BigInt(micros))
}

const day = 86400000000n

/** 24-hour periods become days. */
export const justifyHours = (v: Interval): Interval => {
  finiteOnly(v)
  const total = BigInt(v.micros)
  let days = BigInt(v.days) + total / day
  let micros = total % day
  if (days > 0n && micros < 0n) {
    micros += day
    days -= 1n
  } else if (days < 0n && micros > 0n) {
    micros -= day
    days += 1n
  }
  return makeInterval(v.months, Number(days), micros)
}

/** 30-day periods become months. */
export const justifyDays = (v: Interval): Interval => {
  finiteOnly(v)
  let months = v.months + Math.trunc(v.days / 30)
  let days = v.days % 30
  if (months > 0 && days < 0) {
    days += 30
    months--
  } else if (months < 0 && days > 0) {
    days -= 30
    months++
  }
  return makeInterval(months, days, BigInt(v.micros))
}

/** Both, with all signs made equal. */
export const justifyInterval = (v: Interval): Interval => {
  finiteOnly(v)
  let micros = BigInt(v.micros)
  let days = BigInt(v.days)
  let months = BigInt(v.months)
  if ((days > 0n && micros > 0n) || (days < 0n && micros < 0n)) {
    months += days / 30n
    days %= 30n
  }
  days += micros / day
  micros %= day
  months += days / 30n
  days %= 30n
  if (months > 0n && (days < 0n || (days === 0n && micros < 0n))) {
    days += 30n
    months -= 1n
  } else if (months < 0n && (days > 0n || (days === 0n && micros > 0n))) {
    days -= 30n
    months += 1n
  }
  if (days > 0n && micros < 0n) {
    micros += day
    days -= 1n
  } else if (days < 0n && micros > 0n) {
    micros -= day
    days += 1n
  }
  return makeInterval(Number(months), Number(days), micros)
}
