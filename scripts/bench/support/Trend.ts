import { median } from "./Statistics.ts"

/** How a quantity went while something ran for long. */
export interface Trend {
  /** Median of the part that counts. */
  readonly level: number
  /** Change per hour: the median of the slopes between all pairs of values, so that single peaks count for nothing. */
  readonly perHour: number
  /** Change over the part that counts, as a share of `level`. */
  readonly growth: number
}

/** The first third is for caches and buffers to fill. `values` were taken `everySeconds` apart. */
export const trendOf = (values: ReadonlyArray<number>, everySeconds: number): Trend => {
  const steady = values.slice(Math.floor(values.length / 3))
  const level = median(steady)
  const slopes: Array<number> = []
  for (let i = 0; i < steady.length; i++) {
    for (let j = i + 1; j < steady.length; j++) {
      slopes.push(((steady[j] ?? 0) - (steady[i] ?? 0)) / (j - i))
    }
  }
  const slope = slopes.length === 0 ? 0 : median(slopes)
  return {
    level,
    perHour: (slope * 3600) / everySeconds,
    growth: level === 0 ? 0 : (slope * Math.max(0, steady.length - 1)) / level
  }
}
