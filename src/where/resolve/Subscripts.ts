import type { A_Indirection, Node } from "libpg-query"
import { oids, type Expression } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { coerce } from "./Coerce.ts"
import { resultCollation } from "./Collations.ts"
import { quoteIfNeeded, type Inner, type Scope } from "./Scope.ts"
import { describeType, stringOf } from "./TypeNames.ts"

/** `[upper]`, or a slice `[lower:upper]`, of which either may be left out. */
interface Index {
  readonly lower: Expression | undefined
  readonly upper: Expression | undefined
  readonly isSlice: boolean
}

/** What follows a value: `[1]`, `[1:2]`, `.field`. Subscripts that stand together are one. */
export const indirection = (scope: Scope, node: A_Indirection, inner: Inner): Expression => {
  let value = inner(node.arg)
  let pending: Array<Index> = []
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

const subscript = (scope: Scope, container: Expression, indexes: ReadonlyArray<Index>): Expression => {
  const base = scope.catalogue.baseType(container.type)
  return base === oids.jsonb && !indexes.some((index) => index.isSlice)
    ? jsonbSubscript(scope, container, indexes)
    : arraySubscript(scope, container, base, indexes)
}

/** Keys are texts or integers. */
const jsonbSubscript = (scope: Scope, container: Expression, indexes: ReadonlyArray<Index>): Expression => {
  const { at } = container
  const toKey = (key: Expression | undefined): Expression => {
    const isInteger = key?.type === oids.int4 || key?.type === oids.int8 || key?.type === oids.int2
    const found =
      key === undefined ? undefined : coerce(scope, key, isInteger ? oids.int4 : oids.text, "assignment")
    return found ?? refuseAt(at, "a jsonb subscript must be text or integer")
  }
  return {
    kind: "subscript",
    container,
    slice: false,
    indexes: indexes.map((index) => ({ lower: undefined, upper: toKey(index.upper), isSlice: false })),
    type: oids.jsonb,
    typmod: -1,
    collation: 0,
    strength: "none",
    at
  }
}

/** `base` is the type of `container` without domains. With one slice among them, all subscripts are slices. */
const arraySubscript = (
  scope: Scope,
  container: Expression,
  base: number,
  indexes: ReadonlyArray<Index>
): Expression => {
  const { at } = container
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
  const slice = indexes.some((index) => index.isSlice)
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
