/** So many answers are compared; at one every five seconds those of a minute. */
const compared = 12

interface Sample {
  readonly aheadMillis: number
  /** It is off by no more than this. */
  readonly errorMillis: number
}

/**
 * By how much the clock of the database is ahead of this machine's. Of an answer that has the time of the database in it, nothing is
 * known but that it was made between the question and its arrival: the quickest of the last ones says most.
 */
export class ClockDifference {
  private readonly samples: Array<Sample> = []

  /** All since 1970: when Postgres was asked, what it said the time was, when its answer was there. */
  answered(askedMillis: number, databaseMillis: number, heardMillis: number): void {
    const errorMillis = (heardMillis - askedMillis) / 2
    // One of the clocks was set back meanwhile.
    if (errorMillis < 0) return
    this.samples.push({ aheadMillis: databaseMillis - (askedMillis + heardMillis) / 2, errorMillis })
    if (this.samples.length > compared) this.samples.shift()
  }

  /**
   * Undefined while nothing is known. A later answer that contradicts an earlier one, within what both can be off by, means that a
   * clock was set: what was before does not count.
   */
  get aheadMillis(): number | undefined {
    let best: Sample | undefined
    for (const sample of this.samples.toReversed()) {
      if (best === undefined) best = sample
      else if (
        Math.abs(sample.aheadMillis - best.aheadMillis) >
        sample.errorMillis + best.errorMillis + slackMillis
      )
        break
      else if (sample.errorMillis < best.errorMillis) best = sample
    }
    return best?.aheadMillis
  }
}

/** Clocks drift, and are slewed. */
const slackMillis = 2
