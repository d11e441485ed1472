import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Form } from "../evaluate/Form.ts"
import { oids, type Expression } from "../expression/Expression.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"
import { foreign } from "./Folding.ts"

/** Lowers the parts of it. */
interface Values {
  readonly catalogue: TypeCatalogue
  readonly known: (type: number) => void
  readonly value: (expression: Expression) => Form
  readonly slot: (value: string, spec: TypeSpec) => Form
}

/** A part of an array, or of a document. */
export const lowerSubscript = (
  lowers: Values,
  expression: Expression & { readonly kind: "subscript" }
): Form => {
  lowers.known(expression.container.type)
  const container = lowers.value(expression.container)
  const json = lowers.catalogue.baseType(expression.container.type) === oids.jsonb
  if (!expression.slice) {
    const i = expression.indexes.map(({ upper }) =>
      upper === undefined ? foreign("a subscript without index") : lowers.value(upper)
    )
    return { at: container, i, json }
  }
  const i = expression.indexes.map(({ lower, upper, isSlice }): readonly [Form | null, Form | null] => {
    // In a slice a single subscript n means 1:n.
    const from = isSlice ? (lower === undefined ? null : lowers.value(lower)) : lowers.slot("1", "int4")
    return [from, upper === undefined ? null : lowers.value(upper)]
  })
  return { slice: container, i }
}
