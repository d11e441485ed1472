/** What is counted since the start, at one moment. */
export interface Totals {
  readonly atMillis: number
  readonly transactions: number
  readonly changes: number
  /** Sum over all transactions of what each took from its commit until it was here. */
  readonly receiveLagMillis: number
  readonly requests: number
  readonly cpuSeconds: number
}

/** What has happened a second, between two moments. */
export interface Rates {
  /** The time that they are of. */
  readonly seconds: number
  readonly transactionsPerSecond: number
  readonly changesPerSecond: number
  readonly requestsPerSecond: number
  /** Mean time from the commit of a transaction until it was here; null: there was none. */
  readonly receiveLagMillis: number | null
  /** Processor cores in use, by all processes of the instance. */
  readonly cpuCores: number
}

/** A moment as long ago as this says little about the present. */
const longestMillis = 60_000
/** What is counted in less than that says little, too. */
const shortestMillis = 200

const rounded = (value: number): number => Math.round(value * 100) / 100

/** Null where the two moments are the same, too far apart, or of different lives of something that counts. */
export const ratesBetween = (before: Totals | undefined, now: Totals): Rates | null => {
  if (before === undefined) return null
  const millis = now.atMillis - before.atMillis
  if (millis < shortestMillis || millis > longestMillis) return null
  const seconds = millis / 1000
  // A worker that has begun anew counts from zero again.
  const since = (key: keyof Totals): number => Math.max(0, now[key] - before[key])
  const transactions = since("transactions")
  return {
    seconds: rounded(seconds),
    transactionsPerSecond: rounded(transactions / seconds),
    changesPerSecond: rounded(since("changes") / seconds),
    requestsPerSecond: rounded(since("requests") / seconds),
    receiveLagMillis: transactions === 0 ? null : rounded(since("receiveLagMillis") / transactions),
    cpuCores: rounded(since("cpuSeconds") / seconds)
  }
}

/** What has happened a second between one look and the next, whoever looks. */
export class RateMeter {
  private last: Totals | undefined
  private rates: Rates | null = null

  /** Of this look and the one before; of those before where two come at once. */
  look(now: Totals): Rates | null {
    if (this.last !== undefined && now.atMillis - this.last.atMillis < shortestMillis) return this.rates
    this.rates = ratesBetween(this.last, now)
    this.last = now
    return this.rates
  }
}
