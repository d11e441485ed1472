import type { CaseExpr, CoalesceExpr, MinMaxExpr } from "libpg-query"
import type { Expression } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { requireBoolean } from "./Boolean.ts"
import { operatorCall } from "./Calls.ts"
import { literalAsText, toCommon, typeOf } from "./CommonTypes.ts"
import { constant } from "./Constants.ts"
import { inputOf } from "./Operators.ts"
import type { Inner, Scope } from "./Scope.ts"

/** `CASE`, with an operand or without. */
export const caseOf = (scope: Scope, node: CaseExpr, inner: Inner): Expression => {
  const at = scope.position(node.location)
  const operand = node.arg === undefined ? undefined : literalAsText(scope, inner(node.arg))
  const branches = (node.args ?? []).flatMap((when) => {
    if (!("CaseWhen" in when)) return []
    const tested = inner(when.CaseWhen.expr)
    const condition =
      operand === undefined
        ? requireBoolean(scope, tested)
        : requireBoolean(
            scope,
            operatorCall(scope, undefined, "=", operand, tested, scope.position(when.CaseWhen.location))
          )
    return [{ condition, result: inner(when.CaseWhen.result) }]
  })
  const otherwise: Expression =
    node.defresult === undefined ? constant(scope, { isnull: true }) : inner(node.defresult)
  const results = toCommon(scope, [otherwise, ...branches.map((branch) => branch.result)], "CASE")
  const [last, ...rest] = results
  if (last === undefined) return refuseAt(at, "CASE without branches")
  return {
    kind: "case",
    whens: branches.map((branch, i) => ({ condition: branch.condition, result: rest[i] ?? branch.result })),
    otherwise: last,
    ...typeOf(scope, results),
    at
  }
}

/** `COALESCE(…)`. */
export const coalesce = (scope: Scope, node: CoalesceExpr, inner: Inner): Expression => {
  const args = toCommon(scope, (node.args ?? []).map(inner), "COALESCE")
  return { kind: "coalesce", args, ...typeOf(scope, args), at: scope.position(node.location) }
}

/** `GREATEST(…)`, `LEAST(…)`. */
export const greatestOrLeast = (scope: Scope, node: MinMaxExpr, inner: Inner): Expression => {
  const greatest = node.op === "IS_GREATEST"
  const args = toCommon(scope, (node.args ?? []).map(inner), greatest ? "GREATEST" : "LEAST")
  const at = scope.position(node.location)
  return { kind: "minmax", greatest, args, inputCollation: inputOf(args, at), ...typeOf(scope, args), at }
}
