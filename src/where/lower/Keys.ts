import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Form, SubselectPlan } from "../evaluate/Form.ts"
import type { Equality, Expression } from "../expression/Expression.ts"
import { natives } from "../native/index.ts"
import { builtinKey } from "../resolve/Volatility.ts"
import { collationKindOf, typeSpecOf } from "../resolve/TypeSpecs.ts"
import { codecOf } from "../values/Codecs.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"
import { refuseAt } from "../WhereError.ts"

export type Key = SubselectPlan["keys"][number]

const sameMoment = /^(?:timestamp_eq_timestamptz|timestamptz_eq_timestamp)$/
const startOfDay = /^(?:date_eq_timestamp|timestamp_eq_date|date_eq_timestamptz|timestamptz_eq_date)$/

/** A date that is compared with a moment is one: that at which it begins. */
export const asKeyed = (
  form: Form,
  catalogue: TypeCatalogue,
  { type }: Expression,
  key: Key | undefined
): Form =>
  (key?.type === "timestamp" || key?.type === "timestamptz") && typeSpecOf(catalogue, type) === "date"
    ? { f: "date_timestamp", a: [form] }
    : form

/** How the two sides of an equality are identified, such that equal values have equal keys and no others; `undefined`: they are not. */
export const keyOf = (
  catalogue: TypeCatalogue,
  equality: Equality,
  left: Expression,
  right: Expression,
  at: number
): Key | undefined => {
  const entry = catalogue.function(equality.function)
  const key = entry === undefined ? undefined : builtinKey(catalogue, entry)
  const collation = collationKindOf(catalogue, equality.inputCollation)
  const [a, b] = [typeSpecOf(catalogue, left.type), typeSpecOf(catalogue, right.type)]
  const type = key === undefined ? undefined : identityOf(key, a, b)
  if (collation === undefined)
    return refuseAt(
      at,
      'values of a sub-select cannot be compared under a non-deterministic collation: add COLLATE "C"'
    )
  return type === undefined || codecOf(type, collation).key === undefined ? undefined : { type, collation }
}

/** The type by whose keys both sides of an equality are identified; `undefined` when there is none. */
const identityOf = (key: string, left: TypeSpec, right: TypeSpec): TypeSpec | undefined => {
  if (sameMoment.test(key)) return "timestamptz"
  if (startOfDay.test(key)) return left === "date" ? right : left
  if (key !== "jsonb_eq" && natives.get(key)?.comparison !== "=") return undefined
  if (/^(?:int[248]|oid)/.test(key)) return "int8"
  if (key.startsWith("float")) return "float8"
  if (key.startsWith("network")) return "inet"
  if (/^(?:name|text)/.test(key)) return "text"
  return JSON.stringify(left) === JSON.stringify(right) ? left : undefined
}

/** How values are told apart; `undefined`: they are not. */
export const keyOfValue = (catalogue: TypeCatalogue, value: Expression | undefined): Key | undefined => {
  const type = typeSpecOf(catalogue, value?.type ?? 0)
  const collation = collationKindOf(catalogue, value?.collation ?? 0)
  return collation === undefined || codecOf(type, collation).key === undefined
    ? undefined
    : { type, collation }
}
