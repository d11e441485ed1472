import { oids, type Call, type Expression, type NestedLoop, type Selected } from "../expression/Expression.ts"
import { columnsBeside, columnsIn, fromInside, hasSubselect } from "../expression/References.ts"
import { operatorCall } from "../resolve/Calls.ts"
import type { Scope } from "../resolve/Scope.ts"
import { Refusal, refuseAt } from "../WhereError.ts"
import { aroundIt, Classes, type Term } from "./Classes.ts"
import { conjunctsOf, isOutside, typeOf, type Written } from "./Parts.ts"

type Pair = readonly [Term, Term]

/** A sub-select whose rows are gone through as it is written. Throws `Refusal` for conditions that leave no way to look rows up. */
export const loopOf = (written: Written): NestedLoop => {
  const { at, distinct, how, scope, selected } = written
  const conditions = written.conditions.flatMap(conjunctsOf)
  for (const one of conditions) check(one)
  const pairs = conditions.flatMap((one) => pairOf(one) ?? [])
  return {
    kind: "nestedLoop",
    how,
    tables: scope.sources.map(({ table: { kind, name, oid, schema } }) => ({
      table: { oid, schema, name },
      only: kind !== "partitioned"
    })),
    conditions,
    implied: impliedBy(scope, pairs),
    impliedByProbes:
      how === "any" ? impliedBy(scope, [...pairs, ...selected.flatMap((one) => probed(one) ?? [])]) : [],
    selected,
    distinct,
    ...typeOf(how, selected),
    at
  }
}

const isEquality = (condition: Expression): condition is Call =>
  condition.kind === "call" && condition.operator?.name === "=" && condition.type === oids.bool

/** Each part of a condition outside of its sub-selects is about one table, but for the sides of an equality. */
const check = (condition: Expression): void => {
  if (isEquality(condition) || isOutside(condition)) return
  const columns = columnsBeside(condition)
  const around = columns.find(({ up = 0 }) => up > 0)
  if (around !== undefined)
    return refuseAt(
      around.at,
      `${around.name} of the row around a sub-select can only be used in conditions of the form column = ${around.name}, joined by AND in its WHERE: write another condition on it outside the sub-select`
    )
  if (new Set(columns.map(({ source = 0 }) => source)).size > 1)
    return refuseAt(
      condition.at,
      "the tables of a sub-select can only be joined by conditions of the form one.column = other.column, joined by AND: write another condition on a single table"
    )
}

/** A side of an equality that is about one table, or about rows further out. */
const termOf = (expression: Expression): Term | undefined => {
  if (hasSubselect(expression)) return undefined
  const tables = new Set(columnsIn(expression).map(({ source = 0, up = 0 }) => (up > 0 ? aroundIt : source)))
  const [table, ...others] = tables
  return table === undefined || others.length > 0 ? undefined : { table, expression }
}

const pair = (a: Expression, b: Expression): Pair | undefined => {
  const [one, other] = [termOf(a), termOf(b)]
  return one === undefined || other === undefined ? undefined : [one, other]
}

/** In a list, to be put together with others. */
const pairOf = (condition: Expression): ReadonlyArray<Pair> | undefined => {
  const [a, b] = isEquality(condition) ? condition.args : []
  const found = a === undefined || b === undefined ? undefined : pair(a, b)
  return found === undefined ? undefined : [found]
}

const probed = ({ probe, value }: Selected): ReadonlyArray<Pair> | undefined => {
  const found = probe === undefined ? undefined : pair(fromInside(probe), value)
  return found === undefined ? undefined : [found]
}

/** Equalities between values of different tables, or of one and of rows further out, that follow from others. */
const impliedBy = (scope: Scope, pairs: ReadonlyArray<Pair>): ReadonlyArray<Call> => {
  const classes = new Classes()
  for (const [one, other] of pairs) classes.unite(one, other)
  return classes.all().flatMap((all) => {
    // Two are equal by a condition itself.
    const terms = all.length < 3 ? [] : all.slice(0, mostTerms)
    return terms.flatMap((one, i) =>
      terms
        .slice(i + 1)
        .flatMap((other) => (one.table === other.table ? [] : (equality(scope, one, other) ?? [])))
    )
  })
}

/** Of values that are equal to each other more are not looked at: one for each table is enough. */
const mostTerms = 24

const equality = (scope: Scope, one: Term, other: Term): Call | undefined => {
  try {
    return operatorCall(scope, undefined, "=", one.expression, other.expression, one.expression.at)
  } catch (failure) {
    // Types that are only equal by way of a third one.
    if (failure instanceof Refusal) return undefined
    throw failure
  }
}
