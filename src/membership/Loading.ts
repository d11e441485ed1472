import { aboveLimit, type Limits } from "../config/Limits.ts"
import type { Tuple } from "../postgres/Tuple.ts"
import type { ClauseColumn } from "../where/index.ts"
import { InnerTarget, type TargetOptions, type Visitor } from "./InnerTarget.ts"
import { byWeight, type Subscription } from "./Subscription.ts"

interface LoadingOptions {
  readonly subscriptions: ReadonlyArray<Subscription>
  readonly options: TargetOptions
  readonly use: () => void
  readonly fail: (
    subscription: Subscription,
    message: string,
    isAtFault?: boolean,
    isAstray?: boolean
  ) => void
  /** By so many values. Returns how many there are in all. */
  readonly grow: (by: number) => number
  readonly sweep: () => void
}

/**
 * Counts the rows of tables for sub-selects of one depth. Rows are added and removed in any order, so that the rows of a query
 * can be rewound while they arrive. Those that fail, or get too large, are among the failures of the state.
 */
export class Loading {
  private readonly options: LoadingOptions
  private readonly depth: number
  private readonly limits: Limits
  private readonly byNumber: ReadonlyMap<number, Subscription>

  constructor(options: LoadingOptions) {
    this.options = options
    this.depth = options.subscriptions[0]?.of.depth ?? 0
    this.byNumber = new Map(options.subscriptions.map((one) => [one.number, one]))
    this.limits = options.options.limits
  }

  /** For rows of one of the tables with these columns. */
  target(tableOid: number, columns: ReadonlyArray<ClauseColumn>): InnerTarget {
    const target = new InnerTarget(tableOid, columns, this.options.options, (number) =>
      this.byNumber.get(number)
    )
    for (const one of this.options.subscriptions) {
      const { name, oid, schema } = one.kind.plan.table
      if (oid === tableOid && this.isCounted(one) && !target.add(one))
        this.options.fail(one, `the definition of table ${schema}.${name} has changed`)
    }
    return target
  }

  add(target: InnerTarget, row: Tuple): void {
    this.options.use()
    target.visit(row, this.depth, this.adding)
    this.bound()
  }

  remove(target: InnerTarget, row: Tuple): void {
    this.options.use()
    target.visit(row, this.depth, this.removing)
    this.bound()
  }

  /** All rows have been told: what they give is known. */
  finish(): void {
    for (const one of this.options.subscriptions) {
      if (!this.isCounted(one)) continue
      if (one.counts.hasNegative)
        this.options.fail(one, "more rows of its table have gone than there were", false, true)
      else one.isLoaded = true
    }
    this.options.sweep()
  }

  private isCounted(subscription: Subscription): boolean {
    return !subscription.isGone && subscription.failure === undefined
  }

  private readonly adding = this.visitor(1)
  private readonly removing = this.visitor(-1)

  private visitor(delta: number): Visitor {
    return {
      gives: (subscription, id) => {
        if (!this.isCounted(subscription)) return
        const more = subscription.put(id, delta)
        if (more !== 0) this.options.grow(more)
      },
      fails: (subscription, message) => {
        if (this.isCounted(subscription)) this.options.fail(subscription, message, true)
      }
    }
  }

  /**
   * Above the limit the largest give way. Between two rows: then what nobody has can be forgotten. Somewhat more of them than need
   * be, so that they are not looked over again at once.
   */
  private bound(): void {
    const most = this.limits.subselectValues
    const size = this.options.grow(0)
    if (size <= most) return
    for (const one of byWeight(this.options.subscriptions.filter((each) => this.isCounted(each)))) {
      if (this.options.grow(0) <= most * 0.95) break
      this.options.fail(one, aboveLimit("subselectValues", this.limits, size))
      this.options.grow(-one.clear())
      this.options.sweep()
    }
  }
}
