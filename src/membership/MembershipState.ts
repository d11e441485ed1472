import { aboveLimit, standardLimits, type Limits } from "../config/Limits.ts"
import type { Tuple } from "../postgres/Tuple.ts"
import {
  Burst,
  type ClauseColumn,
  type GivenRows,
  type LinkKey,
  type Membership,
  type SubselectKind,
  undecided,
  useMembership,
  type Zones
} from "../where/index.ts"
import type { Flip } from "./Flip.ts"
import { flipsOf } from "./FlipsOf.ts"
import { InnerTarget, type TargetOptions, type Visitor } from "./InnerTarget.ts"
import { Loading } from "./Loading.ts"
import { anyOf, rowsOf, valueOf } from "./Questions.ts"
import { type Asked, nestedIn, type Subselect } from "./Subselect.ts"
import { byWeight, type Subscription } from "./Subscription.ts"
import { Subscriptions } from "./Subscriptions.ts"

export interface MembershipOptions {
  readonly limits?: Limits
  readonly zones?: Zones
}

/** It is not known any more what a sub-select gives: whoever asks it has to go, or it has to be loaded again. */
interface MembershipFailure {
  readonly subscription: Subscription
  readonly message: string
  /** Its table is not what the changes of it come to: it was rewritten without a word, for example. */
  readonly isAstray: boolean
}

/**
 * What the sub-selects of conditions give: how many rows of their tables give which values, after the last transaction that
 * was applied. Nothing here waits or asks anybody: rows are told in, and it says what changes.
 *
 * A transaction is told like this. `begin`; then its row changes in their order: `change`, `truncate`. They are judged by what deeper sub-selects
 * gave before the transaction. Then, for each depth from 1 on: the rows (of all tables, as they are after the transaction) that
 * the `flips` of the depths below can matter to, each once: `move`. Then `flips` has everything, conditions can be evaluated as
 * before (`useBefore`) and as after it (`useAfter`), and it ends with `apply` or `discard`.
 */
export class MembershipState implements Membership {
  private readonly limits: Limits
  private readonly targetOptions: TargetOptions
  private readonly subscriptions = new Subscriptions()
  private readonly targets = new Map<number, Set<InnerTarget>>()
  private readonly changed = new Set<Subscription>()
  private readonly failures: Array<MembershipFailure> = []
  private isOpen = false
  private after = false
  /** Links of all sub-selects, each as often as it is in one. */
  private links = 0

  constructor({ limits = standardLimits, zones }: MembershipOptions = {}) {
    this.limits = limits
    this.targetOptions = { limits, zones, burst: new Burst(limits) }
  }

  /**
   * Values that all sub-selects give, long ones more than once: what its memory depends on, and `limits.subselectValues` bounds.
   */
  get size(): number {
    return this.links + this.subscriptions.weight.extra
  }

  // Who is asked

  /**
   * One more user of a sub-select. Returns it with those inside of it, the deepest first, each once; what those that are not
   * `isKnown` give has to be loaded. Not while a transaction is open.
   */
  subscribe(kind: SubselectKind, constants: string, asked: Asked = "set"): ReadonlyArray<Subscription> {
    const all = new Set<Subscription>()
    this.enter({ kind, constants, asked }, all)
    return Array.from(all).toSorted((a, b) => a.of.depth - b.of.depth)
  }

  private enter(subselect: Subselect, all: Set<Subscription>): void {
    const { isNew, subscription } = this.subscriptions.use(subselect)
    for (const one of nestedIn(subselect)) {
      if (isNew) this.enter(one, all)
      else this.list(one, all)
    }
    all.add(subscription)
    if (isNew)
      for (const target of this.targets.get(subscription.kind.plan.table.oid) ?? []) target.add(subscription)
  }

  private list(subselect: Subselect, all: Set<Subscription>): void {
    for (const one of nestedIn(subselect)) this.list(one, all)
    const found = this.subscriptions.find(subselect)
    if (found !== undefined) all.add(found)
  }

  /** One user less; what nobody uses is forgotten, with what it gave. */
  unsubscribe(kind: SubselectKind, constants: string, asked: Asked = "set"): void {
    this.leave({ kind, constants, asked })
    if (!this.isOpen) this.subscriptions.sweep()
  }

  private leave(subselect: Subselect): void {
    const gone = this.subscriptions.release(subselect)
    if (gone === undefined) return
    for (const target of this.targets.get(gone.kind.plan.table.oid) ?? []) target.remove(gone)
    if (this.changed.delete(gone)) gone.forgetChange()
    this.links -= gone.clear()
    for (const one of nestedIn(subselect)) this.leave(one)
  }

