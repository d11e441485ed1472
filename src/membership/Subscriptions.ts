import type { SubselectKind } from "../where/index.ts"
import type { Weight } from "./Links.ts"
import type { Asked, Subselect } from "./Subselect.ts"
import { KindState, Subscription } from "./Subscription.ts"

/** The sub-selects that somebody uses: by kind and constants, by number, and by table. */
export class Subscriptions {
  private readonly kinds = {
    set: new Map<SubselectKind, KindState>(),
    value: new Map<SubselectKind, KindState>(),
    rows: new Map<SubselectKind, KindState>()
  }
  private readonly numbers: Array<Subscription | undefined> = []
  private readonly free: Array<number> = []
  /** Of the values of all of them. */
  readonly weight: Weight = { extra: 0 }
  /** With something to sweep. */
  private readonly idle = new Set<KindState>()
  private readonly byTable = new Map<number, Set<KindState>>()

  of(kind: SubselectKind, asked: Asked): KindState | undefined {
    return this.kinds[asked].get(kind)
  }

  find({ asked, constants, kind }: Subselect): Subscription | undefined {
    return this.of(kind, asked)?.byConstants.get(constants)
  }

  numbered(number: number): Subscription | undefined {
    return this.numbers[number]
  }

  *on(tableOid: number): Iterable<Subscription> {
    for (const of of this.byTable.get(tableOid) ?? []) yield* of.byConstants.values()
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
    yield* this.kinds.rows.values()
  }

  /** One more user. */
  use({ asked, constants, kind }: Subselect): {
    readonly subscription: Subscription
    readonly isNew: boolean
  } {
    let of = this.of(kind, asked)
    if (of === undefined) {
      of = new KindState(kind, asked, this.weight, (one) => this.idle.add(one))
      this.kinds[asked].set(kind, of)
      const { oid } = kind.plan.table
      this.byTable.set(oid, (this.byTable.get(oid) ?? new Set()).add(of))
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
    return { subscription, isNew: true }
  }

  /** One user less. Returns it if that was the last one: it is taken out of everything here. */
  release(subselect: Subselect): Subscription | undefined {
    const found = this.find(subselect)
    if (found === undefined || --found.users > 0) return undefined
    const { number, of } = found
    found.isGone = true
    of.byConstants.delete(found.constants)
    this.numbers[number] = undefined
    this.free.push(number)
    if (of.byConstants.size === 0) this.forget(of)
    return found
  }

  private forget(of: KindState): void {
    const { kind } = of
    const { oid } = kind.plan.table
    this.kinds[of.asked].delete(kind)
    const on = this.byTable.get(oid)
    on?.delete(of)
    if (on?.size === 0) this.byTable.delete(oid)
  }

  /** Forgets links that nobody has. Not while a transaction is open. */
  sweep(): void {
    for (const of of this.idle) of.sweep()
    this.idle.clear()
  }
}
