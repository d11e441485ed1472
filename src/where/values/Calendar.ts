/**
 * Proleptic Gregorian calendar arithmetic on days since 2000-01-01, the epoch of Postgres' own representation.
 */
interface Civil {
  /** Astronomical year: 0 is 1 BC. */
  readonly year: number
  readonly month: number
  readonly day: number
}

export const daysOf = (year: number, month: number, day: number): number => {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146097 + dayOfEra - 730425
}

export const civilOf = (days: number): Civil => {
  const z = days + 730425
  const era = Math.floor(z / 146097)
  const dayOfEra = z - era * 146097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) /
      365
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shifted = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1
  const month = shifted < 10 ? shifted + 3 : shifted - 9
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day }
}

const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0

const lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

export const daysInMonth = (year: number, month: number): number =>
  month === 2 && isLeap(year) ? 29 : (lengths[month - 1] ?? 0)

/** 0 is Sunday. 2000-01-01 was a Saturday. */
export const weekday = (days: number): number => (((days + 6) % 7) + 7) % 7

/** ISO 8601 week number and the year it belongs to. */
export const isoWeek = (days: number): { readonly week: number; readonly year: number } => {
  const thursday = days - ((weekday(days) + 6) % 7) + 3
  const { year } = civilOf(thursday)
  return { week: Math.floor((thursday - daysOf(year, 1, 1)) / 7) + 1, year }
}

/** Days since 2000-01-01 of the Julian day 0, negated: adding it gives the Julian day number. */
export const julianOffset = 2451545
