import { oids, type Expression, type Typed } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { coerce, settledRow } from "./Coerce.ts"
import { commonType } from "./Coercion.ts"
import { mergeCollations, resultCollation } from "./Collations.ts"
import type { Scope } from "./Scope.ts"
import { describeType } from "./TypeNames.ts"

/** An untyped literal that nothing gives a type is text. */
export const literalAsText = (scope: Scope, arg: Expression): Expression =>
  arg.type === oids.unknown
    ? (coerce(scope, arg, oids.text, "implicit") ?? arg)
    : arg.kind === "row"
      ? settledRow(scope, arg)
      : arg

/** The type of a result that is one of `args`, which have been brought to one type. */
export const typeOf = (scope: Scope, args: ReadonlyArray<Expression>): Omit<Typed, "at"> => {
  const type = args[0]?.type ?? oids.text
  const typmod = args.every((arg) => arg.typmod === args[0]?.typmod) ? (args[0]?.typmod ?? -1) : -1
  return {
    type,
    typmod,
    ...resultCollation(mergeCollations(args), scope.catalogue.type(type)?.collation ?? 0)
  }
}

/** Brings alternatives to the type that they have in common; `what` names the construct in a refusal. */
export const toCommon = (
  scope: Scope,
  args: ReadonlyArray<Expression>,
  what: string
): ReadonlyArray<Expression> => {
  const type = commonType(
    scope.catalogue,
    args.map((arg) => arg.type)
  )
  const at = args[0]?.at ?? -1
  const clash = (arg: Expression): never =>
    refuseAt(
      arg.at,
      `${what} types ${describeType(scope.catalogue, args[0]?.type ?? 0)} and ${describeType(scope.catalogue, arg.type)} cannot be matched`
    )
  if (type === undefined) {
    const odd = args.find((arg) => commonType(scope.catalogue, [args[0]?.type ?? 0, arg.type]) === undefined)
    return odd === undefined ? refuseAt(at, `${what} types cannot be matched`) : clash(odd)
  }
  return args.map((arg) => coerce(scope, arg, type, "implicit") ?? clash(arg))
}
