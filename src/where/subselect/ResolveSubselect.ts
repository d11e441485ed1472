import type { Node, SelectStmt } from "libpg-query"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { Expression, Selected } from "../expression/Expression.ts"
import { booleanType, requireBoolean } from "../resolve/Boolean.ts"
import { operatorCall } from "../resolve/Calls.ts"
import { literalAsText } from "../resolve/CommonTypes.ts"
import { quoteIfNeeded, type Scope, type SubselectResolver } from "../resolve/Scope.ts"
import { stringOf } from "../resolve/TypeNames.ts"
import { Refusal, refuseAt } from "../WhereError.ts"
import { readFrom, type ResolveIn } from "./From.ts"
import type { Members } from "./Members.ts"
import { equalityOf } from "./Parts.ts"
import { queryOf } from "./Query.ts"
import { columnsBeside } from "../expression/References.ts"
import { statementOf, useOf, type Use } from "./Statement.ts"

/** Resolves the sub-selects of one clause over these tables (by `tableKey`), and notes in `members` what they read. */
export const subselectResolver =
  (tables: ReadonlyMap<string, TableInfo>, members: Members): SubselectResolver =>
  (outer, node, resolveIn) => {
    const at = outer.position(node.location)
    const use = useOf(node, at)
    const select = statementOf(node, use.how, at)
    const { conditions, scope } = readFrom(outer, select.fromClause ?? [], tables, members, resolveIn, at)
    const where =
      select.whereClause === undefined ? [] : [requireBoolean(scope, resolveIn(scope, select.whereClause))]
    const values = selectedValues(scope, select, use, resolveIn, at)
    const probe = use.how === "any" ? probesOf(outer, node.testexpr, values.length, resolveIn, at) : []
    const selected = use.how === "any" ? linked(outer, probe, values, at) : values.map((value) => ({ value }))
    const made = queryOf({
      scope,
      conditions: [...conditions, ...where],
      selected,
      how: use.how,
      distinct: use.how === "value" && select.distinctClause !== undefined,
      at
    })
    return use.negated ? { kind: "not", arg: made, ...booleanType, at } : made
  }

/** What is selected, over the columns of the tables in FROM. Of EXISTS it is looked at and forgotten. */
const selectedValues = (
  scope: Scope,
  select: SelectStmt,
  { how }: Use,
  resolveIn: ResolveIn,
  at: number
): ReadonlyArray<Expression> => {
  const targets = (select.targetList ?? []).map((target) =>
    "ResTarget" in target ? target.ResTarget.val : undefined
  )
  if (how === "exists") {
    const aside: Scope = {
      ...scope,
      sources: scope.sources.map((source) => ({ ...source, used: new Set() }))
    }
    for (const target of targets) if (!isStar(target)) resolveIn(aside, target)
    return []
  }
  const values = targets.flatMap((target) =>
    isStar(target)
      ? allColumns(scope, target)
      : [literalAsText(scope, selectedValue(scope, target, resolveIn))]
  )
  if (how === "value" && values.length !== 1)
    return refuseAt(
      at,
      "a sub-select that is a value must select one column: write (a, b) IN (SELECT x, y ...) to compare several"
    )
  for (const one of values)
    if (columnsBeside(one).some(({ up = 0 }) => up > 0))
      return refuseAt(
        one.at,
        "the list of a SELECT inside a clause can only name columns of its own tables, not of the row around it: write such a comparison outside the sub-select"
      )
  return values
}

const isStar = (node: Node | undefined): boolean =>
  node !== undefined && "ColumnRef" in node && "A_Star" in (node.ColumnRef.fields?.at(-1) ?? {})

const selectedValue = (scope: Scope, target: Node | undefined, resolveIn: ResolveIn): Expression => {
  try {
    return resolveIn(scope, target)
  } catch (failure) {
    const isColumn = target !== undefined && "ColumnRef" in target
    if (!isColumn || !(failure instanceof Refusal) || !failure.error.message.includes("unknown reference"))
      throw failure
    const name = (target.ColumnRef.fields ?? []).map((field) => quoteIfNeeded(stringOf(field))).join(".")
    const message = `The following columns are not found on the table: ${name}`
    throw new Refusal({ ...failure.error, message, parameter: "columns" })
  }
}

/** What `*` stands for changes when the table gets another column. */
const allColumns = (scope: Scope, node: Node | undefined): never => {
  const at = scope.position(node !== undefined && "ColumnRef" in node ? node.ColumnRef.location : undefined)
  return refuseAt(at, "* is only supported in EXISTS (SELECT * ...): name the columns")
}

/** The left side of IN, value by value. */
const probesOf = (
  outer: Scope,
  node: Node | undefined,
  count: number,
  resolveIn: ResolveIn,
  at: number
): ReadonlyArray<Expression> => {
  const left = resolveIn(outer, node)
  const values = left.kind === "row" ? left.args : [left]
  if (values.length !== count)
    return refuseAt(
      at,
      `the left side of IN (SELECT ...) has ${values.length} ${values.length === 1 ? "value" : "values"} but ${count} ${count === 1 ? "is" : "are"} selected`
    )
  return values
}

/** Brings each pair to types that can be compared. */
const linked = (
  outer: Scope,
  probe: ReadonlyArray<Expression>,
  values: ReadonlyArray<Expression>,
  at: number
): ReadonlyArray<Selected> =>
  values.map((value, i) => {
    const call = operatorCall(outer, undefined, "=", probe[i], value, at)
    const [left, right] = call.args
    if (left === undefined || right === undefined)
      return refuseAt(at, "IN requires = operator to yield boolean")
    return { value: right, probe: left, equality: equalityOf(call) }
  })
