import type { A_ArrayExpr } from "libpg-query"
import type { Expression } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { castTo } from "./Coerce.ts"
import { mergeCollations, resultCollation } from "./Collations.ts"
import { toCommon } from "./CommonTypes.ts"
import type { Inner, Scope } from "./Scope.ts"
import { describeType } from "./TypeNames.ts"

/** `ARRAY[…]`. `target` is the array type that it is cast to on the spot, which then gives its elements their type; else 0. */
export const arrayConstructor = (
  scope: Scope,
  node: A_ArrayExpr,
  inner: Inner,
  target: number
): Expression => {
  const at = scope.position(node.location)
  let nested = false
  const targetElement = scope.catalogue.type(scope.catalogue.baseType(target))?.element ?? 0
  const given = (node.elements ?? []).map((element) => {
    if ("A_ArrayExpr" in element) {
      nested = true
      return arrayConstructor(scope, element.A_ArrayExpr as A_ArrayExpr, inner, target)
    }
    const value = inner(element)
    if ((scope.catalogue.type(scope.catalogue.baseType(value.type))?.element ?? 0) !== 0) nested = true
    return value
  })
  let elements: ReadonlyArray<Expression>
  let type = target === 0 ? 0 : scope.catalogue.baseType(target)
  if (type === 0) {
    if (given.length === 0) return refuseAt(at, "cannot determine type of empty array, write ARRAY[]::type[]")
    elements = toCommon(scope, given, "ARRAY")
    const common = elements[0]?.type ?? 0
    type = nested ? common : (scope.catalogue.type(common)?.array ?? 0)
    if (type === 0) return refuseAt(at, `there is no array type for ${describeType(scope.catalogue, common)}`)
  } else {
    const wanted = nested ? type : targetElement
    elements = given.map((element) => castTo(scope, element, wanted, -1, element.at))
  }
  const collation = scope.catalogue.type(type)?.collation ?? 0
  return {
    kind: "array",
    elements,
    nested,
    type,
    typmod: -1,
    ...resultCollation(mergeCollations(elements), collation),
    at
  }
}
