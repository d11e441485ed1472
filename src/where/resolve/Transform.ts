import type { CollateClause, FuncCall, Node, RowExpr, SubLink, TypeCast } from "libpg-query"
import { aboveLimit } from "../../config/Limits.ts"
import { oids, type Expression } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { arrayConstructor } from "./ArrayConstructor.ts"
import { booleanTest, logic, nullTest } from "./Boolean.ts"
import { functionCall, refuseAggregate } from "./Calls.ts"
import { castTo } from "./Coerce.ts"
import { literalAsText } from "./CommonTypes.ts"
import { columnOf } from "./Columns.ts"
import { caseOf, coalesce, greatestOrLeast } from "./Conditionals.ts"
import { constant } from "./Constants.ts"
import { transformOperator } from "./Operators.ts"
import { depthLimit, nodesPerToken, parameter, quoteIfNeeded, type Inner, type Scope } from "./Scope.ts"
import { indirection } from "./Subscripts.ts"
import { describeType, qualified, resolveTypeName } from "./TypeNames.ts"

/** Turns the syntax tree of an expression into a typed one; throws `Refusal`. */
export const transform = (scope: Scope, node: Node | undefined, depth = 0): Expression => {
  if (node === undefined) return refuseAt(-1, "incomplete expression")
  if (depth > depthLimit) return refuseAt(-1, "the clause is nested too deep")
  if (++scope.budget.nodes > nodesPerToken * scope.limits.clauseTokens)
    return refuseAt(-1, aboveLimit("clauseTokens", scope.limits))
  const inner: Inner = (child) => transform(scope, child, depth + 1)
  if ("A_Expr" in node) return transformOperator(scope, node.A_Expr, inner)
  if ("ColumnRef" in node) return columnOf(scope, node.ColumnRef)
  if ("A_Const" in node) return constant(scope, node.A_Const)
  if ("ParamRef" in node)
    return parameter(scope, node.ParamRef.number ?? 0, scope.position(node.ParamRef.location))
  if ("BoolExpr" in node) return logic(scope, node.BoolExpr, inner)
  if ("TypeCast" in node) return typeCast(scope, node.TypeCast, inner)
  if ("FuncCall" in node) return call(scope, node.FuncCall, inner)
  if ("NullTest" in node) return nullTest(scope, node.NullTest, inner)
  if ("BooleanTest" in node) return booleanTest(scope, node.BooleanTest, inner)
  if ("CaseExpr" in node) return caseOf(scope, node.CaseExpr, inner)
  if ("CoalesceExpr" in node) return coalesce(scope, node.CoalesceExpr, inner)
  if ("MinMaxExpr" in node) return greatestOrLeast(scope, node.MinMaxExpr, inner)
  if ("A_ArrayExpr" in node) return arrayConstructor(scope, node.A_ArrayExpr, inner, 0)
  if ("A_Indirection" in node) return indirection(scope, node.A_Indirection, inner)
  if ("RowExpr" in node) return row(scope, node.RowExpr, inner)
  if ("CollateClause" in node) return collate(scope, node.CollateClause, inner)
  if ("SubLink" in node) {
    if (scope.subselect === undefined) return noSubselect(scope, node.SubLink)
    return scope.subselect(scope, node.SubLink, (around, part) => transform(around, part, depth + 1))
  }
  const kind = Object.keys(node)[0] ?? "expression"
  const body = Object.values(node)[0] as { readonly location?: number } | undefined
  return refuseAt(scope.position(body?.location), `${kind} is not supported in this context`)
}

/** `value::type`, `CAST(value AS type)`. */
const typeCast = (scope: Scope, node: TypeCast, inner: Inner): Expression => {
  const at = scope.position(node.location)
  const { entry, typmod } = resolveTypeName(scope, node.typeName ?? {}, at)
  const source = node.arg
  if (source !== undefined && "A_ArrayExpr" in source && entry.element !== 0) {
    const array = arrayConstructor(scope, source.A_ArrayExpr, inner, entry.oid)
    return castTo(scope, array, entry.oid, typmod, at)
  }
  const shownAt = at < 0 ? scope.position(node.typeName?.location) : at
  return castTo(scope, inner(source), entry.oid, typmod, shownAt)
}

const call = (scope: Scope, node: FuncCall, inner: Inner): Expression => {
  const at = scope.position(node.location)
  const { schema, name } = qualified(node.funcname)
  if (
    node.agg_star === true ||
    node.agg_distinct === true ||
    node.agg_within_group === true ||
    node.agg_order !== undefined ||
    node.agg_filter !== undefined ||
    node.over !== undefined
  ) {
    return refuseAggregate(scope, at)
  }
  const names: Array<string> = []
  const args = (node.args ?? []).map((arg) => {
    const named = "NamedArgExpr" in arg ? arg.NamedArgExpr : undefined
    names.push(named?.name ?? "")
    return inner(named === undefined ? arg : named.arg)
  })
  const anyNamed = names.some((one) => one !== "")
  return functionCall(
    scope,
    schema,
    name,
    args,
    anyNamed ? names : undefined,
    node.func_variadic === true,
    at
  )
}

/** `ROW(…)`, `(a, b)`. What is untyped in it waits for what it is compared with. */
const row = (scope: Scope, node: RowExpr, inner: Inner): Expression => ({
  kind: "row",
  args: (node.args ?? []).map(inner),
  type: oids.record,
  typmod: -1,
  collation: 0,
  strength: "none",
  at: scope.position(node.location)
})

const collate = (scope: Scope, node: CollateClause, inner: Inner): Expression => {
  const at = scope.position(node.location)
  const { schema, name } = qualified(node.collname)
  const found = scope.catalogue.collationNamed(schema, name)
  if (found === undefined) return refuseAt(at, `unknown collation ${quoteIfNeeded(name)}`)
  const arg = literalAsText(scope, inner(node.arg))
  if ((scope.catalogue.type(arg.type)?.collation ?? 0) === 0) {
    return refuseAt(at, `collations are not supported by type ${describeType(scope.catalogue, arg.type)}`)
  }
  return {
    kind: "collate",
    arg,
    type: arg.type,
    typmod: arg.typmod,
    collation: found.oid,
    strength: "explicit",
    at
  }
}

const noSubselect = (scope: Scope, node: SubLink): never => {
  const isIn = node.subLinkType === "ANY_SUBLINK" && node.operName === undefined
  return refuseAt(
    scope.position(node.location),
    isIn
      ? "subqueries are not supported in where clauses yet"
      : "only `value IN (SELECT ...)` sublinks are supported right now"
  )
}
