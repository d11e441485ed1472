import { Result } from "effect"
import type { Node } from "libpg-query"
import { standardLimits, type Limits } from "../config/Limits.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import { identifier, parseOrderBy } from "./parse/Parser.ts"
import { literal } from "./print/PrintExpression.ts"
import { quoteIfNeeded } from "./resolve/Scope.ts"
import { stringOf } from "./resolve/TypeNames.ts"
import { refuse, refuseAt, Refusal, type WhereError } from "./WhereError.ts"

/**
 * Checks an ORDER BY list and writes it anew: columns and constants, with direction and place of NULLs. Columns
 * outside `queryableColumns` do not exist. The result is what follows `ORDER BY`.
 */
export const compileOrderBy = (
  text: string,
  table: TableInfo,
  queryableColumns?: ReadonlyArray<string>,
  limits: Limits = standardLimits
): Result.Result<string, WhereError> => {
  try {
    const { items, position } = parseOrderBy(text, limits)
    const allowed = new Set(queryableColumns ?? table.columns.map((column) => column.name))
    const names = new Set(
      table.columns.filter((column) => allowed.has(column.name)).map((column) => column.name)
    )
    return Result.succeed(items.map((item) => printItem(item, names, position)).join(", "))
  } catch (failure) {
    if (!(failure instanceof Refusal)) throw failure
    return Result.fail({ ...failure.error, parameter: "order_by" })
  }
}

type Position = (location: number | undefined) => number

const printItem = (item: Node, names: ReadonlySet<string>, position: Position): string => {
  if (!("SortBy" in item)) return refuse("malformed query ending with SQL clauses")
  const { node, sortby_dir: direction, sortby_nulls: nulls, useOp } = item.SortBy
  if (useOp !== undefined || direction === "SORTBY_USING") {
    return refuseAt(position(item.SortBy.location), "USING is not allowed in ORDER BY clauses")
  }
  const order = direction === "SORTBY_DESC" ? " DESC" : direction === "SORTBY_ASC" ? " ASC" : ""
  const place =
    nulls === "SORTBY_NULLS_FIRST" ? " NULLS FIRST" : nulls === "SORTBY_NULLS_LAST" ? " NULLS LAST" : ""
  return printKey(node, names, position) + order + place
}

const printKey = (node: Node | undefined, names: ReadonlySet<string>, position: Position): string => {
  if (node === undefined) return refuse("malformed query ending with SQL clauses")
  if ("ColumnRef" in node) {
    const fields = node.ColumnRef.fields ?? []
    const name = stringOf(fields[0])
    if (fields.length === 1 && names.has(name)) return identifier(name)
    const shown = fields.map((field) => ("A_Star" in field ? "*" : quoteIfNeeded(stringOf(field)))).join(".")
    return refuseAt(position(node.ColumnRef.location), `unknown reference ${shown}`)
  }
  if ("A_Const" in node) {
    const { ival, sval } = node.A_Const
    // A bare number would mean the column at that place of the select list.
    if (ival !== undefined) return `(${ival.ival ?? 0})::integer`
    if (sval !== undefined) return `(${literal(sval.sval ?? "")})::text`
    return "NULL::text"
  }
  if ("ParamRef" in node) {
    const shown = `parameter $${node.ParamRef.number ?? 0} is not supported in ORDER BY clauses`
    return refuseAt(position(node.ParamRef.location), shown)
  }
  const kind = Object.keys(node)[0] ?? "such"
  const body = Object.values(node)[0] as { readonly location?: number } | undefined
  return refuseAt(position(body?.location), `${kind} expressions are not allowed in ORDER BY clauses`)
}
