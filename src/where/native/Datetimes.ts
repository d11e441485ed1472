import { civilOf, daysInMonth, daysOf, isoWeek, julianOffset, weekday } from "../values/Calendar.ts"
import { fail, undecided } from "../values/Failure.ts"
import { normalise, type Integer } from "../values/Integer.ts"
import * as iv from "../values/Interval.ts"
import type { Interval } from "../values/Interval.ts"
import { finite, fromInteger, infinity, minusInfinity, type Numeric } from "../values/Numeric.ts"
import {
  checkTimestamp,
  endDate,
  isInfinite,
  joinTimestamp,
  microsPerDay,
  minDate,
  roundMicros,
  splitTimestamp,
  type TimeTz
} from "../values/Timestamps.ts"
import { addMonths, fromLocal, toLocal } from "../zones/Timezone.ts"
import { define, group } from "./Native.ts"

group("date and time")

const inRange = (days: number): number =>
  days >= minDate && days < endDate ? days : fail("date out of range")

/** Months first, then days, then microseconds; in UTC for `timestamptz`. */
const addInterval = (value: Integer, span: Interval): Integer => {
  if (iv.isInfiniteInterval(span)) return undecided("arithmetic on infinite intervals")
  if (isInfinite(value)) return value
  const moved = span.months === 0 ? value : addMonths(value, span.months)
  const micros = BigInt(moved) + BigInt(span.days) * 86400000000n
  return checkTimestamp(checkedStep(micros) + BigInt(span.micros))
}

const checkedStep = (micros: bigint): bigint => BigInt(checkTimestamp(micros))

const fromDate = (days: number): Integer => (isInfinite(days) ? days : joinTimestamp(days, 0))

define("date_pli", (days: number, n: number) => (isInfinite(days) ? days : inRange(days + n)))
define("integer_pl_date(int4,date)", (n: number, days: number) =>
  isInfinite(days) ? days : inRange(days + n)
)
define("date_mii", (days: number, n: number) => (isInfinite(days) ? days : inRange(days - n)))
define("date_mi", (a: number, b: number) =>
  isInfinite(a) || isInfinite(b) ? fail("cannot subtract infinite dates") : a - b
)
define("date_pl_interval", (days: number, span: Interval) => addInterval(fromDate(days), span))
define("interval_pl_date(interval,date)", (span: Interval, days: number) => addInterval(fromDate(days), span))
define("date_mi_interval", (days: number, span: Interval) =>
  addInterval(fromDate(days), iv.negateInterval(span))
)
define("datetime_timestamp", (days: number, micros: number) =>
  isInfinite(days) ? days : joinTimestamp(days, micros)
)
define("timedate_pl(time,date)", (micros: number, days: number) =>
  isInfinite(days) ? days : joinTimestamp(days, micros)
)
define("timestamp_pl_interval timestamptz_pl_interval", addInterval)
define(
  "interval_pl_timestamp(interval,timestamp) interval_pl_timestamptz(interval,timestamptz)",
  (span: Interval, value: Integer) => addInterval(value, span)
)
define("timestamp_mi_interval timestamptz_mi_interval", (value: Integer, span: Interval) =>
  addInterval(value, iv.negateInterval(span))
)
define("timestamp_mi", (a: Integer, b: Integer) => {
  if (isInfinite(a) || isInfinite(b)) return undecided("differences of infinite timestamps")
  const difference = BigInt(a) - BigInt(b)
  if (difference >= 2n ** 63n || difference < -(2n ** 63n)) return fail("interval out of range")
  return iv.justifyHours(iv.makeInterval(0, 0, difference))
})
define("interval_pl", iv.addIntervals)
define("interval_mi", (a: Interval, b: Interval) => iv.addIntervals(a, iv.negateInterval(b)))
define("interval_um", iv.negateInterval)
define("interval_mul", iv.multiplyInterval)
define("mul_d_interval", (factor: number, span: Interval) => iv.multiplyInterval(span, factor))
define("interval_div", iv.divideInterval)
define("interval_justify_hours", iv.justifyHours)
define("interval_justify_days", iv.justifyDays)
define("interval_justify_interval", iv.justifyInterval)

