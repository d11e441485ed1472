import { aboveLimit, type Limits } from "../../config/Limits.ts"
import { bytesOf, type Tuple } from "../../postgres/Tuple.ts"
import { allow, evaluationTime, stepsLeft, type TimeLimit } from "../values/Work.ts"
import { systemTimers } from "../../shared/Timers.ts"

/** Evaluations that take no more are ordinary: nobody keeps an account of them. */
const lightSteps = 2000
/** Steps that a processor takes which has nothing else to do, by and large. */
const stepsPerMilli = 100_000
/** Steps of costly conditions that are always allowed: a tenth of a second in each second. */
const regainedPerMilli = stepsPerMilli / 10
/** On a slow or busy machine a step counts for as long as it takes, up to so many times of what it should. */
const mostTimes = 10
/** Processor time that all conditions together may take for one row; their steps should take less. */
const mostRowMillis = 25
/** Steps of one row between two looks at the time. */
const stepsPerLook = 65_536

/**
 * The account of what costly conditions take from the stream, of all tables together: a bucket that fills with their work
 * and empties with time. When it overflows the costliest shapes have to go. Time is asked for by costly work only.
 */
export class Burst {
  private readonly limits: Limits
  readonly now: () => number
  private level = 0
  private at = 0
  private readonly byShape = new Map<number, number>()

  constructor(limits: Limits, now: () => number = systemTimers.nowMillis) {
    this.limits = limits
    this.now = now
  }

  /** Notes work of a shape; returns the shapes that have to go now, if any. */
  note(shapeId: number, steps: number, now: number): ReadonlyArray<number> {
    this.level = Math.max(0, this.level - (now - this.at) * regainedPerMilli)
    this.at = now
    if (this.level === 0) this.byShape.clear()
    this.level += steps
    this.byShape.set(shapeId, (this.byShape.get(shapeId) ?? 0) + steps)
    return this.level <= this.limits.burstSteps ? none : this.takeCostliest()
  }

  get message(): string {
    return aboveLimit("burstSteps", this.limits)
  }

  /** Those that make up half of the work, the costliest first. */
  private takeCostliest(): ReadonlyArray<number> {
    const shapes = [...this.byShape].toSorted((a, b) => b[1] - a[1])
    const half = shapes.reduce((total, [, steps]) => total + steps, 0) / 2
    const taken: Array<number> = []
    let gone = 0
    for (const [id, steps] of shapes) {
      if (gone >= half) break
      gone += steps
      taken.push(id)
      this.byShape.delete(id)
    }
    this.level = Math.max(0, this.level - gone)
    return taken
  }
}

const none: ReadonlyArray<number> = []

/** What the conditions of one table may cost, and have cost, for the row at hand. */
export class RowCosts {
  private readonly limits: Limits
  private readonly burst: Burst
  /** What the next evaluation is allowed. The evaluator is set to it, between evaluations. */
  private budget = 0
  private costly = 0
  private row: Tuple | undefined
  private readonly bytesOfRow = () => bytesOf(this.row)
  /** When the evaluation at hand began, as far as anybody looked: after one that was costly. */
  private mark: number | undefined
  /** Processor time when the row was looked at first, and the steps at which it is looked at next. */
  private began: number | undefined
  private nextLook = stepsPerLook
  private readonly time: TimeLimit
  /** All that the row has taken. */
  steps = 0

  constructor(limits: Limits, burst: Burst, time: TimeLimit = evaluationTime) {
    this.limits = limits
    this.burst = burst
    this.time = time
  }

  begin(row: Tuple): void {
    this.began = undefined
    this.nextLook = stepsPerLook
    this.mark = this.costly > 0 ? this.burst.now() : undefined
    this.steps = 0
    this.costly = 0
    this.row = row
    this.allowNext()
  }

  end(): void {
    allow(Infinity, Infinity)
  }

  /** The evaluation that is over was not free. */
  get owes(): boolean {
    return stepsLeft() !== this.budget
  }

  /** Settles what an evaluation has cost; returns the shapes that have to go, if any. */
  settle(shapeId: number): ReadonlyArray<number> {
    const spent = this.budget - stepsLeft()
    this.steps += spent
    if (this.steps >= this.nextLook) this.look()
    if (spent <= lightSteps) {
      this.allowNext()
      return none
    }
    this.costly += spent
    this.allowNext()
    const now = this.burst.now()
    const taken = this.mark === undefined ? spent : (now - this.mark) * stepsPerMilli
    this.mark = now
    const beyond = spent - lightSteps - bytesOf(this.row)
    if (beyond <= 0 || shapeId < 0) return none
    return this.burst.note(shapeId, beyond * Math.min(mostTimes, Math.max(1, taken / spent)), now)
  }

  /** A row that has really taken too long has no steps left: what costs more than a comparison is left to Postgres. */
  private look(): void {
    this.nextLook = this.steps + stepsPerLook
    const now = this.time.now()
    this.began ??= now
    if (now - this.began > mostRowMillis) this.steps = Math.max(this.steps, this.limits.rowSteps)
  }

  /** Costly conditions share half of the row's steps; the other half is for those that cost little. */
  private allowNext(): void {
    const { clauseSteps, rowSteps, clauseValueLength } = this.limits
    const left = rowSteps - this.steps
    const forCostly = rowSteps / 2 - this.costly
    const most = forCostly > lightSteps ? Math.min(clauseSteps, forCostly) : lightSteps
    this.budget = Math.max(0, Math.min(most, left))
    allow(this.budget, clauseValueLength, this.bytesOfRow, this.time)
  }
}
