import type {
  A_ArrayExpr,
  A_Const,
  A_Expr,
  A_Indirection,
  CaseExpr,
  ColumnRef,
  FuncCall,
  Node
} from "libpg-query"
import { aboveLimit } from "../../config/Limits.ts"
import { oids, type Expression, type Typed } from "../expression/Expression.ts"
import { parseInteger } from "../values/Integer.ts"
import { refuseAt } from "../WhereError.ts"
import { functionCall, operatorCall } from "./Calls.ts"
import { castTo, coerce, settledRow } from "./Coerce.ts"
import { commonType } from "./Coercion.ts"
import { mergeCollations, resultCollation } from "./Collations.ts"
import { booleanType, requireBoolean } from "./Boolean.ts"
import { transformOperator, inputOf } from "./Operators.ts"
import { depthLimit, nodesPerToken, parameter, quoteIfNeeded, type Scope } from "./Scope.ts"
import { describeType, qualified, resolveTypeName, stringOf } from "./TypeNames.ts"

/** Turns the syntax tree of an expression into a typed one; throws `Refusal`. */
export const transform = (scope: Scope, node: Node | undefined, depth = 0): Expression => {
  if (node === undefined) return refuseAt(-1, "incomplete expression")
  if (depth > depthLimit) return refuseAt(-1, "the clause is nested too deep")
  if (++scope.budget.nodes > nodesPerToken * scope.limits.clauseTokens)
    return refuseAt(-1, aboveLimit("clauseTokens", scope.limits))
  const inner = (child: Node | undefined): Expression => transform(scope, child, depth + 1)
  if ("A_Expr" in node) return transformOperator(scope, node.A_Expr as A_Expr, inner)
  if ("ColumnRef" in node) return column(scope, node.ColumnRef as ColumnRef)
  if ("A_Const" in node) return constant(scope, node.A_Const as A_Const)
  if ("ParamRef" in node) {
    return parameter(scope, node.ParamRef.number ?? 0, scope.position(node.ParamRef.location))
  }
  if ("BoolExpr" in node) {
    const at = scope.position(node.BoolExpr.location)
    const args = (node.BoolExpr.args ?? []).map((arg) => requireBoolean(scope, inner(arg)))
    const first = args[0]
    if (node.BoolExpr.boolop === "NOT_EXPR" && first !== undefined) {
      return { kind: "not", arg: first, ...booleanType, at }
    }
    return { kind: node.BoolExpr.boolop === "AND_EXPR" ? "and" : "or", args, ...booleanType, at }
  }
  if ("TypeCast" in node) {
    const at = scope.position(node.TypeCast.location)
    const named = resolveTypeName(scope, node.TypeCast.typeName ?? {}, at)
    const source = node.TypeCast.arg
    if (source !== undefined && "A_ArrayExpr" in source && named.entry.element !== 0) {
      const array = arrayConstructor(scope, source.A_ArrayExpr as A_ArrayExpr, inner, named.entry.oid)
      return castTo(scope, array, named.entry.oid, named.typmod, at)
    }
    return castTo(
      scope,
      inner(source),
      named.entry.oid,
      named.typmod,
      at < 0 ? scope.position(node.TypeCast.typeName?.location) : at
    )
  }
  if ("FuncCall" in node) return call(scope, node.FuncCall as FuncCall, inner)
  if ("NullTest" in node) {
    const arg = inner(node.NullTest.arg)
    const negated = node.NullTest.nulltesttype === "IS_NOT_NULL"
    return {
      kind: "nullTest",
      arg: literalAsText(scope, arg),
      negated,
      ...booleanType,
      at: scope.position(node.NullTest.location)
    }
  }
  if ("BooleanTest" in node) {
    const at = scope.position(node.BooleanTest.location)
    const [, not, test] = /^IS_(NOT_)?(TRUE|FALSE|UNKNOWN)$/.exec(node.BooleanTest.booltesttype ?? "") ?? []
    const shown = `${not === undefined ? "" : "NOT "}${test ?? ""}`
    const arg = inner(node.BooleanTest.arg)
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
  if ("CaseExpr" in node) return caseOf(scope, node.CaseExpr as CaseExpr, inner)
  if ("CoalesceExpr" in node) {
    const args = toCommon(scope, (node.CoalesceExpr.args ?? []).map(inner), "COALESCE")
    return { kind: "coalesce", args, ...typeOf(scope, args), at: scope.position(node.CoalesceExpr.location) }
  }
  if ("MinMaxExpr" in node) {
    const greatest = node.MinMaxExpr.op === "IS_GREATEST"
    const args = toCommon(scope, (node.MinMaxExpr.args ?? []).map(inner), greatest ? "GREATEST" : "LEAST")
    const at = scope.position(node.MinMaxExpr.location)
    return { kind: "minmax", greatest, args, inputCollation: inputOf(args, at), ...typeOf(scope, args), at }
  }
  if ("A_ArrayExpr" in node) return arrayConstructor(scope, node.A_ArrayExpr as A_ArrayExpr, inner, 0)
  if ("A_Indirection" in node) return indirection(scope, node.A_Indirection as A_Indirection, inner)
  if ("RowExpr" in node) {
    // What is untyped in it waits for what it is compared with.
    const args = (node.RowExpr.args ?? []).map(inner)
    return {
      kind: "row",
      args,
      type: oids.record,
      typmod: -1,
      collation: 0,
      strength: "none",
      at: scope.position(node.RowExpr.location)
    }
  }
  if ("CollateClause" in node) {
    const at = scope.position(node.CollateClause.location)
    const { schema, name } = qualified(node.CollateClause.collname)
    const found = scope.catalogue.collationNamed(schema, name)
    if (found === undefined) return refuseAt(at, `unknown collation ${quoteIfNeeded(name)}`)
    const arg = literalAsText(scope, inner(node.CollateClause.arg))
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
  if ("SubLink" in node) {
    const at = scope.position(node.SubLink.location)
    if (node.SubLink.subLinkType === "ANY_SUBLINK" && node.SubLink.operName === undefined) {
      return refuseAt(at, "subqueries are not supported in where clauses yet")
    }
    return refuseAt(at, "only `value IN (SELECT ...)` sublinks are supported right now")
  }
  const kind = Object.keys(node)[0] ?? "expression"
  const body = Object.values(node)[0] as { readonly location?: number } | undefined
  return refuseAt(scope.position(body?.location), `${kind} is not supported in this context`)
}

/** An untyped literal that nothing gives a type is text. */
const literalAsText = (scope: Scope, arg: Expression): Expression =>
  arg.type === oids.unknown
    ? (coerce(scope, arg, oids.text, "implicit") ?? arg)
    : arg.kind === "row"
      ? settledRow(scope, arg)
      : arg

const typeOf = (scope: Scope, args: ReadonlyArray<Expression>): Omit<Typed, "at"> => {
  const type = args[0]?.type ?? oids.text
  const typmod = args.every((arg) => arg.typmod === args[0]?.typmod) ? (args[0]?.typmod ?? -1) : -1
  return {
    type,
    typmod,
    ...resultCollation(mergeCollations(args), scope.catalogue.type(type)?.collation ?? 0)
  }
}

const toCommon = (scope: Scope, args: ReadonlyArray<Expression>, what: string): ReadonlyArray<Expression> => {
  const type = commonType(
    scope.catalogue,
    args.map((arg) => arg.type)
  )
  const at = args[0]?.at ?? -1
  const clash = (arg: Expression): never =>
    refuseAt(
      arg.at,
      `${what} types ${describeType(scope.catalogue, args[0]?.type ?? 0)} and ${describeType(scope.catalogue, arg.type)} cannot be matched`
    )
  if (type === undefined) {
    const odd = args.find((arg) => commonType(scope.catalogue, [args[0]?.type ?? 0, arg.type]) === undefined)
    return odd === undefined ? refuseAt(at, `${what} types cannot be matched`) : clash(odd)
  }
  return args.map((arg) => coerce(scope, arg, type, "implicit") ?? clash(arg))
}

const column = (scope: Scope, ref: ColumnRef): Expression => {
  const at = scope.position(ref.location)
  const parts = (ref.fields ?? []).map((field) => ("A_Star" in field ? "*" : quoteIfNeeded(stringOf(field))))
  const only = ref.fields?.[0]
  const name = stringOf(only)
  const info =
    ref.fields?.length === 1 && only !== undefined && "String" in only ? scope.columns.get(name) : undefined
  if (info === undefined) return refuseAt(at, `unknown reference ${parts.join(".")}`)
  scope.used.add(name)
  return {
    kind: "column",
    name,
    type: info.typeOid,
    typmod: info.typeModifier,
    collation: info.collationOid,
    strength: info.collationOid === 0 ? "none" : "implicit",
    at
  }
}

const constant = (scope: Scope, node: A_Const): Expression => {
  const at = scope.position(node.location)
  const make = (type: number, value: string | null): Expression => ({
    kind: "constant",
    value,
    parameter: undefined,
    type,
    typmod: -1,
    collation: 0,
    strength: "none",
    at
  })
  if (node.isnull === true) return make(oids.unknown, null)
  if (node.ival !== undefined) return make(oids.int4, String(node.ival.ival ?? 0))
  if (node.boolval !== undefined) return make(oids.bool, node.boolval.boolval === true ? "t" : "f")
  if (node.sval !== undefined) return make(oids.unknown, node.sval.sval ?? "")
  if (node.bsval !== undefined) {
    const text = node.bsval.bsval ?? "b"
    const bits = Array.from(text.slice(1), (digit) =>
      text.startsWith("x") ? Number.parseInt(digit, 16).toString(2).padStart(4, "0") : digit
    ).join("")
    return /^[01]*$/.test(bits) ? make(oids.bit, bits) : refuseAt(at, `invalid bit string ${text}`)
  }
  const text = node.fval?.fval ?? "0"
  if (/^-?(?:0x[\da-f_]+|0o[0-7_]+|0b[01_]+|\d[\d_]*)$/i.test(text)) {
    try {
      const value = parseInteger(text, "int8")
      const fits = value >= -2147483648 && value <= 2147483647
      return make(fits ? oids.int4 : oids.int8, String(value))
    } catch {
      // Beyond bigint: numeric.
    }
    const magnitude = BigInt(text.replace("-", "").replaceAll("_", ""))
    return make(oids.numeric, String(text.startsWith("-") ? -magnitude : magnitude))
  }
  return make(oids.numeric, plainDecimal(text.replaceAll("_", ""), at))
}

/** A decimal literal as `numeric` prints it. */
const plainDecimal = (text: string, at: number): string => {
  const [mantissa = "", exponentText = "0"] = text.toLowerCase().split("e")
  const negative = mantissa.startsWith("-")
  const [whole = "", fraction = ""] = mantissa.replace(/^[+-]/, "").split(".")
  const exponent = Number(exponentText)
  if (Math.abs(exponent) > 100_000) return refuseAt(at, `invalid syntax for type numeric: ${text}`)
  const scale = fraction.length - exponent
  let digits = (whole + fraction).replace(/^0+(?=\d)/, "")
  if (scale < 0) digits += "0".repeat(-scale)
  const padded = scale > 0 ? digits.padStart(scale + 1, "0") : digits
  const body = scale > 0 ? `${padded.slice(0, -scale)}.${padded.slice(-scale)}` : padded
  return negative ? `-${body}` : body
}

const call = (scope: Scope, node: FuncCall, inner: (child: Node | undefined) => Expression): Expression => {
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
    return refuseAt(at, "aggregation is not supported in this context")
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

const caseOf = (scope: Scope, node: CaseExpr, inner: (child: Node | undefined) => Expression): Expression => {
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

const arrayConstructor = (
  scope: Scope,
  node: A_ArrayExpr,
  inner: (child: Node | undefined) => Expression,
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

const indirection = (
  scope: Scope,
  node: A_Indirection,
  inner: (child: Node | undefined) => Expression
): Expression => {
  let value = inner(node.arg)
  let pending: Array<{ lower: Expression | undefined; upper: Expression | undefined; isSlice: boolean }> = []
  const flush = (): void => {
    if (pending.length > 0) value = subscript(scope, value, pending)
    pending = []
  }
  for (const step of node.indirection ?? []) {
    if ("A_Indices" in step) {
      const index = (child: Node | undefined): Expression | undefined =>
        child === undefined ? undefined : inner(child)
      pending.push({
        lower: index(step.A_Indices.lidx),
        upper: index(step.A_Indices.uidx),
        isSlice: step.A_Indices.is_slice === true
      })
      continue
    }
    flush()
    if (!("String" in step)) return refuseAt(value.at, "A_Star is not supported in this context")
    value = field(scope, value, stringOf(step))
  }
  flush()
  return value
}

const field = (scope: Scope, record: Expression, name: string): Expression => {
  const { fields } = scope.catalogue.type(scope.catalogue.baseType(record.type)) ?? {}
  const index = fields?.findIndex((one) => one.name === name) ?? -1
  const found = fields?.[index]
  if (found === undefined) {
    return refuseAt(
      record.at,
      `type ${describeType(scope.catalogue, record.type)} has no field ${quoteIfNeeded(name)}`
    )
  }
  return {
    kind: "field",
    record,
    name,
    index,
    type: found.type,
    typmod: found.typmod,
    collation: found.collation,
    strength: found.collation === 0 ? "none" : "implicit",
    at: record.at
  }
}

const subscript = (
  scope: Scope,
  container: Expression,
  indexes: ReadonlyArray<{ lower: Expression | undefined; upper: Expression | undefined; isSlice: boolean }>
): Expression => {
  const { at } = container
  const base = scope.catalogue.baseType(container.type)
  const slice = indexes.some((index) => index.isSlice)
  if (base === oids.jsonb && !slice) {
    const converted = indexes.map((index) => {
      const key = index.upper
      const type =
        key !== undefined && (key.type === oids.int4 || key.type === oids.int8 || key.type === oids.int2)
          ? oids.int4
          : oids.text
      const upper = key === undefined ? undefined : coerce(scope, key, type, "assignment")
      return {
        lower: undefined,
        upper: upper ?? refuseAt(at, "a jsonb subscript must be text or integer"),
        isSlice: false
      }
    })
    return {
      kind: "subscript",
      container,
      slice,
      indexes: converted,
      type: base,
      typmod: -1,
      collation: 0,
      strength: "none",
      at
    }
  }
  const element = scope.catalogue.type(base)?.element ?? 0
  if (element === 0) {
    return refuseAt(
      at,
      `cannot subscript type ${describeType(scope.catalogue, container.type)} because it is not an array`
    )
  }
  if (indexes.length > 6) return refuseAt(at, "number of array dimensions exceeds the maximum allowed (6)")
  const toIndex = (index: Expression | undefined): Expression | undefined =>
    index === undefined
      ? undefined
      : (coerce(scope, index, oids.int4, "assignment") ??
        refuseAt(at, "array subscript must have type integer"))
  const type = slice ? base : element
  return {
    kind: "subscript",
    container,
    slice,
    indexes: indexes.map((index) => ({
      lower: toIndex(index.lower),
      upper: toIndex(index.upper),
      isSlice: index.isSlice
    })),
    type,
    typmod: -1,
    ...resultCollation(container, scope.catalogue.type(type)?.collation ?? 0),
    at
  }
}
