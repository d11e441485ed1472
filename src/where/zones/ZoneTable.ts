/** Unix seconds between which the offsets of zones are known: what no edition of the data disputes stops at 2037. */
export const firstSecond = 0
export const lastSecond = 2145916800

/** No zone has ever kept an offset for a shorter time, since 1970: the shortest was a week. */
const stepSeconds = 5 * 86400

/** The offsets of a time zone, in seconds east of UTC: `offsets[i]` from `starts[i]` on. Ascending. */
export interface ZoneTable {
  readonly starts: ReadonlyArray<number>
  readonly offsets: ReadonlyArray<number>
}

/** `GMT`, `GMT+05:30` or `GMT-00:44:30`, after the date. */
const offsetPattern = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/

/**
 * A time zone by its IANA name, from the data that ships with the runtime; `undefined` if it does not have it. Takes some 20 ms:
 * the offset is looked at every few days, and in between until the second at which it changes.
 */
export const zoneTable = (name: string): ZoneTable | undefined => {
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" })
  } catch {
    return undefined
  }
  const offsetAt = (unixSeconds: number): number => {
    const [, sign, hours, minutes, seconds] = offsetPattern.exec(format.format(unixSeconds * 1000)) ?? []
    const total = Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0)
    return sign === "-" ? -total : total
  }
  const starts = [firstSecond]
  const offsets = [offsetAt(firstSecond)]
  const search = (from: number, before: number, to: number, after: number): void => {
    if (before === after) return
    let low = from
    let high = to
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (offsetAt(middle) === before) low = middle
      else high = middle
    }
    const changed = offsetAt(high)
    starts.push(high)
    offsets.push(changed)
    search(high, changed, to, after)
  }
  let before = offsets[0] ?? 0
  for (let from = firstSecond; from < lastSecond; from += stepSeconds) {
    const to = Math.min(from + stepSeconds, lastSecond)
    const after = offsetAt(to)
    search(from, before, to, after)
    before = after
  }
  return { starts, offsets }
}

/** For a second between the first and the last. */
export const offsetIn = ({ offsets, starts }: ZoneTable, unixSeconds: number): number => {
  let low = 0
  let high = starts.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((starts[middle] as number) <= unixSeconds) low = middle
    else high = middle
  }
  return offsets[low] as number
}

/**
 * Where another edition of the data shows if it differs: at every change, in the second before it, and every few days, for
 * changes that are missing here.
 */
export const telltaleSeconds = ({ starts }: ZoneTable): ReadonlyArray<number> => {
  const seconds: Array<number> = []
  for (const start of starts) if (start > firstSecond) seconds.push(start - 1, start)
  for (let second = firstSecond; second <= lastSecond; second += stepSeconds) seconds.push(second)
  return seconds
}
