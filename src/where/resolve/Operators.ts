import type { A_Expr } from "libpg-query"
import { oids, type Expression, type Row, type RowComparison } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { booleanType } from "./Boolean.ts"
import { bindOperator, findOperator, operatorCall, requireSettled } from "./Calls.ts"
import { coerce } from "./Coerce.ts"
import { canCoerce, commonType } from "./Coercion.ts"
import { resolvePolymorphic } from "./Polymorphic.ts"
import { inputCollation, mergeCollations } from "./Collations.ts"
import type { Inner, Scope } from "./Scope.ts"
import { qualified } from "./TypeNames.ts"

export const inputOf = (args: ReadonlyArray<Expression>, at: number): number =>
  inputCollation(mergeCollations(args), at)

const and = (args: ReadonlyArray<Expression>, at: number): Expression =>
  args.length === 1 && args[0] !== undefined ? args[0] : { kind: "and", args, ...booleanType, at }
const or = (args: ReadonlyArray<Expression>, at: number): Expression =>
  args.length === 1 && args[0] !== undefined ? args[0] : { kind: "or", args, ...booleanType, at }
const not = (arg: Expression, at: number): Expression => ({ kind: "not", arg, ...booleanType, at })

/** Everything the grammar writes with an operator, `IN`, `BETWEEN`, `LIKE` and the like included. */
export const transformOperator = (scope: Scope, node: A_Expr, inner: Inner): Expression => {
  const at = scope.position(node.location)
  const { schema, name } = qualified(node.name)
  switch (node.kind) {
    case "AEXPR_OP":
    case "AEXPR_LIKE":
    case "AEXPR_ILIKE":
    case "AEXPR_SIMILAR": {
      const left = node.lexpr === undefined ? undefined : inner(node.lexpr)
      return operation(scope, schema, name, left, inner(node.rexpr), at)
    }
    case "AEXPR_OP_ANY":
    case "AEXPR_OP_ALL":
      return arrayOperation(
        scope,
        schema,
        name,
        node.kind === "AEXPR_OP_ANY",
        inner(node.lexpr),
        inner(node.rexpr),
        at
      )
    case "AEXPR_DISTINCT":
    case "AEXPR_NOT_DISTINCT":
      return distinct(scope, node.kind === "AEXPR_NOT_DISTINCT", inner(node.lexpr), inner(node.rexpr), at)
    case "AEXPR_NULLIF":
      return nullif(scope, inner(node.lexpr), inner(node.rexpr), at)
    case "AEXPR_IN":
      return inList(scope, name, node, inner, at)
    case "AEXPR_BETWEEN":
    case "AEXPR_NOT_BETWEEN":
    case "AEXPR_BETWEEN_SYM":
    case "AEXPR_NOT_BETWEEN_SYM":
      return between(scope, node.kind, node, inner, at)
    default:
      return refuseAt(at, `expression "${name}" of :${node.kind ?? "unknown"} is not currently supported`)
  }
}

const operation = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  left: Expression | undefined,
  right: Expression,
  at: number
): Expression => {
  if (left?.kind === "row" && right.kind === "row") return rowOperation(scope, schema, name, left, right, at)
  return operatorCall(scope, schema, name, left, right, at)
}

const rowOperation = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  left: Row,
  right: Row,
  at: number
): Expression => {
  if (left.args.length !== right.args.length)
    return refuseAt(at, "unequal number of entries in row expressions")
  if (left.args.length === 0) return refuseAt(at, "cannot compare rows of zero length")
  const pair = (i: number): readonly [Expression, Expression] => [
    left.args[i] ?? left,
    right.args[i] ?? right
  ]
  const each = (operator: string): ReadonlyArray<Expression> =>
    left.args.map((_, i) => operation(scope, schema, operator, ...pair(i), at))
  if (name === "=") return and(each("="), at)
  if (name === "<>" || name === "!=") return or(each("<>"), at)
  if (name !== "<" && name !== "<=" && name !== ">" && name !== ">=") {
    return refuseAt(at, `could not determine interpretation of row comparison operator ${name}`)
  }
  if (left.args.length === 1) return operation(scope, schema, name, ...pair(0), at)
  const comparison: RowComparison = {
    kind: "rowComparison",
    operator: name,
    pairs: left.args.map((_, i) => {
      const bound = bindOperator(scope, schema, name, ...pair(i), at)
      const [a, b] = bound.args
      if (a === undefined || b === undefined) return refuseAt(at, "Could not select an operator overload")
      return { left: a, right: b, inputCollation: bound.inputCollation }
    }),
    ...booleanType,
    at
  }
  return comparison
}