const wrap = (micros: bigint): number => {
  const rest = micros % BigInt(microsPerDay)
  return Number(rest < 0n ? rest + BigInt(microsPerDay) : rest)
}
const finiteSpan = (span: Interval): Interval =>
  iv.isInfiniteInterval(span) ? undecided("arithmetic on infinite intervals") : span
define("time_pl_interval", (time: number, span: Interval) =>
  wrap(BigInt(time) + BigInt(finiteSpan(span).micros))
)
define("interval_pl_time(interval,time)", (span: Interval, time: number) =>
  wrap(BigInt(time) + BigInt(finiteSpan(span).micros))
)
define("time_mi_interval", (time: number, span: Interval) =>
  wrap(BigInt(time) - BigInt(finiteSpan(span).micros))
)
define("time_mi_time", (a: number, b: number) => iv.makeInterval(0, 0, BigInt(a - b)))

group("casts between dates and times")
define("date_timestamp date_timestamptz", fromDate)
define("timestamp_date timestamptz_date", (value: Integer) =>
  isInfinite(value) ? value : splitTimestamp(value).days
)
define("timestamptz_timestamp timestamp_timestamptz", (value: Integer) => value)
define("timestamp_time timestamptz_time", (value: Integer) =>
  isInfinite(value) ? null : splitTimestamp(value).micros
)
define("time_interval", (time: number) => iv.makeInterval(0, 0, BigInt(time)))
define("interval_time", (span: Interval) => wrap(BigInt(finiteSpan(span).micros)))
define("timetz_time", (value: TimeTz) => value.micros)
define("time_timetz", (micros: number): TimeTz => ({ micros, zone: 0 }))
define("timestamp_scale timestamptz_scale", roundMicros)
define("time_scale", (time: number, precision: number) => Number(roundMicros(time, precision)))

group("date and time")

const isWord = (unit: string): boolean => /^[A-Za-z]+$/.test(unit)

/** Spellings of units, as Postgres accepts them. */
const unitNames: Readonly<Record<string, string>> = {
  microsecond: "microseconds",
  microseconds: "microseconds",
  us: "microseconds",
  usec: "microseconds",
  millisecond: "milliseconds",
  milliseconds: "milliseconds",
  ms: "milliseconds",
  msec: "milliseconds",
  second: "second",
  seconds: "second",
  sec: "second",
  secs: "second",
  s: "second",
  minute: "minute",
  minutes: "minute",
  min: "minute",
  mins: "minute",
  m: "minute",
  hour: "hour",
  hours: "hour",
  hr: "hour",
  hrs: "hour",
  h: "hour",
  day: "day",
  days: "day",
  d: "day",
  week: "week",
  weeks: "week",
  w: "week",
  month: "month",
  months: "month",
  mon: "month",
  mons: "month",
  quarter: "quarter",
  year: "year",
  years: "year",
  yr: "year",
  yrs: "year",
  y: "year",
  decade: "decade",
  decades: "decade",
  century: "century",
  centuries: "century",
  millennium: "millennium",
  dow: "dow",
  doy: "doy",
  isodow: "isodow",
  isoyear: "isoyear",
  epoch: "epoch"
}

const unitOf = (unit: string): string => {
  const key = unit.toLowerCase()
  const name = Object.hasOwn(unitNames, key) ? unitNames[key] : undefined
  if (name !== undefined) return name
  return isWord(unit) && !/^(?:timezone|julian|mil|mill|c|dec|decs|qtr|tz|bc|ad|j|jd)/i.test(unit)
    ? fail(`unit "${unit}" not recognized`)
    : undecided(`the unit "${unit}"`)
}

const at = (y: number, m: number): Integer => joinTimestamp(daysOf(y, m, 1), 0)

