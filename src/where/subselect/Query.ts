import {
  oids,
  type Expression,
  type NestedLoop,
  type Subquery,
  type Subselect
} from "../expression/Expression.ts"
import { booleanType } from "../resolve/Boolean.ts"
import { operatorCall } from "../resolve/Calls.ts"
import type { Scope } from "../resolve/Scope.ts"
import { textOf } from "./Classes.ts"
import { joinedQuery } from "./Joins.ts"
import { loopOf } from "./Loop.ts"
import { allOf, conjunctsOf, equalityOf, isOutside, type Correlation, typeOf, type Written } from "./Parts.ts"
import { fromOutside, hasSubselect, reachesOut } from "../expression/References.ts"

/**
 * Takes a sub-select apart into what is about its own rows alone and the equalities that tie them to the row around it. Where that
 * cannot be, rows are gone through one by one. Throws `Refusal` where the row around it has another part in it.
 */
export const queryOf = (written: Written): Expression => takenApart(written) ?? loopOf(written)

const takenApart = (written: Written): Expression | undefined => {
  const { at, how, scope, selected } = written
  const conjuncts = written.conditions.flatMap(conjunctsOf)
  const ownValues = new Map<string, Expression>()
  for (const one of conjuncts.flatMap((conjunct) => correlationOf(conjunct) ?? []))
    ownValues.set(textOf(one.outer), one.inner)
  const local: Array<Expression> = []
  const correlated: Array<Correlation> = []
  /** Conditions that are about the row around it alone. */
  const around: Array<Expression> = []
  for (const one of conjuncts) {
    const conjunct = byOwnValues(scope, one, ownValues)
    if (!reachesOut(conjunct)) local.push(conjunct)
    else if (isOutside(conjunct)) around.push(fromOutside(conjunct))
    else {
      const correlation = correlationOf(conjunct)
      if (correlation === undefined) return undefined
      correlated.push({ ...correlation, outer: fromOutside(correlation.outer) })
    }
  }
  const compared = [
    ...correlated.flatMap(({ inner, outer }) => [inner, outer]),
    ...selected.flatMap(({ probe, value }) => (probe === undefined ? [value] : [value, probe]))
  ]
  if (compared.some(hasSubselect)) return undefined
  const [source] = scope.sources
  if (source === undefined || scope.sources.length > 1) {
    const joined = joinedQuery(written, local, correlated)
    return joined === undefined ? undefined : guarded(joined.made, [...around, ...joined.around], how)
  }
  const query: Subquery = {
    table: { oid: source.table.oid, schema: source.table.schema, name: source.table.name },
    only: source.table.kind !== "partitioned",
    condition: allOf(local, at),
    group: correlated.map(({ inner }) => inner),
    select: selected.map(({ value }) => value),
    equalities: [
      ...correlated.map(({ equality }) => equality),
      ...selected.flatMap(({ equality }) => equality ?? [])
    ],
    distinct: written.distinct
  }
  const made: Subselect = {
    kind: "subselect",
    how,
    group: correlated.map(({ outer }) => outer),
    probe: selected.flatMap(({ probe }) => probe ?? []),
    query,
    ...typeOf(how, selected),
    at
  }
  return guarded(made, around, how)
}

const correlationOf = (conjunct: Expression): Correlation | undefined => {
  if (conjunct.kind !== "call" || conjunct.operator?.name !== "=" || conjunct.type !== oids.bool)
    return undefined
  const [a, b] = conjunct.args
  if (a === undefined || b === undefined) return undefined
  const equality = equalityOf(conjunct)
  if (isOutside(a) && !reachesOut(b) && reachesOut(a)) return { outer: a, inner: b, equality }
  if (isOutside(b) && !reachesOut(a) && reachesOut(b)) return { outer: b, inner: a, equality }
  return undefined
}

/**
 * A sub-select further in may be tied to a value of the row around this one that is equal to one of this one's own: then it is
 * tied to that.
 */
const byOwnValues = (
  scope: Scope,
  expression: Expression,
  ownValues: ReadonlyMap<string, Expression>
): Expression => {
  if (ownValues.size === 0 || !reachesOut(expression)) return expression
  const walk = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value
    if (Array.isArray(value)) return value.map(walk)
    // What stands in it is seen from there.
    if ("kind" in value && value.kind === "nestedLoop") return value
    if ("kind" in value && value.kind === "subselect") return retied(scope, value as Subselect, ownValues)
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, walk(part)]))
  }
  // The same kinds of parts stand in the same places.
  return walk(expression) as Expression
}

/** Ties a sub-select to other values, equal to those that it was tied to, where there are some. */
const retied = (
  scope: Scope,
  subselect: Subselect,
  ownValues: ReadonlyMap<string, Expression>
): Subselect => {
  const { query } = subselect
  const [group, inner, equalities] = [[...subselect.group], [...query.group], [...query.equalities]]
  for (const [i, value] of subselect.group.entries()) {
    const own = reachesOut(value) ? ownValues.get(textOf(value)) : undefined
    const other = inner[i]
    if (own === undefined || other === undefined) continue
    const call = operatorCall(scope, undefined, "=", own, other, value.at)
    const [a, b] = call.args
    if (a === undefined || b === undefined) continue
    group[i] = a
    inner[i] = b
    equalities[i] = equalityOf(call)
  }
  return { ...subselect, group, query: { ...query, group: inner, equalities } }
}

/** Where a condition on the row around it is not true, no row of the sub-select is left. */
const guarded = (made: Expression, around: ReadonlyArray<Expression>, how: NestedLoop["how"]): Expression => {
  const { at } = made
  const condition = allOf(around, at)
  if (condition === undefined) return made
  if (how !== "value") {
    const isTrue: Expression = {
      kind: "booleanTest",
      arg: condition,
      test: "TRUE",
      negated: false,
      ...booleanType,
      at
    }
    return { kind: "and", args: [isTrue, made], ...booleanType, at }
  }
  const { collation, strength, type, typmod } = made
  const otherwise: Expression = {
    kind: "constant",
    value: null,
    parameter: undefined,
    type,
    typmod,
    collation,
    strength,
    at
  }
  return {
    kind: "case",
    whens: [{ condition, result: made }],
    otherwise,
    type,
    typmod,
    collation,
    strength,
    at
  }
}