const isNullLiteral = (arg: Expression): boolean => arg.kind === "constant" && arg.value === null

const distinct = (
  scope: Scope,
  negated: boolean,
  left: Expression,
  right: Expression,
  at: number
): Expression => {
  if (left.kind === "row" && right.kind === "row") {
    if (left.args.length !== right.args.length)
      return refuseAt(at, "unequal number of entries in row expressions")
    const parts = left.args.map((arg, i) => distinct(scope, false, arg, right.args[i] ?? arg, at))
    const any = or(parts, at)
    return negated ? not(any, at) : any
  }
  if (isNullLiteral(right))
    return { kind: "nullTest", arg: textual(scope, left), negated: !negated, ...booleanType, at }
  if (isNullLiteral(left))
    return { kind: "nullTest", arg: textual(scope, right), negated: !negated, ...booleanType, at }
  const bound = bindOperator(scope, undefined, "=", left, right, at)
  const [a, b] = bound.args
  if (a === undefined || b === undefined || bound.result !== oids.bool) {
    return refuseAt(at, "IS DISTINCT FROM requires = operator to yield boolean")
  }
  return {
    kind: "distinct",
    negated,
    left: a,
    right: b,
    operator: bound.operator,
    function: bound.entry.function,
    inputCollation: bound.inputCollation,
    ...booleanType,
    at
  }
}

const textual = (scope: Scope, arg: Expression): Expression =>
  arg.type === oids.unknown ? (coerce(scope, arg, oids.text, "implicit") ?? arg) : arg

const nullif = (scope: Scope, left: Expression, right: Expression, at: number): Expression => {
  const bound = bindOperator(scope, undefined, "=", left, right, at)
  const [a, b] = bound.args
  if (a === undefined || b === undefined || bound.result !== oids.bool) {
    return refuseAt(at, "NULLIF requires = operator to yield boolean")
  }
  return {
    kind: "nullif",
    negated: false,
    left: a,
    right: b,
    operator: bound.operator,
    function: bound.entry.function,
    inputCollation: bound.inputCollation,
    type: a.type,
    typmod: a.typmod,
    collation: a.collation,
    strength: a.strength,
    at
  }
}

const arrayOperation = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  any: boolean,
  left: Expression,
  right: Expression,
  at: number
): Expression => {
  const { catalogue } = scope
  const word = any ? "ANY" : "ALL"
  const notArray = (): never => refuseAt(right.at, `argument of ${word} must be an array`)
  const element =
    right.type === oids.unknown
      ? oids.unknown
      : (catalogue.type(catalogue.baseType(right.type))?.element ?? 0)
  if (element === 0) return notArray()
  const entry = findOperator(scope, schema, name === "!=" ? "<>" : name, left.type, element, at)
  requireSettled(scope, entry.function, at, `operator ${name}`)
  const resolved = resolvePolymorphic(
    catalogue,
    [entry.left, entry.right],
    [left.type, element],
    entry.result
  )
  const mismatch = (): never => refuseAt(at, "Could not select an operator overload")
  if (resolved === undefined || resolved.result === 0) return mismatch()
  if (resolved.result !== oids.bool) return refuseAt(at, "ANY/ALL requires operator that returns bool")
  const [leftType = 0, rightType = 0] = resolved.args
  const arrayType = rightType === element ? right.type : (catalogue.type(rightType)?.array ?? 0)
  if (arrayType === 0) return refuseAt(right.at, "there is no array type for the operand of ANY or ALL")
  const a = coerce(scope, left, leftType, "implicit") ?? mismatch()
  const b = coerce(scope, right, arrayType === oids.unknown ? oids.text : arrayType, "implicit") ?? mismatch()
  return {
    kind: "arrayOperation",
    any,
    operator: { schema: entry.schema, name: entry.name },
    function: entry.function,
    left: a,
    right: b,
    inputCollation: inputOf([a, b], at),
    ...booleanType,
    at
  }
}

