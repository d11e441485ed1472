import { BoundedMap } from "../shared/BoundedMap.ts"
import {
  type Form,
  partsOf,
  type Plan,
  type StoredExpression,
  type SubselectForm,
  subselectKind,
  type SubselectKind
} from "../where/index.ts"

/** How a sub-select is asked: whether something is among what it gives, for the only value that it gives, or for all rows. */
export type Asked = "set" | "value" | "rows"

/** One sub-select of a condition, with its constants. */
export interface Subselect {
  readonly kind: SubselectKind
  /** The JSON list of the texts of its constants. */
  readonly constants: string
  readonly asked: Asked
}

/** The sub-selects of a form, those inside each other's `group` and `probe` included, in order of appearance. */
const subselectForms = (form: Form): ReadonlyArray<SubselectForm> => {
  const found: Array<SubselectForm> = []
  const look = (part: Form): void => {
    if ("sub" in part) found.push(part)
    for (const one of partsOf(part)) look(one)
  }
  look(form)
  return found
}

/** Where a plan has a sub-select. */
interface Place {
  readonly kind: SubselectKind
  readonly slot: number
  readonly asked: Asked
}

const placesIn = (form: Form): ReadonlyArray<Place> =>
  subselectForms(form).map(({ how, slot, sub }) => ({
    kind: subselectKind(sub),
    slot,
    asked: how === "value" || how === "rows" ? how : "set"
  }))

const filled = (places: ReadonlyArray<Place>, texts: ReadonlyArray<string>): ReadonlyArray<Subselect> =>
  places.map(({ asked, kind, slot }) => ({ kind, constants: texts[slot] ?? "[]", asked }))

/** By the text of a plan: many clauses have the same. */
const placesByPlan = new BoundedMap<string, ReadonlyArray<Place>>(4_000_000, (_, text) => text.length)

/**
 * The sub-selects of a clause, without those that are inside of them: in order of appearance, equal ones as often as they
 * stand there.
 */
export const subselectsOf = ({ constants, plan }: StoredExpression): ReadonlyArray<Subselect> => {
  let places = placesByPlan.get(plan)
  if (places === undefined) {
    places = placesIn((JSON.parse(plan) as Plan).root)
    placesByPlan.set(plan, places)
  }
  return filled(places, constants)
}

interface Nested {
  readonly places: ReadonlyArray<Place>
  readonly depth: number
}

const nestedByKind = new WeakMap<SubselectKind, Nested>()

const nested = (kind: SubselectKind): Nested => {
  let known = nestedByKind.get(kind)
  if (known === undefined) {
    const places = placesIn(kind.plan.plan.root)
    const depth = places.reduce((most, place) => Math.max(most, depthOf(place.kind) + 1), 0)
    nestedByKind.set(kind, (known = { places, depth }))
  }
  return known
}

/** Levels of sub-selects inside it: 0 if it has none. */
export const depthOf = (kind: SubselectKind): number => nested(kind).depth

/** The sub-selects of its own condition, as `subselectsOf`. */
export const nestedIn = ({ constants, kind }: Subselect): ReadonlyArray<Subselect> => {
  const { places } = nested(kind)
  return places.length === 0 ? [] : filled(places, constantsIn(constants))
}

/** The texts of its constants. */
export const constantsIn = (constants: string): ReadonlyArray<string> =>
  JSON.parse(constants) as ReadonlyArray<string>
