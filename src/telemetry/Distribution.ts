import type { Metric } from "effect"

/** Values counted by size, as Prometheus wants them: per bound how many were at most that large. */
export interface DistributionCounts {
  /** Upper bounds, rising. */
  readonly bounds: ReadonlyArray<number>
  /** How many values fell between a bound and the one before; one more than there are bounds, for what is above them all. */
  readonly counts: ReadonlyArray<number>
  readonly sum: number
}

/** The same, of what a metric of Effect has counted. */
export const countsOf = ({ buckets, count, sum }: Metric.HistogramState): DistributionCounts => {
  const rising = [...buckets.map(([, upTo]) => upTo), count]
  return {
    bounds: buckets.map(([bound]) => bound),
    counts: rising.map((upTo, i) => upTo - (rising[i - 1] ?? 0)),
    sum
  }
}

/** Counts values by size. Costs a few comparisons per value. */
export class Distribution implements DistributionCounts {
  readonly bounds: ReadonlyArray<number>
  readonly counts: Array<number>
  sum = 0
  private min = Number.MAX_VALUE
  private max = -Number.MAX_VALUE

  constructor(bounds: ReadonlyArray<number>) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number, times = 1): void {
    const { bounds, counts } = this
    let i = 0
    while (i < bounds.length && value > (bounds[i] as number)) i++
    counts[i] = (counts[i] as number) + times
    this.sum += value * times
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
  }

  /** As metrics of Effect have it. */
  histogram(): Metric.HistogramState {
    const { bounds, counts, max, min, sum } = this
    let count = 0
    const buckets = bounds.map((bound, i): [number, number] => [bound, (count += counts[i] as number)])
    return { buckets, count: count + (counts[bounds.length] as number), min, max, sum }
  }

  /** A copy that does not change any more. */
  snapshot(): DistributionCounts {
    return { bounds: this.bounds, counts: [...this.counts], sum: this.sum }
  }
}

/** From half a millisecond, which a fast answer takes, to a minute, after which nobody waits any more. */
export const millisBounds = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000
] as const

/** The same in seconds. */
export const secondsBounds = millisBounds.map((millis) => millis / 1000)

/** For counts of things: powers of ten, and a step in between. */
export const countBounds = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 100_000, 1_000_000] as const
