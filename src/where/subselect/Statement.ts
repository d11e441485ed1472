import type { Node, SelectStmt, SubLink } from "libpg-query"
import type { NestedLoop } from "../expression/Expression.ts"
import { qualified } from "../resolve/TypeNames.ts"
import { refuseAt } from "../WhereError.ts"

/** How a sub-select is used. */
export interface Use {
  readonly how: NestedLoop["how"]
  /** `<> ALL`: none of the values selected is the one on the left. */
  readonly negated: boolean
}

const onlyIn = "only IN, = ANY and <> ALL compare with the values of a sub-select"

/** Throws `Refusal` for what is not supported. */
export const useOf = (node: SubLink, at: number): Use => {
  const operator = node.operName === undefined ? undefined : qualified(node.operName).name
  switch (node.subLinkType) {
    case "EXISTS_SUBLINK":
      return { how: "exists", negated: false }
    case "EXPR_SUBLINK":
      return { how: "value", negated: false }
    case "ANY_SUBLINK":
      if (operator === undefined || operator === "=") return { how: "any", negated: false }
      return refuseAt(at, `${operator} ANY (SELECT ...) is not supported: ${onlyIn}`)
    case "ALL_SUBLINK":
      if (operator === "<>" || operator === "!=") return { how: "any", negated: true }
      return refuseAt(at, `${operator ?? ""} ALL (SELECT ...) is not supported: ${onlyIn}`)
    case "ARRAY_SUBLINK":
      return refuseAt(
        at,
        "ARRAY(SELECT ...) is not supported: write value IN (SELECT ...) to ask whether a value is among those selected"
      )
    default:
      return refuseAt(at, `this kind of sub-select is not supported: ${onlyIn}`)
  }
}

/** The SELECT of a sub-select, once it is clear that it has no parts that are not supported. Throws `Refusal`. */
export const statementOf = (node: SubLink, how: Use["how"], at: number): SelectStmt => {
  const statement = node.subselect
  if (statement === undefined || !("SelectStmt" in statement))
    return refuseAt(at, "a sub-select must be a SELECT")
  const select: SelectStmt = statement.SelectStmt
  const refused = unsupported(select, how)
  return refused === undefined
    ? select
    : refuseAt(at, `${refused[0]} is not supported in a sub-select: ${refused[1]}`)
}

type Advice = readonly [part: string, advice: string]

const unsupported = (select: SelectStmt, how: Use["how"]): Advice | undefined => {
  if (select.withClause !== undefined)
    return ["WITH", "put its condition into the sub-select, as value IN (SELECT ...)"]
  if (select.op !== undefined && select.op !== "SETOP_NONE") return setOperation(select.op)
  if (select.valuesLists !== undefined) return ["VALUES", "write value IN (1, 2) instead"]
  if (select.intoClause !== undefined) return ["INTO", "leave it away"]
  if (select.groupClause !== undefined)
    return [
      "GROUP BY",
      how === "value"
        ? "store the value in a column"
        : "leave it away, the same value may be selected many times"
    ]
  if (select.havingClause !== undefined) return ["HAVING", "write a condition on single rows into WHERE"]
  if (select.windowClause !== undefined) return ["WINDOW", "leave it away"]
  if (select.lockingClause !== undefined) return ["FOR UPDATE or FOR SHARE", "leave it away"]
  if (select.limitOffset !== undefined)
    return ["OFFSET", "which rows it leaves away depends on all others; write a condition into WHERE"]
  const { limitCount } = select
  if (limitCount !== undefined && !isWithoutEffect(limitCount, how))
    return [
      "LIMIT",
      how === "value"
        ? "a sub-select that is compared with = must have one row at most by its condition"
        : "which rows it leaves away depends on all others; write a condition into WHERE"
    ]
  const distinct = select.distinctClause
  if (distinct !== undefined && distinct.some((part) => Object.keys(part).length > 0))
    return ["DISTINCT ON", "leave it away, or write a condition into WHERE"]
  if (select.fromClause === undefined || select.fromClause.length === 0)
    return ["SELECT without FROM", "write the value or the condition itself"]
  return undefined
}

const setOperation = (op: NonNullable<SelectStmt["op"]>): Advice =>
  op === "SETOP_UNION"
    ? ["UNION", "join two sub-selects with OR"]
    : op === "SETOP_INTERSECT"
      ? ["INTERSECT", "join two sub-selects with AND"]
      : ["EXCEPT", "write value IN (SELECT ...) AND value NOT IN (SELECT ...)"]

/** LIMIT ALL, and LIMIT 1 in EXISTS. */
const isWithoutEffect = (limit: Node, how: Use["how"]): boolean => {
  if (!("A_Const" in limit)) return false
  const { ival, isnull } = limit.A_Const as {
    readonly ival?: { readonly ival?: number }
    readonly isnull?: boolean
  }
  return isnull === true || (how === "exists" && (ival?.ival ?? 0) > 0)
}
