import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Expression } from "../expression/Expression.ts"
import { canRaise } from "../resolve/CanRaise.ts"
import type { WhereClause } from "../WhereClause.ts"
import { conjunctionOf } from "./Conjunction.ts"

const quiet = "q"
const raising = "r"

/** For each of the conditions that an expression joins by AND: can it fail because of what stands in a row? */
export const orderOf = (
  catalogue: TypeCatalogue,
  expression: Expression,
  computed: ReadonlySet<string>
): string =>
  expression.kind === "and"
    ? expression.args.map((arg) => orderOf(catalogue, arg, computed)).join("")
    : canRaise(catalogue, expression, computed)
      ? raising
      : quiet

/** A condition that can fail stands behind another one: their order matters. */
export const needsOrder = (order: string): boolean => order.includes(raising, 1)

interface Part {
  readonly sql: string
  readonly mayRaise: boolean
}

const partsOf = ({ order, sql }: WhereClause): ReadonlyArray<Part> => {
  const texts = order === undefined ? [sql] : conjunctionOf(sql)
  if (order === undefined || texts.length !== order.length) return [{ sql, mayRaise: true }]
  return texts.map((text, i) => ({ sql: text, mayRaise: order[i] === raising }))
}

/**
 * One condition out of several clauses, in which a later one can only narrow what the earlier ones leave: whatever may fail
 * is evaluated for rows only for which everything before it is true. Postgres is free to evaluate the parts of AND in any
 * order, and takes the cheapest first; CASE is what it promises to keep. Parts that cannot fail stand beside it, for
 * indexes, and so does the very first. `undefined` when there is no clause.
 * Source: PostgreSQL documentation, "Expression Evaluation Rules".
 */
export const narrowing = (clauses: ReadonlyArray<WhereClause | undefined>): string | undefined => {
  const parts = clauses.flatMap((clause) => (clause === undefined ? [] : partsOf(clause)))
  if (parts.length === 0) return undefined
  // In parentheses: an OR in one of them must not swallow the others.
  const terms = parts.filter((part, i) => i === 0 || !part.mayRaise).map(({ sql }) => `(${sql})`)
  const last = parts.findLastIndex((part, i) => i > 0 && part.mayRaise)
  if (last > 0) {
    const before = parts.slice(0, last).map(({ sql }) => `WHEN (${sql}) IS NOT TRUE THEN false`)
    terms.push(`CASE ${before.join(" ")} ELSE (${parts[last]?.sql ?? "false"}) END`)
  }
  return terms.join(" AND ")
}