  /** It is subscribed, and what it gives is known. */
  isKnown(kind: SubselectKind, constants: string, asked: Asked = "set"): boolean {
    return this.subscriptions.find({ kind, constants, asked })?.isKnown === true
  }

  /** All that are subscribed, in no order. */
  all(): Iterable<Subscription> {
    return this.subscriptions.all()
  }

  /** Of those that are subscribed: 0 where none has a sub-select inside. */
  get maxDepth(): number {
    return this.subscriptions.maxDepth
  }

  /** Oids of the tables that they are about. */
  tables(): ReadonlySet<number> {
    return this.subscriptions.tables()
  }

  // Rows

  /**
   * For rows of a relation with these columns (the table itself, or a partition of it), until it is released. It also has those
   * that are subscribed later.
   */
  target(tableOid: number, columns: ReadonlyArray<ClauseColumn>): InnerTarget {
    const target = new InnerTarget(tableOid, columns, this.targetOptions, (number) =>
      this.subscriptions.numbered(number)
    )
    let targets = this.targets.get(tableOid)
    if (targets === undefined) this.targets.set(tableOid, (targets = new Set()))
    targets.add(target)
    for (const one of this.subscriptions.on(tableOid)) target.add(one)
    return target
  }

  /** No more rows of this relation, as it is described there. */
  release(target: InnerTarget): void {
    const targets = this.targets.get(target.tableOid)
    targets?.delete(target)
    if (targets?.size === 0) this.targets.delete(target.tableOid)
  }

  /**
   * To count the rows of the tables of some sub-selects, all of one depth, whose deeper ones are known. What they gave before is
   * forgotten. Not while a transaction is open.
   */
  load(subscriptions: Iterable<Subscription>): Loading {
    for (const subscription of subscriptions) this.links -= subscription.unload()
    return new Loading({
      subscriptions: Array.from(subscriptions),
      options: this.targetOptions,
      use: () => this.useBefore(),
      fail: this.fail,
      grow: (by) => {
        this.links += by
        return this.size
      },
      sweep: () => this.subscriptions.sweep()
    })
  }

  // One transaction

  begin(): void {
    this.isOpen = true
    this.after = false
  }

  /** A change of a row, of which there is no old one (`INSERT`) or no new one (`DELETE`). */
  change(target: InnerTarget, oldRow: Tuple | undefined, newRow: Tuple | undefined): void {
    this.useBefore()
    for (let depth = 0; depth < target.depths; depth++) {
      if (oldRow !== undefined) target.visit(oldRow, depth, this.removing)
      if (newRow !== undefined) target.visit(newRow, depth, this.adding)
    }
  }

  /** All rows of the table have gone, those of its partitions as well, whatever deeper sub-selects had let in of them. */
  truncate(tableOid: number): void {
    for (const subscription of this.subscriptions.on(tableOid)) {
      if (!subscription.isKnown) continue
      if (subscription.change !== undefined)
        for (const [id, delta] of subscription.change.deltas)
          if (subscription.counts.of(id) === 0) this.record(subscription, id, -delta)
      for (const id of subscription.counts.keys())
        this.record(subscription, id, -subscription.countOf(id, true))
    }
  }

  /**
   * A row, as it is after the transaction, that flips of deeper sub-selects can matter to: to the sub-selects of this depth.
   * Twice for two equal rows, else once for each row and depth.
   */
  move(target: InnerTarget, row: Tuple, depth: number): void {
    this.useBefore()
    target.visit(row, depth, this.removing)
    this.useAfter()
    target.visit(row, depth, this.adding)
    this.useBefore()
  }

  /** What the transaction changes, as far as it has been told; of sub-selects of one depth, if it is given. */
  *flips(depth?: number): Iterable<Flip> {
    for (const subscription of this.changed)
      if (depth === undefined || subscription.of.depth === depth) yield* flipsOf(subscription)
  }

  /** Conditions are evaluated as before the open transaction. */
  useBefore(): void {
    this.after = false
    useMembership(this)
  }

  /** Conditions are evaluated as after the open transaction. */
  useAfter(): void {
    this.after = true
    useMembership(this)
  }

