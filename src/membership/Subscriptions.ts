import type { SubselectKind } from "../where/index.ts"
import type { Links } from "./Links.ts"
import type { Asked, Subselect } from "./Subselect.ts"
import { KindState, Subscription } from "./Subscription.ts"

/** The sub-selects that somebody uses: by kind and constants, by number, and by table. */
export class Subscriptions {
  private readonly kinds = {
    set: new Map<SubselectKind, KindState>(),
    value: new Map<SubselectKind, KindState>()
  }
  private readonly numbers: Array<Subscription | undefined> = []
  private readonly free: Array<number> = []
  /** With something to sweep. */
  private readonly idle = new Set<Links>()
  private readonly byTable = new Map<number, Set<Subscription>>()

  of(kind: SubselectKind, asked: Asked): KindState | undefined {
    return this.kinds[asked].get(kind)
  }

  find({ asked, constants, kind }: Subselect): Subscription | undefined {
    return this.of(kind, asked)?.byConstants.get(constants)
  }

  numbered(number: number): Subscription | undefined {
    return this.numbers[number]
  }

  on(tableOid: number): Iterable<Subscription> {
    return this.byTable.get(tableOid) ?? []
  }

  tables(): ReadonlySet<number> {
    return new Set(this.byTable.keys())
  }

  *all(): Iterable<Subscription> {
    for (const one of this.numbers) if (one !== undefined) yield one
  }

  get maxDepth(): number {
    let depth = 0
    for (const of of this.states()) depth = Math.max(depth, of.depth)
    return depth
  }

  private *states(): Iterable<KindState> {
    yield* this.kinds.set.values()
    yield* this.kinds.value.values()
  }

  /** One more user. */
  use({ asked, constants, kind }: Subselect): {
    readonly subscription: Subscription
    readonly isNew: boolean
  } {
    let of = this.of(kind, asked)
    if (of === undefined) {
      of = new KindState(kind, asked, (links) => this.idle.add(links))
      this.kinds[asked].set(kind, of)
    }
    const known = of.byConstants.get(constants)
    if (known !== undefined) {
      known.users++
      return { subscription: known, isNew: false }
    }
    const number = this.free.pop() ?? this.numbers.length
    const subscription = new Subscription(number, of, constants)
    subscription.users = 1
    of.byConstants.set(constants, subscription)
    this.numbers[number] = subscription
    const { oid } = kind.plan.table
    let on = this.byTable.get(oid)
    if (on === undefined) this.byTable.set(oid, (on = new Set()))
    on.add(subscription)
    return { subscription, isNew: true }
  }

  /** One user less. Returns it if that was the last one: it is taken out of everything here. */
  release(subselect: Subselect): Subscription | undefined {
    const found = this.find(subselect)
    if (found === undefined || --found.users > 0) return undefined
    const { kind, number, of } = found
    found.isGone = true
    of.byConstants.delete(found.constants)
    if (of.byConstants.size === 0) this.kinds[of.asked].delete(kind)
    this.numbers[number] = undefined
    this.free.push(number)
    const on = this.byTable.get(kind.plan.table.oid)
    on?.delete(found)
    if (on?.size === 0) this.byTable.delete(kind.plan.table.oid)
    return found
  }

  /** Forgets links that nobody has. Not while a transaction is open. */
  sweep(): void {
    for (const links of this.idle) links.sweep()
    this.idle.clear()
  }
}