const truncateTo = (unit: string, value: Integer): Integer => {
  const name = unitOf(unit)
  if (isInfinite(value)) return undecided("truncation of infinite timestamps")
  const { days, micros } = splitTimestamp(value)
  const step = { microseconds: 1, milliseconds: 1000, second: 1000000, minute: 60000000, hour: 3600000000 }[
    name
  ]
  if (step !== undefined) return joinTimestamp(days, Math.floor(micros / step) * step)
  if (name === "day") return joinTimestamp(days, 0)
  if (name === "week") return joinTimestamp(days - ((weekday(days) + 6) % 7), 0)
  const { year, month } = civilOf(days)
  if (name === "month") return at(year, month)
  if (name === "quarter") return at(year, month - ((month - 1) % 3))
  if (name === "year") return at(year, 1)
  if (year <= 0) return undecided("truncation before year 1")
  if (name === "decade") return at(Math.floor(year / 10) * 10, 1)
  if (name === "century") return at(Math.floor((year + 99) / 100) * 100 - 99, 1)
  if (name === "millennium") return at(Math.floor((year + 999) / 1000) * 1000 - 999, 1)
  return fail(`unit "${unit}" not supported for timestamps`)
}
define("timestamp_trunc timestamptz_trunc", truncateTo)
define("timestamptz_trunc_zone", (unit: string, value: Integer, zone: string) =>
  fromLocal(zone, truncateTo(unit, toLocal(zone, value)))
)

/** A field as an exact decimal, with the scale that `extract` shows. */
const fieldOf = (unit: string, value: Integer): Numeric => {
  const name = unitOf(unit)
  if (isInfinite(value)) {
    if (/^(?:year|decade|century|millennium|isoyear|epoch)$/.test(name))
      return value === Infinity ? infinity : minusInfinity
    return undecided("fields of infinite timestamps")
  }
  const { days, micros } = splitTimestamp(value)
  if (name === "epoch") return finite(BigInt(value) + 946684800000000n, 6)
  return ofClock.test(name) ? clockField(name, micros) : dateField(name, days, unit)
}

const ofClock = /^(?:microseconds|milliseconds|second|minute|hour)$/

/** A field of a time of day; `24:00` has an hour 24. */
const clockField = (name: string, micros: number): Numeric => {
  const ofMinute = micros % 60000000
  if (name === "microseconds") return fromInteger(ofMinute)
  if (name === "milliseconds") return finite(BigInt(ofMinute), 3)
  if (name === "second") return finite(BigInt(ofMinute), 6)
  if (name === "minute") return fromInteger(Math.floor(micros / 60000000) % 60)
  return fromInteger(Math.floor(micros / 3600000000))
}

const dateField = (name: string, days: number, unit: string): Numeric => {
  const { year, month, day } = civilOf(days)
  switch (name) {
    case "day":
      return fromInteger(day)
    case "month":
      return fromInteger(month)
    case "quarter":
      return fromInteger(Math.floor((month - 1) / 3) + 1)
    case "year":
      return fromInteger(year > 0 ? year : year - 1)
    case "week":
      return fromInteger(isoWeek(days).week)
    case "isoyear": {
      const iso = isoWeek(days).year
      return fromInteger(iso > 0 ? iso : iso - 1)
    }
    case "dow":
      return fromInteger(weekday(days))
    case "isodow":
      return fromInteger(weekday(days) === 0 ? 7 : weekday(days))
    case "doy":
      return fromInteger(days - daysOf(year, 1, 1) + 1)
    case "decade":
      return fromInteger(Math.floor(year / 10))
    case "century":
      return fromInteger(year > 0 ? Math.floor((year + 99) / 100) : -Math.floor((99 - (year - 1)) / 100))
    case "millennium":
      return fromInteger(year > 0 ? Math.floor((year + 999) / 1000) : -Math.floor((999 - (year - 1)) / 1000))
    case "julian":
      return fromInteger(days + julianOffset)
    default:
      return fail(`unit "${unit}" not supported`)
  }
}

const asFloat = (value: Numeric): number =>
  value.special !== undefined
    ? Number(value.special)
    : value.scale === 0
      ? Number(value.digits)
      : Number(value.digits) / 10 ** value.scale

