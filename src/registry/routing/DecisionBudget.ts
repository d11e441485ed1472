import { caughtUpMillis, lagWindowMillis, leastBudgetMillis, quickMillis } from "../RegistryTimings.ts"

/** Of the time in which the stream does not wait for Postgres, so much is added to what it may wait. */
const share = 0.5
/** Of so many statements of known work in a transaction the middle one counts; more would only take time themselves. */
const mostSamples = 3
/** Where Postgres is slow at everything, conditions may take so many times longer at most. */
const mostStretch = 5

/**
 * How long the stream may wait for conditions that only Postgres decides: one transaction no longer than the capacity
 * and half of the time that its changes take anyway, and all of them together no more than a third of the time once that
 * makes the stream fall behind. A stream that keeps up may wait whenever it has to.
 *
 * Conditions are slow by comparison: when a statement of known work is slow as well, it is Postgres that is (a checkpoint,
 * a busy machine), and no shape is to blame for that. The transaction may then wait as many times longer.
 */
export class DecisionBudget {
  private readonly capacityMillis: number
  private readonly nowMillis: () => number
  private level: number
  /** The capacity of the transaction at hand. */
  private ceilingMillis: number
  /** What statements of known work have taken during the transaction at hand, the quickest first. */
  private samples: Array<number> = []
  private lastMillis: number
  private windowEndsMillis = 0
  private shortestLag = Infinity
  private shortestLagBefore = Infinity

  constructor(capacityMillis: number, nowMillis: () => number) {
    this.capacityMillis = capacityMillis
    this.nowMillis = nowMillis
    this.level = capacityMillis
    this.ceilingMillis = capacityMillis
    this.lastMillis = nowMillis()
  }

  /** A transaction needs to wait for the first time; it was committed so long ago, by two clocks that may differ. */
  begin(lagMillis: number): void {
    const now = this.nowMillis()
    this.ceilingMillis = this.capacityMillis
    this.samples = []
    if (now >= this.windowEndsMillis) {
      this.shortestLagBefore = this.shortestLag
      this.shortestLag = Infinity
      this.windowEndsMillis = now + lagWindowMillis
    }
    this.shortestLag = Math.min(this.shortestLag, lagMillis)
    const behind = lagMillis - Math.min(this.shortestLag, this.shortestLagBefore)
    if (behind <= caughtUpMillis) this.level = this.capacityMillis
    this.refill(now)
    this.level = Math.max(this.level, Math.min(leastBudgetMillis, this.capacityMillis))
  }

  private refill(now: number): void {
    this.level = Math.min(this.ceilingMillis, this.level + share * (now - this.lastMillis))
    this.lastMillis = now
  }

  /** It is known how slow Postgres is at everything, as far as the transaction at hand goes. */
  get isSure(): boolean {
    return this.samples.length >= mostSamples
  }

  /**
   * A statement of known work took so long, when one about conditions was over its time. What most of them take counts: a
   * single one that was slow tells nothing, and the time that it gave is taken back.
   */
  stretch(knownWorkMillis: number): void {
    this.samples = [...this.samples, knownWorkMillis].toSorted((a, b) => a - b)
    const usual = this.samples[(this.samples.length - 1) >> 1] ?? 0
    const ceiling = this.capacityMillis * Math.min(mostStretch, Math.max(1, usual / quickMillis))
    this.level += ceiling - this.ceilingMillis
    this.ceilingMillis = ceiling
  }

  /** For so long the transaction at hand may wait from now on. */
  leftMillis(): number {
    this.refill(this.nowMillis())
    return this.level
  }

  /** The stream has waited since `sinceMillis`. */
  spend(sinceMillis: number): void {
    const now = this.nowMillis()
    this.level -= now - sinceMillis
    this.lastMillis = now
  }
}
