import { civilOf, daysOf } from "../values/Calendar.ts"
import { fail, undecided } from "../values/Failure.ts"
import { type Integer } from "../values/Integer.ts"
import { isInfinite, joinTimestamp, shift, splitTimestamp } from "../values/Timestamps.ts"
import { zoneInUse } from "./Zones.ts"
import { firstSecond, lastSecond, offsetIn, type ZoneTable } from "./ZoneTable.ts"

/** Offsets of a zone; of those that never change, none. */
type Zone = ZoneTable | "utc"

const fixed = /^(?:utc|gmt|z|zulu|etc\/utc|universal)$/i
const iana = /^[A-Za-z]+\/[A-Za-z_/+-]+$/

/**
 * By name. What zones there are, and where their rules come from, says `useZones`. What editions of the data do not agree
 * about, and whatever Postgres does not take from there, is left to Postgres.
 */
const zoneNamed = (name: string): Zone => {
  if (name.length > 100) return undecided("a very long name of a time zone")
  if (fixed.test(name)) return "utc"
  if (name.trim() === "") return fail(`time zone "${name}" not recognized`)
  const zone = iana.test(name) && !/^etc\//i.test(name) ? zoneInUse(name.toLowerCase()) : undefined
  return zone ?? undecided(`time zone "${name.slice(0, 60)}" is known to Postgres only`)
}

const epoch = 946684800

const unixSecondsOf = (value: Integer): number => {
  const seconds = Math.floor(Number(value) / 1000000) + epoch
  if (seconds < firstSecond || seconds > lastSecond)
    return undecided("time zone rules before 1970 or after 2037")
  return seconds
}

/** Local time in a zone of a moment: `timestamptz AT TIME ZONE`. */
export const toLocal = (zoneName: string, value: Integer): Integer => {
  const zone = zoneNamed(zoneName)
  if (isInfinite(value) || zone === "utc") return value
  return shift(value, offsetIn(zone, unixSecondsOf(value)))
}

/**
 * The moment of a local time: `timestamp AT TIME ZONE`. In a gap Postgres takes the offset from before it, in an
 * overlap the standard-time reading, which is the later moment unless standard time is the daylight one.
 */
export const fromLocal = (zoneName: string, value: Integer): Integer => {
  const zone = zoneNamed(zoneName)
  if (isInfinite(value) || zone === "utc") return value
  const local = unixSecondsOf(value)
  if (local < firstSecond + 172800 || local > lastSecond - 172800)
    return undecided("time zone rules at the edge of the data")
  const before = offsetIn(zone, local - 86400)
  const after = offsetIn(zone, local + 86400)
  if (before === after && offsetIn(zone, local - before) === before) return shift(value, -before)
  const asBefore = offsetIn(zone, local - before) === before
  const asAfter = offsetIn(zone, local - after) === after
  if (asBefore !== asAfter) return shift(value, asBefore ? -before : -after)
  // Gap: the offset before it. Overlap: standard time; Postgres prefers the reading after the transition
  // unless only the one before it is standard time.
  if (!asBefore) return shift(value, -before)
  if (before > after) return shift(value, -after)
  return undecided("a local time that occurs twice in a zone with negative daylight saving")
}

/** Adds months to a timestamp, keeping the time of day and cutting the day to the length of the month. */
export const addMonths = (value: Integer, months: number): Integer => {
  const { days, micros } = splitTimestamp(value)
  const civil = civilOf(days)
  const total = civil.year * 12 + civil.month - 1 + months
  const year = Math.floor(total / 12)
  const month = total - year * 12 + 1
  if (year < -4713 || year > 294276) return fail("timestamp out of range")
  const length =
    daysOf(month === 12 ? year + 1 : year, month === 12 ? 1 : month + 1, 1) - daysOf(year, month, 1)
  return joinTimestamp(daysOf(year, month, Math.min(civil.day, length)), micros)
}