define("extract_timestamp extract_timestamptz", fieldOf)
define("timestamp_part timestamptz_part", (unit: string, value: Integer) => asFloat(fieldOf(unit, value)))
const dateOnly = (unit: string, days: number): Numeric => {
  const name = unitOf(unit)
  if (isInfinite(days)) return fieldOf(unit, days)
  if (name === "epoch") return fromInteger((days + 10957) * 86400)
  if (/^(?:microseconds|milliseconds|second|minute|hour)$/.test(name)) {
    return fail(`unit "${unit}" not supported for type date`)
  }
  return dateField(name, days, unit)
}
define("extract_date", dateOnly)
define("date_part(text,date)", (unit: string, days: number) => asFloat(fieldOf(unit, fromDate(days))))
const timeField = (unit: string, micros: number): Numeric => {
  const name = unitOf(unit)
  if (!/^(?:microseconds|milliseconds|second|minute|hour|epoch)$/.test(name))
    return fail(`unit "${unit}" not supported for type time`)
  return name === "epoch" ? finite(BigInt(micros), 6) : clockField(name, micros)
}
define("extract_time", timeField)
define("time_part", (unit: string, micros: number) => asFloat(timeField(unit, micros)))

const intervalField = (unit: string, span: Interval): Numeric => {
  const name = unitOf(unit)
  if (iv.isInfiniteInterval(span)) return undecided("fields of infinite intervals")
  const micros = BigInt(span.micros)
  const ofMinute = micros % 60000000n
  const years = Math.trunc(span.months / 12)
  switch (name) {
    case "microseconds":
      return fromInteger(normalise(ofMinute))
    case "milliseconds":
      return finite(ofMinute, 3)
    case "second":
      return finite(ofMinute, 6)
    case "minute":
      return fromInteger(normalise((micros / 60000000n) % 60n))
    case "hour":
      return fromInteger(normalise(micros / 3600000000n))
    case "day":
      return fromInteger(span.days)
    case "month":
      return fromInteger((span.months % 12) + 0)
    case "year":
      return fromInteger(years + 0)
    case "decade":
      return fromInteger(Math.trunc(years / 10) + 0)
    case "century":
      return fromInteger(Math.trunc(years / 100) + 0)
    case "millennium":
      return fromInteger(Math.trunc(years / 1000) + 0)
    case "epoch": {
      // A year counts 365.25 days here, a remaining month 30.
      const days = BigInt(years) * 36525n + BigInt(span.months % 12) * 3000n + BigInt(span.days) * 100n
      return finite(days * 864n * 1000000n + micros, 6)
    }
    default:
      return name === "quarter" || name === "week"
        ? undecided(`the unit "${unit}" of an interval`)
        : fail(`unit "${unit}" not supported for type interval`)
  }
}
define("extract_interval", intervalField)

define("timestamptz_zone", (zone: string, value: Integer) => toLocal(zone, value))
define("timestamp_zone", (zone: string, value: Integer) => fromLocal(zone, value))
define("date_finite timestamp_finite", (value: Integer) => !isInfinite(value))
define("interval_finite", (span: Interval) => !iv.isInfiniteInterval(span))

const dateFrom = (year: number, month: number, day: number): number => {
  const astronomical = year < 0 ? year + 1 : year
  if (year === 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(astronomical, month)) {
    return fail("date field value out of range")
  }
  return inRange(daysOf(astronomical, month, day))
}
define("make_date", dateFrom)
define(
  "make_interval",
  (
    years: number,
    months: number,
    weeks: number,
    days: number,
    hours: number,
    minutes: number,
    seconds: number
  ) => {
    if (!Number.isFinite(seconds)) return fail("interval out of range")
    const micros = Math.round(seconds * 1000000)
    if (Math.abs(micros) > 2 ** 53) return undecided("very long intervals")
    return iv.makeInterval(
      years * 12 + months,
      weeks * 7 + days,
      BigInt(hours) * 3600000000n + BigInt(minutes) * 60000000n + BigInt(micros)
    )
  }
)