  /** The transaction is part of what is known. */
  apply(): void {
    const grown: Array<Subscription> = []
    for (const subscription of this.changed) {
      const { change } = subscription
      subscription.change = undefined
      let more = 0
      for (const [id, delta] of change?.deltas ?? []) {
        more += subscription.put(id, delta)
        if (subscription.counts.of(id) < 0) this.fail(subscription, lostRows, false, true)
      }
      this.links += more
      if (more > 0) grown.push(subscription)
    }
    this.close()
    this.bound(grown)
  }

  /** It is as if the transaction had not been. */
  discard(): void {
    for (const subscription of this.changed) subscription.change = undefined
    this.close()
  }

  private close(): void {
    this.changed.clear()
    this.isOpen = false
    this.after = false
    this.subscriptions.sweep()
  }

  /** What has grown goes, the largest first, until the rest is within the limit. */
  private bound(grown: ReadonlyArray<Subscription>): void {
    if (this.size <= this.limits.subselectValues) return
    for (const one of byWeight(grown)) {
      if (this.size <= this.limits.subselectValues) break
      this.fail(one, aboveLimit("subselectValues", this.limits, this.size))
      this.links -= one.clear()
      this.subscriptions.sweep()
    }
  }

  /** Those whose content is not known any more since it was asked last. */
  takeFailures(): ReadonlyArray<MembershipFailure> {
    return this.failures.splice(0)
  }

  private readonly adding: Visitor = {
    gives: (subscription, id) => this.record(subscription, id, 1),
    fails: (subscription, message) => this.fail(subscription, message, true)
  }

  private readonly removing: Visitor = {
    gives: (subscription, id) => this.record(subscription, id, -1),
    fails: (subscription, message) => this.fail(subscription, message, true)
  }

  private record(subscription: Subscription, id: number, delta: number): void {
    if (!subscription.isKnown) return
    subscription.record(id, delta)
    this.changed.add(subscription)
  }

  private readonly fail = (
    subscription: Subscription,
    message: string,
    isAtFault = false,
    isAstray = false
  ): void => {
    if (subscription.failure !== undefined) return
    subscription.failure = message
    subscription.isAtFault = isAtFault
    this.failures.push({ subscription, message, isAstray })
  }

  // What conditions ask

  private known(kind: SubselectKind, constants: string, asked: Asked): Subscription {
    const found = this.subscriptions.of(kind, asked)?.byConstants.get(constants)
    if (found?.isKnown !== true) return undecided("what a sub-select gives is not known here")
    return found
  }

  any(
    kind: SubselectKind,
    constants: string,
    group: LinkKey,
    values: ReadonlyArray<unknown>
  ): boolean | null {
    return anyOf(this.known(kind, constants, "set"), group, values, this.after)
  }

  exists(kind: SubselectKind, constants: string, group: LinkKey): boolean {
    const subscription = this.known(kind, constants, "set")
    if (subscription.of.width > 0) return subscription.idsInGroup(group, this.after) > 0
    const id = subscription.of.links.find(group)
    return id !== undefined && subscription.has(id, this.after)
  }

  value(kind: SubselectKind, constants: string, group: LinkKey): unknown {
    return valueOf(this.known(kind, constants, "value"), group, this.after)
  }

  rows(kind: SubselectKind, constants: string, group: LinkKey): Iterable<GivenRows> {
    return rowsOf(this.known(kind, constants, "rows"), group, this.after)
  }

  /** Those of the group before the open transaction, and after it; none of what is not known. */
  *rowsAtAnyTime(kind: SubselectKind, constants: string, group: LinkKey): Iterable<GivenRows> {
    const found = this.subscriptions.of(kind, "rows")?.byConstants.get(constants)
    if (found?.isKnown !== true) return
    yield* rowsOf(found, group, false)
    if (found.change !== undefined) yield* rowsOf(found, group, true)
  }

  having(kind: SubselectKind, link: LinkKey): ReadonlyArray<string> {
    const links = this.subscriptions.of(kind, "set")?.links
    const id = links?.find(link)
    if (links === undefined || id === undefined) return nobody
    const found: Array<string> = []
    for (const number of links.holdersOf(id)) {
      const one = this.subscriptions.numbered(number)
      if (one?.isKnown === true && one.hasHeld(id, this.after)) found.push(one.constants)
    }
    if (!this.after) return found
    for (const number of links.enteringTo(id)) {
      const one = this.subscriptions.numbered(number)
      // One that has it, and is to have it again, was among the holders.
      if (one?.isKnown === true && one.counts.of(id) === 0) found.push(one.constants)
    }
    return found
  }
}

const nobody: ReadonlyArray<string> = []

const lostRows = "rows of its table have gone that were never seen"
