import type { Flip } from "../../membership/Flip.ts"
import type { MembershipState } from "../../membership/MembershipState.ts"
import {
  codecOf,
  type Form,
  type LinkKey,
  linkKeyOf,
  partOfLink,
  partsOf,
  type Plan,
  subselectKind,
  type SubselectKind
} from "../../where/index.ts"
import type { Touched } from "./Touched.ts"

/** Rows of one sub-select are looked up by rows of another one: what becomes of the former concerns whom the latter concern. */
export interface Reach {
  /** The same for equal ones. */
  readonly key: string
  readonly from: SubselectKind
  /** The places, in the group of `from`, of what is looked up by here. */
  readonly parts: ReadonlyArray<number>
  /** The rows of `to` by these: they give its group. */
  readonly by: { readonly kind: SubselectKind; readonly constants: string }
  readonly to: SubselectKind
  readonly toConstants: string
}

/** Of the loops of a condition, not of those of sub-selects inside it. */
export const reachesOf = (plan: Plan, constants: ReadonlyArray<string>): ReadonlyArray<Reach> => {
  const found: Array<Reach> = []
  const visit = (form: Form): void => {
    if ("loop" in form)
      for (const { reach, rows } of form.tables) {
        const before = reach === undefined ? undefined : form.tables[reach.table]
        if (reach === undefined || before === undefined) continue
        const [from, to, by] = [rows, before.rows, reach.by].map(({ sub }) => subselectKind(sub)) as [
          SubselectKind,
          SubselectKind,
          SubselectKind
        ]
        const [toConstants = "", byConstants = ""] = [constants[before.rows.slot], constants[reach.by.slot]]
        const key = JSON.stringify([from.text, reach.parts, by.text, byConstants, to.text, toConstants])
        const { parts } = reach
        found.push({ key, from, parts, by: { kind: by, constants: byConstants }, to, toConstants })
      }
    for (const part of partsOf(form)) visit(part)
  }
  visit(plan.root)
  return found
}

/** What is known of reaches. */
export interface Reaches {
  readonly state: MembershipState
  readonly reachesFrom: (kind: SubselectKind) => Iterable<Reach>
  readonly allReaches: () => Iterable<Reach>
}

interface ReachedGroup {
  readonly group: LinkKey
  /** Of its values. */
  readonly texts: ReadonlyArray<string>
}

/** Groups of `to` with a row, before the open transaction or after it, that looks rows of this group of `from` up. */
function* reached(
  state: MembershipState,
  { by, from, parts, to }: Reach,
  group: LinkKey
): Iterable<ReachedGroup> {
  const keys = to.plan.keys
    .slice(0, to.plan.group.length)
    .map(({ collation, type }) => codecOf(type, collation))
  const asked = partOfLink(from.plan.group.length, group, parts)
  for (const { values } of state.rowsAtAnyTime(by.kind, by.constants, asked)) {
    // What is equal to NULL is looked up by nobody.
    if (values.includes(null)) continue
    yield {
      group: linkKeyOf(keys.map(({ key }, i) => key?.(values[i]))),
      texts: keys.map(({ write }, i) => write(values[i]))
    }
  }
}

/** Flips, and behind each those of the sub-selects that it can matter to by way of. */
export function* withReached(flips: Iterable<Flip>, reaches: Reaches): Iterable<Flip> {
  const known = new Map<SubselectKind, Set<LinkKey>>()
  const isNew = (kind: SubselectKind, group: LinkKey): boolean => {
    const groups = known.get(kind) ?? new Set()
    if (groups.has(group)) return false
    known.set(kind, groups.add(group))
    return true
  }
  function* follow(kind: SubselectKind, group: LinkKey): Iterable<Flip> {
    for (const reach of reaches.reachesFrom(kind))
      for (const { group: next } of reached(reaches.state, reach, group)) {
        const { to, toConstants } = reach
        if (!isNew(to, next)) continue
        yield { kind: to, asked: "rows", constants: toConstants, how: "whole", group: next }
        yield* follow(to, next)
      }
  }
  for (const flip of flips) {
    yield flip
    if (flip.how === "whole") yield* follow(flip.kind, flip.group)
  }
}

/** Notes what is touched by way of others, as far as rows are known: those that are not are touched themselves. */
export const spread = (touched: Touched, reaches: Reaches): void => {
  let before = -1
  while (before !== touched.size) {
    before = touched.size
    for (const reach of reaches.allReaches()) {
      const kind = touched.of(reach.from)
      if (kind === undefined) continue
      if (kind.everything) touched.all(reach.to)
      else
        for (const group of Array.from(kind.groups))
          for (const next of reached(reaches.state, reach, group))
            touched.add(reach.to, { ...next, link: null })
    }
  }
}
