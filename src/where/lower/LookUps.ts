import { oids, type Call, type Equality, type Expression } from "../expression/Expression.ts"
import { columnsIn, hasSubselect, reachesOut } from "../expression/References.ts"
import { keyOf } from "./Keys.ts"
import type { Lowers } from "./Lowers.ts"

/** The tables of a loop whose rows it reads. */
export const sourcesOf = (expression: Expression): ReadonlyArray<number> => [
  ...new Set(columnsIn(expression).flatMap(({ source = 0, up = 0 }) => (up > 0 ? [] : [source])))
]

/** Whose rows it follows from alone; none where it does from others. */
export const tablesOf = (expression: Expression): ReadonlyArray<number> =>
  hasSubselect(expression) || reachesOut(expression) ? [] : sourcesOf(expression)

/** Rows of a table are looked up by this. */
export interface LookUp {
  readonly table: number
  readonly inner: Expression
  /** Equal for equal ones. */
  readonly text: string
  readonly outer: Expression
  /** Tables whose rows it follows from. */
  readonly sources: ReadonlyArray<number>
  /** It follows from the row alone that the whole condition is about. */
  readonly isOfRow: boolean
  readonly equality: Equality
  readonly of: Call
}

const textOf = (expression: Expression): string =>
  JSON.stringify(expression, (key, value: unknown) => (key === "at" ? undefined : value))

export const isEquality = (condition: Expression): condition is Call =>
  condition.kind === "call" && condition.operator?.name === "=" && condition.type === oids.bool

/** By what rows of the tables of a loop can be looked up. */
export class LookUps {
  private readonly around: Lowers
  private readonly byTable = new Map<number, Array<LookUp>>()

  /** `around` is in the loop. */
  constructor(around: Lowers, equalities: ReadonlyArray<Call>) {
    this.around = around
    for (const of of equalities) {
      const [a, b] = of.args
      if (a === undefined || b === undefined) continue
      for (const one of [this.lookUp(a, b, of), this.lookUp(b, a, of)]) {
        if (one === undefined) continue
        const others = this.byTable.get(one.table)
        if (others === undefined) this.byTable.set(one.table, [one])
        else others.push(one)
      }
    }
  }

  /** Where rows of some tables are known: for each value of a row of this one by the best that it is equal to. */
  of(table: number, isBound: (table: number) => boolean): ReadonlyArray<LookUp> {
    const found = new Map<string, LookUp>()
    for (const one of this.byTable.get(table) ?? []) {
      if (!one.sources.every(isBound)) continue
      const known = found.get(one.text)
      if (known === undefined || (!known.isOfRow && one.isOfRow)) found.set(one.text, one)
    }
    return [...found.values()]
  }

  private lookUp(inner: Expression, outer: Expression, of: Call): LookUp | undefined {
    const [table, ...others] = tablesOf(inner)
    const sources = sourcesOf(outer)
    const { at, function: oid, inputCollation, operator } = of
    if (table === undefined || others.length > 0 || sources.includes(table) || operator === undefined)
      return undefined
    const { catalogue, loops } = this.around
    const equality = { operator, function: oid, inputCollation }
    if (keyOf(catalogue, equality, outer, inner, at) === undefined) return undefined
    const isOfRow = !hasSubselect(outer) && columnsIn(outer).every(({ up = 0 }) => up >= loops.length)
    return { table, inner, outer, sources, isOfRow, equality, of, text: textOf(inner) }
  }
}
