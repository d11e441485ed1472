import type { Limits } from "../config/Limits.ts"
import type { Tuple } from "../postgres/Tuple.ts"
import {
  type Burst,
  type ClauseColumn,
  clearMatchList,
  ClauseOutdated,
  FilterIndex,
  type LinkKey,
  makeMatchList,
  makeRunnable,
  readerOf,
  type RowReader,
  type Zones
} from "../where/index.ts"
import { type Gift, GiftReader } from "./GiftReader.ts"
import { constantsIn } from "./Subselect.ts"
import type { KindState, Subscription } from "./Subscription.ts"

/** What a row gives to the sub-selects of a kind, if their conditions take it. */
interface PossibleGift {
  readonly of: KindState
  readonly group: LinkKey
  /** `null` where a selected value is NULL. */
  readonly link: LinkKey
  /** Of the values of `group` and `select`, as the types of the kind's `keys` write them; `null` for NULL. */
  readonly texts: ReadonlyArray<string | null>
}

export interface TargetOptions {
  readonly limits: Limits
  readonly burst: Burst
  readonly zones: Zones | undefined
}

/** Who is told of the rows that a target is asked about. */
export interface Visitor {
  /** The condition of the sub-select is true for the row, which gives it this. */
  readonly gives: (subscription: Subscription, id: number) => void
  /** Nobody can tell what the row gives the sub-select. */
  readonly fails: (subscription: Subscription, message: string) => void
}

interface Reading {
  readonly reader: GiftReader
  users: number
  /** Of which row the rest is. */
  row: number
  id: number
  failure: string | undefined
}

/** The sub-selects of one level: they are looked at together, before or after other levels. */
interface Level {
  readonly index: FilterIndex
  size: number
}

/**
 * The sub-selects over one table, for rows of one relation: the table itself, or one of its partitions. A row is matched once
 * for all of them.
 */
export class InnerTarget {
  readonly tableOid: number
  readonly columns: ReadonlyArray<ClauseColumn>
  /** Those that were not made for rows like these. */
  readonly misfits = new Set<Subscription>()
  private readonly options: TargetOptions
  private readonly numbered: (number: number) => Subscription | undefined
  private readonly reader: RowReader
  private readonly levels: Array<Level | undefined> = []
  private readonly readings = new Map<KindState, Reading>()
  private readonly matches = makeMatchList()
  private row = 0

  /** `numbered`: those that are added, by their number. */
  constructor(
    tableOid: number,
    columns: ReadonlyArray<ClauseColumn>,
    options: TargetOptions,
    numbered: (number: number) => Subscription | undefined
  ) {
    this.tableOid = tableOid
    this.columns = columns
    this.options = options
    this.numbered = numbered
    this.reader = readerOf(columns)
  }

  /** Sub-selects that its rows may belong to. */
  get size(): number {
    return this.levels.reduce((sum, level) => sum + (level?.size ?? 0), 0)
  }

  /** One more than the depth of the deepest of them. */
  get depths(): number {
    return this.levels.length
  }

  /** Of one that is not in it. False when the rows lack what it needs: then it is one of the misfits. */
  add(subscription: Subscription): boolean {
    const { kind, number, of } = subscription
    const { limits, burst, zones } = this.options
    const { plan } = kind.plan
    let level = this.levels[of.depth]
    try {
      const expression = {
        version: 1 as const,
        plan: planTextOf(kind),
        constants: constantsIn(subscription.constants),
        columns: plan.columns.map(({ name }) => name)
      }
      const runnable = makeRunnable({ sql: "", expression }, this.columns)
      let reading = this.readings.get(of)
      if (reading === undefined) {
        const reader = new GiftReader(of, runnable.compiled, limits)
        this.readings.set(of, (reading = { reader, users: 0, row: -1, id: -1, failure: undefined }))
      }
      reading.users++
      if (level === undefined)
        this.levels[of.depth] = level = {
          index: new FilterIndex(this.columns, limits, burst, zones),
          size: 0
        }
      level.index.add(number, runnable)
      level.size++
      return true
    } catch (error) {
      if (!(error instanceof ClauseOutdated)) throw error
      this.misfits.add(subscription)
      return false
    }
  }

  /** Of one that was added. */
  remove(subscription: Subscription): void {
    if (this.misfits.delete(subscription)) return
    const { number, of } = subscription
    const level = this.levels[of.depth]
    if (level === undefined) return
    level.index.remove(number)
    if (--level.size === 0) this.levels[of.depth] = undefined
    const reading = this.readings.get(of)
    if (reading !== undefined && --reading.users === 0) this.readings.delete(of)
  }

  /** Tells of those of one level that the row gives something to, under the membership in use. */
  visit(row: Tuple, depth: number, visitor: Visitor): void {
    const level = this.levels[depth]
    if (level === undefined) return
    const { matches } = this
    clearMatchList(matches)
    level.index.match(row, matches)
    this.row++
    for (let i = 0; i < matches.count; i++) {
      const subscription = this.numbered(matches.ids[i] ?? -1)
      if (subscription === undefined) continue
      const reading = this.readingOf(subscription.of, row)
      if (reading.failure !== undefined) visitor.fails(subscription, reading.failure)
      else if (reading.id >= 0) visitor.gives(subscription, reading.id)
    }
    for (const { message, shapeId } of matches.errors) this.fails(shapeId, message, visitor)
    for (const { message, shapeId } of matches.costly) this.fails(shapeId, message, visitor)
    for (const id of matches.undecided)
      this.fails(id, "its condition takes too much work for one row", visitor)
  }

  private fails(number: number, message: string, visitor: Visitor): void {
    const subscription = this.numbered(number)
    if (subscription !== undefined) visitor.fails(subscription, message)
  }

  private readingOf(of: KindState, row: Tuple): Reading {
    // Made when the first sub-select of the kind was added.
    const reading = this.readings.get(of) as Reading
    if (reading.row === this.row) return reading
    reading.row = this.row
    const gift: Gift = reading.reader.read(row)
    reading.failure = "failure" in gift ? gift.failure : undefined
    reading.id = "failure" in gift || gift.given === undefined ? -1 : of.links.id(gift.given)
    return reading
  }

  /**
   * What the row may give, and to which kinds, whatever deeper levels give: where the condition of a sub-select has no
   * sub-select, it is asked; else it counts as true. Nothing where that is not to be told: then a visit fails, too.
   */
  possible(row: Tuple): ReadonlyArray<PossibleGift> {
    const kinds = new Set<KindState>()
    const flat = this.levels[0]
    if (flat !== undefined) {
      clearMatchList(this.matches)
      flat.index.match(row, this.matches)
      for (let i = 0; i < this.matches.count; i++) {
        const subscription = this.numbered(this.matches.ids[i] ?? -1)
        if (subscription !== undefined) kinds.add(subscription.of)
      }
    }
    this.reader.load(row)
    const found: Array<PossibleGift> = []
    for (const [of, { reader }] of this.readings) {
      if (of.depth === 0 && !kinds.has(of)) continue
      const gift = reader.read(row)
      const texts = reader.texts(row)
      if ("failure" in gift || gift.given === undefined || texts === undefined) continue
      found.push({ of, group: gift.given.group, link: gift.given.link, texts })
    }
    return found
  }
}

const planTexts = new WeakMap<object, string>()

const planTextOf = ({ plan: { plan } }: Subscription["kind"]): string => {
  let text = planTexts.get(plan)
  if (text === undefined) planTexts.set(plan, (text = JSON.stringify(plan)))
  return text
}
