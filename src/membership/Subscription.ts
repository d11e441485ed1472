import { type LinkKey, type SubselectKind } from "../where/index.ts"
import { Counts } from "./Counts.ts"
import { IntLists } from "./IntLists.ts"
import { Links, type Weight } from "./Links.ts"
import { maskOf, Patterns } from "./Patterns.ts"
import { type Asked, depthOf, type Subselect } from "./Subselect.ts"

/** The sub-selects of one kind that are asked in one way. */
export class KindState {
  readonly kind: SubselectKind
  readonly asked: Asked
  readonly depth: number
  readonly links: Links
  /** Of the ids that its subscriptions have. */
  lists = new IntLists()
  readonly byConstants = new Map<string, Subscription>()
  /** A group may have several links, or none and yet rows. */
  readonly hasGroups: boolean
  /** Values that are selected. */
  readonly width: number
  /** Values of the correlation. */
  readonly groupWidth: number

  constructor(kind: SubselectKind, asked: Asked, weight: Weight, onIdle: (of: KindState) => void) {
    this.kind = kind
    this.asked = asked
    this.depth = depthOf(kind)
    this.groupWidth = kind.plan.group.length
    this.width = kind.plan.select.length
    this.hasGroups = this.groupWidth > 0 && this.width > 0
    this.links = new Links(this.groupWidth, weight, () => onIdle(this))
  }

  /** No transaction is open: forgets links that nobody has, and gives back memory. */
  sweep(): void {
    this.links.sweep()
    if (!this.lists.isSparse) return
    this.lists = new IntLists()
    for (const one of this.byConstants.values()) one.counts.moveTo(this.lists)
  }
}

/** What a transaction changes of one sub-select, until it is applied. */
class Change {
  /** By id of a link: how many rows more or less give it. */
  readonly deltas = new Map<number, number>()
  /** By group: how many ids more or less have a row. */
  readonly groups = new Map<LinkKey, number>()
  /** By group: noted ids that are no links. */
  special: Map<LinkKey, Set<number>> | undefined
  /** Of the ids that come (1) and go (-1). Made when it is asked for. */
  patterns: Patterns | undefined
}

/** A sub-select that somebody asks: how many rows give which link. */
export class Subscription implements Subselect {
  /** For indexes and lists; used again when it is gone. */
  readonly number: number
  readonly of: KindState
  readonly constants: string
  users = 0
  /** Its rows have been counted. What it gives is not known before. */
  isLoaded = false
  /** Why it is not known any more what it gives. */
  failure: string | undefined
  /** That is for its condition, or for its values; not for what may be otherwise the next time. */
  isAtFault = false
  isGone = false
  readonly counts: Counts
  /** Ids of each group that have a row, where a kind has groups. */
  private groups: Map<LinkKey, number> | undefined
  /** Ids that are not links: with a NULL, or with a value. */
  private special: Map<LinkKey, Set<number>> | undefined
  /** Made when it is asked for. */
  private patterns: Patterns | undefined
  change: Change | undefined

  constructor(number: number, of: KindState, constants: string) {
    this.number = number
    this.of = of
    this.constants = constants
    this.counts = new Counts(of.lists)
  }

  get kind(): SubselectKind {
    return this.of.kind
  }

  get asked(): Asked {
    return this.of.asked
  }

  /** What it gives is known. */
  get isKnown(): boolean {
    return this.isLoaded && this.failure === undefined
  }

  /** What its values count, long ones more than once. Looks at all of them. */
  get weight(): number {
    let weight = 0
    for (const id of this.counts.keys()) weight += this.of.links.weightOf(id)
    return weight
  }

  // As it is, or will be after the transaction

  has(id: number, after: boolean): boolean {
    const count = this.counts.of(id)
    return (after ? count + (this.change?.deltas.get(id) ?? 0) : count) > 0
  }

  /** Of an id of which it is one of the `holdersOf`: where no row gives anything twice, that is known without looking it up. */
  hasHeld(id: number, after: boolean): boolean {
    return (this.counts.areOnes && (!after || this.change === undefined)) || this.has(id, after)
  }

  countOf(id: number, after: boolean): number {
    const count = this.counts.of(id)
    return after ? count + (this.change?.deltas.get(id) ?? 0) : count
  }

  /** Ids with a row in the group. */
  idsInGroup(group: LinkKey, after: boolean): number {
    const now = this.of.hasGroups ? (this.groups?.get(group) ?? 0) : this.counts.size
    return after ? now + (this.change?.groups.get(group) ?? 0) : now
  }

  /** Those of the group with a row that are no links. */
  *specialIn(group: LinkKey, after: boolean): Iterable<number> {
    const now = this.special?.get(group)
    if (now !== undefined) for (const id of now) if (this.has(id, after)) yield id
    const noted = after ? this.change?.special?.get(group) : undefined
    if (noted !== undefined) for (const id of noted) if (now?.has(id) !== true && this.has(id, true)) yield id
  }

