/** The value below which the share `p` (0 to 1) of the sorted values lies, by the nearest-rank rule. */
const rank = (sorted: ReadonlyArray<number>, p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] ?? Number.NaN

export const ascending = (values: ReadonlyArray<number>): ReadonlyArray<number> =>
  [...values].toSorted((a, b) => a - b)

export const percentile = (values: ReadonlyArray<number>, p: number): number => rank(ascending(values), p)

/** The middle value; of an even number the mean of the two in the middle. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = ascending(values)
  const middle = sorted.length / 2
  if (sorted.length === 0) return Number.NaN
  return Number.isInteger(middle)
    ? ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
    : (sorted[Math.floor(middle)] ?? Number.NaN)
}

export const sum = (values: ReadonlyArray<number>): number =>
  values.reduce((total, value) => total + value, 0)
