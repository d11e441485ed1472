import type { Expression } from "../expression/Expression.ts"

/** Stands for the row around a sub-select; the tables in its FROM are 0, 1, … */
export const aroundIt = -1

/** A value of a row of one of the tables, or of the row around the sub-select. */
export interface Term {
  readonly table: number
  readonly expression: Expression
}

/** Says the same of equal expressions, wherever they stand in the text. */
export const textOf = (expression: Expression): string =>
  JSON.stringify(expression, (key, value: unknown) => (key === "at" ? undefined : value))

/** Values that the conditions of a sub-select make equal, directly or through others. */
export class Classes {
  private readonly terms = new Map<string, Term>()
  private readonly parents = new Map<string, string>()

  /** Two values are equal for every row that is left. */
  unite(a: Term, b: Term): void {
    const [one, other] = [this.rootOf(this.note(a)), this.rootOf(this.note(b))]
    if (one !== other) this.parents.set(one, other)
  }

  private note(term: Term): string {
    const key = `${term.table}|${textOf(term.expression)}`
    if (!this.terms.has(key)) this.terms.set(key, term)
    return key
  }

  private rootOf(key: string): string {
    let at = key
    for (let next = this.parents.get(at); next !== undefined; next = this.parents.get(at)) at = next
    return at
  }

  /** Each with its terms in the order in which they were met. */
  all(): ReadonlyArray<ReadonlyArray<Term>> {
    const classes = new Map<string, Array<Term>>()
    for (const [key, term] of this.terms) {
      const root = this.rootOf(key)
      const known = classes.get(root)
      if (known === undefined) classes.set(root, [term])
      else known.push(term)
    }
    return [...classes.values()]
  }
}
