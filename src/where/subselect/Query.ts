import {
  oids,
  type Equality,
  type Expression,
  type Subquery,
  type Subselect,
  type Typed
} from "../expression/Expression.ts"
import { booleanType } from "../resolve/Boolean.ts"
import type { Scope } from "../resolve/Scope.ts"
import { refuseAt } from "../WhereError.ts"
import { columnsIn, fromOutside, reachesOut } from "./References.ts"

/** A value that is selected, and what it is compared with where the sub-select stands on the right of IN. */
export interface Selected {
  readonly value: Expression
  readonly probe?: Expression
  readonly equality?: Equality
}

/** A sub-select as it was written, every part resolved. */
export interface Written {
  /** Its own, around which is that of the row that it is evaluated for. */
  readonly scope: Scope
  readonly conditions: ReadonlyArray<Expression>
  readonly selected: ReadonlyArray<Selected>
  readonly how: Subselect["how"]
  readonly distinct: boolean
  readonly at: number
}

/** An equality between a row of the sub-select and the row around it. */
interface Correlation {
  readonly outer: Expression
  readonly inner: Expression
  readonly equality: Equality
}

/**
 * Takes a sub-select apart into what is about its own rows alone and the equalities that tie them to the row around it. Throws
 * `Refusal` where that row has another part in it.
 */
export const queryOf = (written: Written): Expression => {
  const { at, how, scope, selected } = written
  const conjuncts = written.conditions.flatMap(conjunctsOf)
  const local: Array<Expression> = []
  const correlated: Array<Correlation> = []
  /** Conditions that are about the row around it alone. */
  const around: Array<Expression> = []
  for (const conjunct of conjuncts) {
    if (!reachesOut(conjunct)) local.push(conjunct)
    else if (isOutside(conjunct)) around.push(fromOutside(conjunct))
    else correlated.push(correlationOf(conjunct) ?? refuseCorrelation(conjunct))
  }
  const [source] = scope.sources
  if (source === undefined || scope.sources.length > 1)
    return refuseAt(at, "a sub-select over several tables is not supported")
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
  return guarded(made, around)
}

const typeOf = (how: Subselect["how"], selected: ReadonlyArray<Selected>): Omit<Typed, "at"> => {
  const only = selected[0]?.value
  if (how !== "value" || only === undefined) return booleanType
  const { collation, type, typmod } = only
  return { type, typmod, collation, strength: collation === 0 ? "none" : "implicit" }
}

const conjunctsOf = (condition: Expression): ReadonlyArray<Expression> =>
  condition.kind === "and" ? condition.args.flatMap(conjunctsOf) : [condition]

const allOf = (conditions: ReadonlyArray<Expression>, at: number): Expression | undefined =>
  conditions.length <= 1 ? conditions[0] : { kind: "and", args: conditions, ...booleanType, at }

/** Nothing in it is about a row of the sub-select. */
const isOutside = (expression: Expression): boolean => columnsIn(expression).every(({ up = 0 }) => up > 0)

const correlationOf = (conjunct: Expression): Correlation | undefined => {
  if (conjunct.kind !== "call" || conjunct.operator?.name !== "=" || conjunct.type !== oids.bool)
    return undefined
  const [a, b] = conjunct.args
  if (a === undefined || b === undefined) return undefined
  const equality = {
    operator: conjunct.operator,
    function: conjunct.function,
    inputCollation: conjunct.inputCollation
  }
  if (isOutside(a) && !reachesOut(b)) return { outer: fromOutside(a), inner: b, equality }
  if (isOutside(b) && !reachesOut(a)) return { outer: fromOutside(b), inner: a, equality }
  return undefined
}

const refuseCorrelation = (conjunct: Expression): never => {
  const column = columnsIn(conjunct).find(({ up = 0 }) => up > 0)
  return refuseAt(
    column?.at ?? conjunct.at,
    `${column?.name ?? "a column"} of the row around a sub-select can only be used in conditions of the form column = ${column?.name ?? "column"}, joined by AND in its WHERE: write another condition on it outside the sub-select`
  )
}

/** Where a condition on the row around it is not true, no row of the sub-select is left. */
const guarded = (made: Subselect, around: ReadonlyArray<Expression>): Expression => {
  const { at, how } = made
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
