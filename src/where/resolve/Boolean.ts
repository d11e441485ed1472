import { oids, type Expression, type Typed } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { coerce } from "./Coerce.ts"
import { quoteIfNeeded, type Scope } from "./Scope.ts"
import { describeType } from "./TypeNames.ts"

export const booleanType: Omit<Typed, "at"> = { type: oids.bool, typmod: -1, collation: 0, strength: "none" }

/** An operand of AND, OR, NOT or CASE WHEN. */
export const requireBoolean = (scope: Scope, arg: Expression): Expression => {
  const converted = coerce(scope, arg, oids.bool, "assignment")
  if (converted !== undefined) return converted
  const type = describeType(scope.catalogue, arg.type)
  const what =
    arg.kind === "column"
      ? `reference ${quoteIfNeeded(arg.name)} of type ${type}`
      : arg.kind === "call" && arg.operator === undefined
        ? `function ${scope.catalogue.function(arg.function)?.name ?? ""} returning ${type}`
        : `expression of type ${type}`
  return refuseAt(arg.at, `${what} is not castable to bool`)
}
