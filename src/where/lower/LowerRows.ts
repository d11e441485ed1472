import type { Form } from "../evaluate/Form.ts"
import type { Expression, RowComparison } from "../expression/Expression.ts"
import { codecOf } from "../values/Codecs.ts"
import type { CollationKind } from "../values/Text.ts"
import { isForeign, type TypeSpec } from "../values/TypeSpec.ts"
import { foreign } from "./Folding.ts"

/** Lowers the parts of a comparison of rows. */
interface Parts {
  readonly spec: (type: number) => TypeSpec
  readonly kind: (collation: number) => CollationKind
  readonly value: (expression: Expression) => Form
}

/** A comparison of rows whose values have an order that is known here; any other is left to Postgres. */
export const lowerRows = (parts: Parts, expression: RowComparison): Form => {
  const t = expression.pairs.map((pair) => parts.spec(pair.left.type))
  const l = expression.pairs.map((pair) => parts.kind(pair.inputCollation))
  for (const [i, pair] of expression.pairs.entries()) {
    const type = t[i] ?? "text"
    const other = parts.spec(pair.right.type)
    const integers = [type, other].every((one) => one === "int2" || one === "int4" || one === "int8")
    const floats = [type, other].every((one) => one === "float4" || one === "float8")
    if (!integers && !floats && JSON.stringify(type) !== JSON.stringify(other))
      return foreign("a row comparison of different types")
    if (isForeign(type) || codecOf(type, l[i]).compare === undefined)
      return foreign("a row comparison under this order")
  }
  const pairs = expression.pairs.map((pair) => [parts.value(pair.left), parts.value(pair.right)] as const)
  return { rows: expression.operator, pairs, t, l }
}
