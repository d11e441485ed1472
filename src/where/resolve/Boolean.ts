import type { BooleanTest, BoolExpr, NullTest } from "libpg-query"
import { oids, type Expression, type Typed } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { coerce } from "./Coerce.ts"
import { literalAsText } from "./CommonTypes.ts"
import { quoteIfNeeded, type Inner, type Scope } from "./Scope.ts"
import { describeType } from "./TypeNames.ts"

export const booleanType: Omit<Typed, "at"> = { type: oids.bool, typmod: -1, collation: 0, strength: "none" }

/** An operand of AND, OR, NOT or CASE WHEN. */
export const requireBoolean = (scope: Scope, arg: Expression): Expression => {
  const converted = coerce(scope, arg, oids.bool, "assignment")
  if (converted !== undefined) return converted
  const type = describeType(scope.catalogue, arg.type)
  const what =
    arg.kind === "column"
      ? `reference ${quoteIfNeeded(arg.name)} of type ${type}`
      : arg.kind === "call" && arg.operator === undefined
        ? `function ${scope.catalogue.function(arg.function)?.name ?? ""} returning ${type}`
        : `expression of type ${type}`
  return refuseAt(arg.at, `${what} is not castable to bool`)
}

/** `AND`, `OR`, `NOT`. */
export const logic = (scope: Scope, node: BoolExpr, inner: Inner): Expression => {
  const at = scope.position(node.location)
  const args = (node.args ?? []).map((arg) => requireBoolean(scope, inner(arg)))
  const first = args[0]
  if (node.boolop === "NOT_EXPR" && first !== undefined) {
    return { kind: "not", arg: first, ...booleanType, at }
  }
  return { kind: node.boolop === "AND_EXPR" ? "and" : "or", args, ...booleanType, at }
}

/** `IS [NOT] NULL`. */
export const nullTest = (scope: Scope, node: NullTest, inner: Inner): Expression => ({
  kind: "nullTest",
  arg: literalAsText(scope, inner(node.arg)),
  negated: node.nulltesttype === "IS_NOT_NULL",
  ...booleanType,
  at: scope.position(node.location)
})

/** `IS [NOT] TRUE`, `FALSE`, `UNKNOWN`. */
export const booleanTest = (scope: Scope, node: BooleanTest, inner: Inner): Expression => {
  const at = scope.position(node.location)
  const [, not, test] = /^IS_(NOT_)?(TRUE|FALSE|UNKNOWN)$/.exec(node.booltesttype ?? "") ?? []
  const shown = `${not === undefined ? "" : "NOT "}${test ?? ""}`
  const arg = inner(node.arg)
  const tested = coerce(scope, arg, oids.bool, "assignment")
  if (tested === undefined) {
    return refuseAt(
      at,
      `argument of IS ${shown} must be bool, not ${describeType(scope.catalogue, arg.type)}`
    )
  }
  return {
    kind: "booleanTest",
    arg: tested,
    test: test === "FALSE" ? "FALSE" : test === "UNKNOWN" ? "UNKNOWN" : "TRUE",
    negated: not !== undefined,
    ...booleanType,
    at
  }
}
