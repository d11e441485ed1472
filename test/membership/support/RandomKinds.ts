import type { Random } from "../../../testing/Random.ts"
import type { Form, SubselectForm } from "../../../src/where/index.ts"
import { subselectKind, type SubselectKind } from "../../../src/where/index.ts"
import { column, constant, equal, planWith, type PlanParts } from "./Kinds.ts"

/** Every constant, and every value of a row, is one of these: so that things meet. */
export const numbers = [0, 1]

/** How the text of constants for a kind is made up, its nested sub-selects' included. */
export type MakeConstants = (random: Random) => string

export interface RandomKind {
  readonly kind: SubselectKind
  readonly parts: PlanParts
  readonly constants: MakeConstants
  /** It selects one value. */
  readonly mayBeValue: boolean
}

const columnsFor = (random: Random, count: number): ReadonlyArray<Form> =>
  Array.from({ length: count }, () => column(random.int(0, 3)))

/** A kind over one of the tables 1 to 3, with conditions over the kinds that there are already. */
export const randomKind = (random: Random, lower: ReadonlyArray<RandomKind>): RandomKind => {
  const constants: Array<"int4" | "text"> = []
  const makers: Array<(random: Random) => string> = []
  const slot = (type: "int4" | "text", make: (random: Random) => string): number => {
    makers.push(make)
    return constants.push(type) - 1
  }
  const number = (): Form => constant(slot("int4", (one) => String(one.pick(numbers))))
  const comparison = (): Form => equal(column(random.int(0, 3)), number())
  const nested = (): Form => {
    const { constants: make, mayBeValue, parts } = random.pick(lower)
    const ask = { slot: slot("text", make), group: columnsFor(random, parts.group.length) }
    const whole = (how: SubselectForm["how"], probe: ReadonlyArray<Form>): SubselectForm => ({
      sub: planWith(parts),
      ...ask,
      how,
      probe
    })
    if (mayBeValue && (parts.distinct === true || random.chance(0.25)))
      return equal(column(random.int(0, 3)), whole("value", []))
    if (parts.select.length === 0) return whole("exists", [])
    return whole("any", columnsFor(random, parts.select.length))
  }
  const atom = (): Form => (lower.length > 0 && random.chance(0.7) ? nested() : comparison())
  const condition = (depth: number): Form => {
    if (depth === 0 || random.chance(0.4)) return atom()
    const parts = [condition(depth - 1), condition(depth - 1)]
    const [first] = parts as [Form]
    return random.pick<() => Form>([
      () => ({ and: parts }),
      () => ({ or: parts }),
      () => ({ not: first }),
      () => ({ isNull: first, not: random.chance(0.5), row: false })
    ])()
  }
  const root: Form = lower.length === 0 && random.chance(0.2) ? { b: true } : condition(2)
  const select = random.pick([0, 1, 1, 1, 2])
  const parts: PlanParts = {
    table: random.int(1, 3),
    root,
    constants,
    group: columnsFor(random, random.pick([0, 0, 1, 2])),
    select: columnsFor(random, select),
    ...(select === 1 && random.chance(0.2) ? { distinct: true as const } : {})
  }
  return {
    kind: subselectKind(planWith(parts)),
    parts,
    constants: (one) => JSON.stringify(makers.map((make) => make(one))),
    mayBeValue: select === 1
  }
}
