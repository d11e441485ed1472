import { Distribution, secondsBounds } from "./Distribution.ts"

/** Commits of which it is known when they happened: at 10,000 a second the last tenth of a second. */
const rememberedCommits = 1024

/** Is told of those who are answered, where transactions are traced. */
interface ServingObserver {
  /** Somebody who waits looks for what has changed; what is delivered to them follows at once. */
  readonly woken: () => void
  readonly delivered: (commitLsn: bigint) => void
}

/**
 * How long it takes from the commit of a transaction, by the clock of Postgres, until its changes are handed to the connections of
 * those who wait for them. Counted for each answer, in the process that receives the stream: the journal does not say when a
 * transaction was committed, so HTTP workers do not know it, and tell when they have delivered. The difference between the two clocks is taken out as far as it is known; what would be
 * below zero because of the rest counts as zero, and is counted beside.
 */
export class ServingLag {
  readonly seconds = new Distribution(secondsBounds)
  /** Answers that would have come before the commit. */
  clamped = 0
  /** By how much the clock of Postgres is ahead of this machine's, as the heartbeat estimates it. */
  clockAheadMillis = 0
  observer: ServingObserver | undefined
  /** Is told of what was delivered here, in a process that knows of no commits. */
  onDelivered: ((lsn: number, nowMillis: number) => void) | undefined
  /** Positions in the WAL as numbers, which are exact up to eight petabytes; rising. */
  private readonly lsns = new Float64Array(rememberedCommits)
  private readonly committedMillis = new Float64Array(rememberedCommits)
  private count = 0
  private lastFound = 0

  private at(i: number): number {
    return this.lsns[i % rememberedCommits] as number
  }

  /** Before anybody is woken for it. `committedMillis`: since 1970. */
  committed(commitLsn: bigint, committedMillis: number): void {
    const lsn = Number(commitLsn)
    // Another history of the database.
    if (this.count > 0 && lsn <= this.at(this.count - 1)) this.count = 0
    const i = this.count++ % rememberedCommits
    this.lsns[i] = lsn
    this.committedMillis[i] = committedMillis
  }

  /** Somebody who waited was given everything up to this commit. Nothing where it is not known any more. */
  delivered(commitLsn: bigint, nowMillis: number): void {
    this.observer?.delivered(commitLsn)
    const lsn = Number(commitLsn)
    if (this.onDelivered === undefined) this.observe(lsn, nowMillis, 1)
    else this.onDelivered(lsn, nowMillis)
  }

  /** The same in another process of this machine, to so many who waited there. */
  deliveredElsewhere(lsn: number, atMillis: number, count: number): void {
    this.observe(lsn, atMillis, count)
  }

  private observe(lsn: number, atMillis: number, count: number): void {
    const i = this.find(lsn)
    if (i < 0) return
    const committedMillis = (this.committedMillis[i % rememberedCommits] as number) - this.clockAheadMillis
    const seconds = (atMillis - committedMillis) / 1000
    if (seconds < 0) this.clamped += count
    this.seconds.observe(Math.max(0, seconds), count)
  }

  private find(lsn: number): number {
    // All readers of a shape are given the same one.
    if (this.lastFound < this.count && this.at(this.lastFound) === lsn) return this.lastFound
    let from = Math.max(0, this.count - rememberedCommits)
    let to = this.count
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.at(middle) < lsn) from = middle + 1
      else to = middle
    }
    if (from === this.count || this.at(from) !== lsn) return -1
    this.lastFound = from
    return from
  }
}
