import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Call, Equality, Expression, NestedLoop, Selected, Subselect } from "../expression/Expression.ts"
import { fromInside } from "../expression/References.ts"
import { booleanType } from "../resolve/Boolean.ts"
import { refuseAt } from "../WhereError.ts"

/** The same sub-select, to be gone through as it is written. */
export const asLoop = (
  catalogue: TypeCatalogue,
  { at, group, how, probe, query, ...type }: Subselect
): NestedLoop => {
  if (how === "rows") return refuseAt(at, "rows of a sub-select whose values cannot be told apart")
  const { condition, distinct, equalities, only, select, table } = query
  const tied = group.flatMap((outer, i) => {
    const [inner, equality] = [query.group[i], equalities[i]]
    return inner === undefined || equality === undefined
      ? []
      : [callOf(catalogue, equality, fromInside(outer), inner, at)]
  })
  const selected = select.map((value, i): Selected => {
    const [one, equality] = [probe[i], equalities[group.length + i]]
    return one === undefined || equality === undefined ? { value } : { value, probe: one, equality }
  })
  return {
    ...type,
    kind: "nestedLoop",
    how,
    tables: [{ table, only }],
    conditions: [...(condition === undefined ? [] : conjunctsOf(condition)), ...tied],
    implied: [],
    impliedByProbes: [],
    selected,
    distinct,
    at
  }
}

const conjunctsOf = (condition: Expression): ReadonlyArray<Expression> =>
  condition.kind === "and" ? condition.args.flatMap(conjunctsOf) : [condition]

/** The operands of an equality are not always noted in their order. */
export const callOf = (
  catalogue: TypeCatalogue,
  { function: oid, inputCollation, operator }: Equality,
  a: Expression,
  b: Expression,
  at: number
): Call => {
  const first = catalogue.function(oid)?.args[0]
  const isOther = a.type !== b.type && first !== a.type && first === b.type
  return {
    ...booleanType,
    kind: "call",
    function: oid,
    args: isOther ? [b, a] : [a, b],
    operator,
    variadicArray: false,
    names: undefined,
    inputCollation,
    at
  }
}
