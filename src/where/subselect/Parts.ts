import {
  oids,
  type Call,
  type Equality,
  type Expression,
  type NestedLoop,
  type Selected,
  type Typed
} from "../expression/Expression.ts"
import { columnsIn } from "../expression/References.ts"
import { booleanType } from "../resolve/Boolean.ts"
import type { Scope } from "../resolve/Scope.ts"
import { refuseAt } from "../WhereError.ts"

/** A sub-select as it was written, every part resolved. */
export interface Written {
  /** Its own, around which is that of the row that it is evaluated for. */
  readonly scope: Scope
  readonly conditions: ReadonlyArray<Expression>
  readonly selected: ReadonlyArray<Selected>
  readonly how: NestedLoop["how"]
  readonly distinct: boolean
  readonly at: number
}

/** An equality between a row of the sub-select and the row around it. */
export interface Correlation {
  readonly outer: Expression
  readonly inner: Expression
  readonly equality: Equality
}

export const conjunctsOf = (condition: Expression): ReadonlyArray<Expression> =>
  condition.kind === "and" ? condition.args.flatMap(conjunctsOf) : [condition]

/** Nothing in it is about a row of the sub-select. */
export const isOutside = (expression: Expression): boolean =>
  columnsIn(expression).every(({ up = 0 }) => up > 0)

export const allOf = (conditions: ReadonlyArray<Expression>, at: number): Expression | undefined =>
  conditions.length <= 1 ? conditions[0] : { kind: "and", args: conditions, ...booleanType, at }

/** The type of the sub-select itself. */
export const typeOf = (how: NestedLoop["how"], selected: ReadonlyArray<Selected>): Omit<Typed, "at"> => {
  const only = selected[0]?.value
  if (how !== "value" || only === undefined) return booleanType
  const { collation, type, typmod } = only
  return { type, typmod, collation, strength: collation === 0 ? "none" : "implicit" }
}

/** Of a comparison by `=`. */
export const equalityOf = (call: Call): Equality =>
  call.operator === undefined || call.type !== oids.bool
    ? refuseAt(call.at, "IN requires an = operator that yields boolean")
    : { operator: call.operator, function: call.function, inputCollation: call.inputCollation }