const hasColumns = (expression: Expression): boolean => {
  switch (expression.kind) {
    case "constant":
      return false
    case "column":
      return true
    case "cast":
    case "collate":
      return hasColumns(expression.arg)
    case "call":
    case "row":
      return expression.args.some(hasColumns)
    case "array":
      return expression.elements.some(hasColumns)
    default:
      return true
  }
}

/** `IN (…)`: constants of one type become an array, as in Postgres; what remains is compared one by one. */
const inList = (scope: Scope, name: string, node: A_Expr, inner: Inner, at: number): Expression => {
  const negated = name === "<>"
  const list = node.rexpr !== undefined && "List" in node.rexpr ? (node.rexpr.List.items ?? []) : []
  const left = inner(node.lexpr)
  const items = list.map(inner)
  const combine = negated ? and : or
  const parts: Array<Expression> = []
  let singles = items
  const fixed = items.filter((item) => !hasColumns(item))
  if (fixed.length > 1 && left.kind !== "row") {
    const array = constantArray(scope, left, fixed, at)
    if (array !== undefined) {
      parts.push(arrayOperation(scope, undefined, name, !negated, left, array, at))
      singles = items.filter((item) => !fixed.includes(item))
    }
  }
  for (const item of singles) parts.push(operation(scope, undefined, name, left, item, at))
  return combine(parts, at)
}

const constantArray = (
  scope: Scope,
  left: Expression,
  items: ReadonlyArray<Expression>,
  at: number
): Expression | undefined => {
  const { catalogue } = scope
  const type = commonType(catalogue, [left.type, ...items.map((item) => item.type)])
  if (type === undefined || type === oids.record) return undefined
  const array = catalogue.type(type)?.array ?? 0
  if (array === 0 || items.some((item) => !canCoerce(catalogue, item.type, type, "implicit")))
    return undefined
  const elements = items.map((item) => coerce(scope, item, type, "implicit"))
  if (elements.some((element) => element === undefined)) return undefined
  const collation = catalogue.type(array)?.collation ?? 0
  return {
    kind: "array",
    elements: elements as ReadonlyArray<Expression>,
    nested: false,
    type: array,
    typmod: -1,
    collation,
    strength: collation === 0 ? "none" : "implicit",
    at
  }
}

const between = (scope: Scope, kind: string, node: A_Expr, inner: Inner, at: number): Expression => {
  const [low, high] = node.rexpr !== undefined && "List" in node.rexpr ? (node.rexpr.List.items ?? []) : []
  const value = inner(node.lexpr)
  const a = inner(low)
  const b = inner(high)
  const compare = (operator: string, bound: Expression): Expression =>
    operation(scope, undefined, operator, value, bound, at)
  const inside = (x: Expression, y: Expression): Expression => and([compare(">=", x), compare("<=", y)], at)
  const outside = (x: Expression, y: Expression): Expression => or([compare("<", x), compare(">", y)], at)
  if (kind === "AEXPR_BETWEEN") return inside(a, b)
  if (kind === "AEXPR_NOT_BETWEEN") return outside(a, b)
  if (kind === "AEXPR_BETWEEN_SYM") return or([inside(a, b), inside(b, a)], at)
  return and([outside(a, b), outside(b, a)], at)
}
