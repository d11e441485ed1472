import type { Form, SubselectForm, SubselectPlan } from "../evaluate/Form.ts"
import type { Expression, Subselect } from "../expression/Expression.ts"
import { hasSubselect } from "../expression/References.ts"
import { filterOf } from "../print/PrintSubselect.ts"
import { typeSpecOf } from "../resolve/TypeSpecs.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"
import { refuseAt } from "../WhereError.ts"
import { asKeyed, type Key, keyOf, keyOfValue } from "./Keys.ts"
import type { Lowers } from "./Lowers.ts"
import { movesOf } from "./Moves.ts"

/** Sub-selects inside each other, those that joined tables become included. Their constants are lists in lists, as texts. */
const mostLevels = 10

/**
 * Lowers a sub-select in an expression that `around` lowers; `undefined` where its values cannot be told apart here, so that its rows
 * have to be gone through. `keysOfRows`: for values of rows, how others like them are identified. Throws `Refusal`.
 */
export const lowerSubselect = (
  around: Lowers,
  expression: Subselect,
  keysOfRows?: ReadonlyArray<Key>
): SubselectForm | undefined => {
  const { catalogue } = around
  const inner = around.inside()
  if (inner.level > mostLevels)
    return refuseAt(
      expression.at,
      `more than ${mostLevels} sub-selects, or tables of one, inside each other are not supported`
    )
  const { condition, equalities, table, ...query } = expression.query
  const left = [...expression.group, ...expression.probe]
  const right = [...query.group, ...query.select]
  const keys: Array<Key> = []
  for (const [i, equality] of equalities.entries()) {
    const [a, b] = [left[i], right[i]]
    if (a === undefined || b === undefined) return refuseAt(expression.at, "incomplete sub-select")
    const key = keyOf(catalogue, equality, a, b, expression.at)
    if (key === undefined) return undefined
    keys.push(key)
  }
  if (expression.how === "value") {
    const key = keyOfValue(catalogue, query.select[0])
    if (key === undefined) return undefined
    keys.push(key)
  } else if (expression.how === "rows")
    keys.push(
      ...(keysOfRows ??
        query.select.map(({ type }): Key => ({ type: typeSpecOf(catalogue, type), collation: "c" })))
    )
  const mine = right.map((one, i) => asKeyed(plain(inner, one), catalogue, one, keys[i]))
  const group = mine.slice(0, query.group.length)
  const select = mine.slice(query.group.length)
  const root: Form = condition === undefined ? { b: true } : inner.condition(condition, true)
  around.reasons.push(...inner.reasons)
  const filter = filterOf(catalogue, condition, inner.constants)
  const moves = movesOf(catalogue, root, inner.subselects)
  const sub: SubselectPlan = {
    table,
    plan: { columns: inner.columns, constants: inner.types, root },
    group,
    select,
    keys,
    ...(query.distinct ? { distinct: true } : {}),
    ...(filter === undefined ? {} : { filter: filter.parts }),
    ...(moves.length === 0 ? {} : { moves })
  }
  const theirs = left.map((one, i) => asKeyed(around.value(one), catalogue, one, keys[i]))
  const outer = {
    group: theirs.slice(0, expression.group.length),
    probe: theirs.slice(expression.group.length)
  }
  const slot = around.slot(JSON.stringify([...inner.constants, ...(filter?.constants ?? [])]), "text")
  const form: SubselectForm = { sub, slot: "k" in slot ? slot.k : 0, how: expression.how, ...outer }
  around.subselects.set(form, { subselect: expression, loops: around.loops.length })
  return form
}

/** A value of a row of the sub-select's table. Constants are part of it, so that it says the same for every clause. */
const plain = (inner: Lowers, expression: Expression): Form => {
  if (hasSubselect(expression)) throw new Error("what a sub-select gives is made of another one")
  const form = inner.value(expression)
  // What takes the place of a constant is a form as well.
  const inlined = inline(form, inner.constants, inner.types) as Form
  inner.constants.length = 0
  inner.types.length = 0
  inner.soft.clear()
  return inlined
}

const inline = (
  value: unknown,
  constants: ReadonlyArray<string>,
  types: ReadonlyArray<TypeSpec>
): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map((part) => inline(part, constants, types))
  if ("k" in value && typeof value.k === "number")
    return { v: constants[value.k] ?? "", t: types[value.k] ?? "text" }
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, inline(part, constants, types)]))
}