  /**
   * Some row of the group could be equal to these values, of which there are several, if it were not for NULLs on one side or
   * the other. Rows without any that are equal to values without any are not asked for.
   */
  couldHave(group: LinkKey, values: ReadonlyArray<unknown>, after: boolean): boolean {
    const now = this.patternsNow()
    const changed = after && this.change !== undefined ? this.patternsOfChange(this.change) : undefined
    const full = maskOf(values) === (1 << values.length) - 1
    for (const mask of new Set([...now.masks(), ...(changed?.masks() ?? [])])) {
      if (full && mask === (1 << values.length) - 1) continue
      if (now.count(mask, group, values) + (changed?.count(mask, group, values) ?? 0) > 0) return true
    }
    return false
  }

  private patternsNow(): Patterns {
    if (this.patterns === undefined) {
      this.patterns = new Patterns(this.of)
      for (const id of this.counts.keys()) if (this.counts.of(id) > 0) this.patterns.add(id, 1)
    }
    return this.patterns
  }

  private patternsOfChange(change: Change): Patterns {
    if (change.patterns === undefined) {
      change.patterns = new Patterns(this.of)
      for (const id of change.deltas.keys()) {
        const toggled = Number(this.has(id, true)) - Number(this.has(id, false))
        if (toggled !== 0) change.patterns.add(id, toggled)
      }
    }
    return change.patterns
  }

  // Changes

  /** Notes for the transaction that so many rows more give it. */
  record(id: number, delta: number): void {
    const change = (this.change ??= new Change())
    const before = this.countOf(id, true)
    const noted = (change.deltas.get(id) ?? 0) + delta
    if (noted === 0) change.deltas.delete(id)
    else change.deltas.set(id, noted)
    const toggled = Number(before + delta > 0) - Number(before > 0)
    if (toggled === 0) return
    if (this.counts.of(id) <= 0) this.of.links.note(id, this.number, toggled > 0)
    // A row of which nothing is selected is a row all the same.
    if (this.of.width === 0 && this.of.asked !== "rows") return
    change.patterns?.add(id, toggled)
    const group = this.of.links.groupOf(id)
    if (this.of.links.specialOf(id) !== undefined) addTo((change.special ??= new Map()), group, id)
    const sum = (change.groups.get(group) ?? 0) + toggled
    if (sum === 0) change.groups.delete(group)
    else change.groups.set(group, sum)
  }

  forgetChange(): void {
    for (const id of this.change?.deltas.keys() ?? []) this.of.links.note(id, this.number, false)
    this.change = undefined
  }

  /** So many rows more give it. Returns how many ids it has more than before. */
  put(id: number, delta: number): number {
    const { links, hasGroups } = this.of
    const before = this.counts.add(id, delta)
    const after = before + delta
    const special = links.specialOf(id) !== undefined
    const group = hasGroups || special ? links.groupOf(id) : ""
    const toggled = Number(after > 0) - Number(before > 0)
    if (toggled !== 0) this.patterns?.add(id, toggled)
    if (hasGroups && toggled !== 0) {
      const groups = (this.groups ??= new Map<LinkKey, number>())
      const sum = (groups.get(group) ?? 0) + toggled
      if (sum === 0) groups.delete(group)
      else groups.set(group, sum)
    }
    if (before === 0 && after !== 0) {
      links.hold(id, this.number)
      if (special) this.enterSpecial(group, id)
      return 1
    }
    if (before !== 0 && after === 0) {
      links.letGo(id, this.number)
      if (special) this.leaveSpecial(group, id)
      return -1
    }
    return 0
  }

  private enterSpecial(group: LinkKey, id: number): void {
    addTo((this.special ??= new Map()), group, id)
  }

  private leaveSpecial(group: LinkKey, id: number): void {
    const ids = this.special?.get(group)
    ids?.delete(id)
    if (ids?.size === 0) this.special?.delete(group)
    if (this.special?.size === 0) this.special = undefined
  }

  /** It is to be loaded, again. Returns how many ids it had. */
  unload(): number {
    this.isLoaded = false
    this.failure = undefined
    return this.clear()
  }

  /** Forgets all rows. Returns how many ids it had. */
  clear(): number {
    const { size } = this.counts
    for (const id of this.counts.keys()) this.of.links.letGo(id, this.number)
    this.counts.clear()
    this.groups = undefined
    this.special = undefined
    this.patterns = undefined
    return size
  }
}

const addTo = (sets: Map<LinkKey, Set<number>>, group: LinkKey, id: number): void => {
  const ids = sets.get(group)
  if (ids === undefined) sets.set(group, new Set([id]))
  else ids.add(id)
}

/** The heaviest first. */
export const byWeight = (subscriptions: Iterable<Subscription>): ReadonlyArray<Subscription> =>
  Array.from(subscriptions, (one) => [one, one.weight] as const)
    .toSorted(([, a], [, b]) => b - a)
    .map(([one]) => one)
