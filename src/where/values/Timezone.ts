import { BoundedMap } from "../../shared/BoundedMap.ts"
import { civilOf, daysOf } from "./Calendar.ts"
import { fail, undecided } from "./Failure.ts"
import { type Integer } from "./Integer.ts"
import { isInfinite, joinTimestamp, shift, splitTimestamp } from "./Timestamps.ts"
import { spend } from "./Work.ts"

/**
 * Time zones by IANA name, from the data that ships with the runtime. Postgres may carry another edition of
 * that data, so only what no edition disputes is decided here: whole-minute offsets from 1970 to 2037.
 */
interface Zone {
  readonly offsetAt: (unixSeconds: number) => number
}

const zones = new BoundedMap<string, Zone>(200)
const first = 0
const last = 2145916800

const fixed = /^(?:utc|gmt|z|zulu|etc\/utc|universal)$/i

const iana = (name: string): Zone => {
  spend(20_000)
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric"
    })
  } catch {
    return undecided(`time zone "${name.slice(0, 60)}" is known to Postgres only`)
  }
  const exact = (unixSeconds: number): number => {
    spend(1000)
    let year = 0
    let month = 0
    let day = 0
    let seconds = 0
    for (const { type, value } of format.formatToParts(unixSeconds * 1000)) {
      if (type === "year") year = Number(value)
      else if (type === "month") month = Number(value)
      else if (type === "day") day = Number(value)
      else if (type === "hour") seconds += Number(value) * 3600
      else if (type === "minute") seconds += Number(value) * 60
      else if (type === "second") seconds += Number(value)
    }
    return (daysOf(year, month, day) + 10957) * 86400 + seconds - unixSeconds
  }
  // Offsets change at most a few times a year: they are remembered by quarter hour. Most changes stand between two of
  // them; within the others (St. John's changed a minute after midnight) every second is looked at by itself.
  const known = new BoundedMap<number, number>(20_000)
  const atStart = (slot: number): number => {
    let offset = known.get(slot)
    if (offset === undefined) {
      offset = exact(slot * 900)
      known.set(slot, offset)
    }
    return offset
  }
  return {
    offsetAt: (unixSeconds) => {
      const slot = Math.floor(unixSeconds / 900)
      const offset = atStart(slot)
      return slot * 900 === unixSeconds || atStart(slot + 1) === offset ? offset : exact(unixSeconds)
    }
  }
}

const zoneNamed = (name: string): Zone => {
  if (name.length > 100) return undecided("a very long name of a time zone")
  const key = name.toLowerCase()
  const known = zones.get(key)
  if (known !== undefined) return known
  let zone: Zone
  if (fixed.test(name)) zone = { offsetAt: () => 0 }
  else if (/^[A-Za-z]+\/[A-Za-z_/+-]+$/.test(name) && !/^etc\//i.test(name)) zone = iana(name)
  else if (name.trim() === "") return fail(`time zone "${name}" not recognized`)
  else return undecided(`time zone "${name.slice(0, 60)}" is known to Postgres only`)
  zones.set(key, zone)
  return zone
}

const epoch = 946684800

const unixSecondsOf = (value: Integer): number => {
  const seconds = Math.floor(Number(value) / 1000000) + epoch
  if (seconds < first || seconds > last) return undecided("time zone rules before 1970 or after 2037")
  return seconds
}

/** Local time in a zone of a moment: `timestamptz AT TIME ZONE`. */
export const toLocal = (zoneName: string, value: Integer): Integer => {
  if (isInfinite(value)) {
    zoneNamed(zoneName)
    return value
  }
  const zone = zoneNamed(zoneName)
  if (fixed.test(zoneName)) return value
  return shift(value, zone.offsetAt(unixSecondsOf(value)))
}

/**
 * The moment of a local time: `timestamp AT TIME ZONE`. In a gap Postgres takes the offset from before it, in an
 * overlap the standard-time reading, which is the later moment unless standard time is the daylight one.
 */
export const fromLocal = (zoneName: string, value: Integer): Integer => {
  const zone = zoneNamed(zoneName)
  if (isInfinite(value) || fixed.test(zoneName)) return value
  const local = unixSecondsOf(value)
  if (local < first + 172800 || local > last - 172800)
    return undecided("time zone rules at the edge of the data")
  const before = zone.offsetAt(local - 86400)
  const after = zone.offsetAt(local + 86400)
  if (before === after && zone.offsetAt(local - before) === before) return shift(value, -before)
  const asBefore = zone.offsetAt(local - before) === before
  const asAfter = zone.offsetAt(local - after) === after
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
