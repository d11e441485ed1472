import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { type Form, type FormColumn, some, type SubselectForm, type SubselectPlan } from "../evaluate/Form.ts"
import type { Equality, Expression, Subselect } from "../expression/Expression.ts"
import { natives } from "../native/index.ts"
import { filterOf } from "../print/PrintSubselect.ts"
import { builtinKey } from "../resolve/Volatility.ts"
import { describeType } from "../resolve/TypeNames.ts"
import { collationKindOf, typeSpecOf } from "../resolve/TypeSpecs.ts"
import { codecOf } from "../values/Codecs.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"
import { refuseAt } from "../WhereError.ts"
import { movesOf } from "./Moves.ts"

/** What lowers expressions about rows of one table. */
interface Lowers {
  readonly catalogue: TypeCatalogue
  readonly columns: ReadonlyArray<FormColumn>
  readonly constants: Array<string>
  readonly types: Array<TypeSpec>
  readonly soft: Set<number>
  readonly reasons: Array<string>
  /** What each of the sub-selects was made of. */
  readonly subselects: Map<SubselectForm, Subselect>
  readonly condition: (expression: Expression) => Form
  readonly value: (expression: Expression) => Form
  readonly slot: (value: string, spec: TypeSpec) => Form
  /** How many sub-selects it is inside of. */
  readonly level: number
}

/** Sub-selects inside each other, those that joined tables become included. Their constants are lists in lists, as texts. */
const mostLevels = 10

/** Lowers a sub-select in an expression that `around` lowers; `inner` lowers what is about rows of its table. Throws `Refusal`. */
export const lowerSubselect = (around: Lowers, inner: Lowers, expression: Subselect): SubselectForm => {
  const { catalogue } = around
  if (inner.level > mostLevels)
    return refuseAt(
      expression.at,
      `more than ${mostLevels} sub-selects, or tables of one, inside each other are not supported`
    )
  const { condition, equalities, table, ...query } = expression.query
  const left = [...expression.group, ...expression.probe]
  const right = [...query.group, ...query.select]
  const keys = equalities.map((equality, i): Key => {
    const [a, b] = [left[i], right[i]]
    if (a === undefined || b === undefined) return refuseAt(expression.at, "incomplete sub-select")
    return keyOf(catalogue, equality, a, b, expression.at)
  })
  if (expression.how === "value") keys.push(keyOfValue(catalogue, expression))
  const group = query.group.map((one) => plain(inner, one))
  const select = query.select.map((one) => plain(inner, one))
  const root: Form = condition === undefined ? { b: true } : inner.condition(condition)
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
  const outer = {
    group: expression.group.map((one) => own(around, one)),
    probe: expression.probe.map((one) => own(around, one))
  }
  const slot = around.slot(JSON.stringify([...inner.constants, ...(filter?.constants ?? [])]), "text")
  const form: SubselectForm = { sub, slot: "k" in slot ? slot.k : 0, how: expression.how, ...outer }
  around.subselects.set(form, expression)
  return form
}

/** A value of a row of the sub-select's table. Constants are part of it, so that it says the same for every clause. */
const plain = (inner: Lowers, expression: Expression): Form => {
  const form = own(inner, expression)
  // What takes the place of a constant is a form as well.
  const inlined = inline(form, inner.constants, inner.types) as Form
  inner.constants.length = 0
  inner.types.length = 0
  inner.soft.clear()
  return inlined
}

const own = (lowers: Lowers, expression: Expression): Form => {
  const form = lowers.value(expression)
  if (some(form, (part) => "sub" in part))
    refuseAt(
      expression.at,
      "a value that is compared with those of a sub-select cannot be made of another sub-select: use each in a condition of its own"
    )
  return form
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

type Key = SubselectPlan["keys"][number]

const sameMoment = /^(?:timestamp_eq_timestamptz|timestamptz_eq_timestamp)$/

/** How the two sides of an equality are identified, such that equal values have equal keys and no others. */
const keyOf = (
  catalogue: TypeCatalogue,
  equality: Equality,
  left: Expression,
  right: Expression,
  at: number
): Key => {
  const entry = catalogue.function(equality.function)
  const key = entry === undefined ? undefined : builtinKey(catalogue, entry)
  const collation = collationKindOf(catalogue, equality.inputCollation)
  const [a, b] = [typeSpecOf(catalogue, left.type), typeSpecOf(catalogue, right.type)]
  const type = key === undefined ? undefined : identityOf(key, a, b)
  const shown = `${describeType(catalogue, left.type)} and ${describeType(catalogue, right.type)}`
  if (collation === undefined)
    return refuseAt(
      at,
      'values of a sub-select cannot be compared under a non-deterministic collation: add COLLATE "C"'
    )
  if (type === undefined || codecOf(type, collation).key === undefined)
    return refuseAt(
      at,
      `values of types ${shown} cannot be compared with those of a sub-select: cast both sides to one type, such as text`
    )
  return { type, collation }
}

/** The type by whose keys both sides of an equality are identified; `undefined` when there is none. */
const identityOf = (key: string, left: TypeSpec, right: TypeSpec): TypeSpec | undefined => {
  if (sameMoment.test(key)) return "timestamptz"
  if (key !== "jsonb_eq" && natives.get(key)?.comparison !== "=") return undefined
  if (/^(?:int[248]|oid)/.test(key)) return "int8"
  if (key.startsWith("float")) return "float8"
  if (key.startsWith("network")) return "inet"
  if (/^(?:name|text)/.test(key)) return "text"
  return JSON.stringify(left) === JSON.stringify(right) ? left : undefined
}

const keyOfValue = (catalogue: TypeCatalogue, { at, query }: Subselect): Key => {
  const [only] = query.select
  const type = typeSpecOf(catalogue, only?.type ?? 0)
  const collation = collationKindOf(catalogue, only?.collation ?? 0)
  if (collation === undefined || codecOf(type, collation).key === undefined)
    return refuseAt(
      at,
      `a value of type ${describeType(catalogue, only?.type ?? 0)} cannot be taken from a sub-select: cast it to text`
    )
  return { type, collation }
}
