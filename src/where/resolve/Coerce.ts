import { EvaluationError, Undecided } from "../values/Failure.ts"
import { codecOf, unknownLabel } from "../values/Codecs.ts"
import { oids, type CastStep, type Constant, type Expression, type Row } from "../expression/Expression.ts"
import { typeSpecOf } from "./TypeSpecs.ts"
import { refuseAt } from "../WhereError.ts"
import { resultCollation } from "./Collations.ts"
import { castPathway, isPolymorphic, type CoercionContext } from "./Coercion.ts"
import type { Scope } from "./Scope.ts"
import { describeType } from "./TypeNames.ts"

/** Gives an untyped literal, parameter or NULL its type; the text must be valid for it. */
const typeConstant = (
  scope: Scope,
  constant: Constant,
  type: number,
  message: "invalid" | "cast"
): Expression => {
  const { catalogue } = scope
  const base = catalogue.baseType(type)
  const entry = catalogue.type(base)
  const collation = entry?.collation ?? 0
  let { value } = constant
  if (value !== null) value = canonicalText(scope, constant, value, base, message)
  if (constant.parameter !== undefined && constant.type === oids.unknown) {
    scope.parameterTypes.set(constant.parameter, base)
  }
  const typed: Constant = {
    ...constant,
    value,
    type: base,
    collation,
    strength: collation === 0 ? "none" : "implicit"
  }
  return base === type ? typed : toDomain(scope, typed, type, false)
}

/** The text as the type prints it, so that equal constants are written equally; unchanged when Postgres alone can read it. */
const canonicalText = (
  scope: Scope,
  constant: Constant,
  value: string,
  type: number,
  message: "invalid" | "cast"
): string => {
  const codec = codecOf(typeSpecOf(scope.catalogue, type), undefined)
  try {
    return type === oids.json ? String(codec.read(value)) : codec.write(codec.read(value))
  } catch (failure) {
    if (failure instanceof EvaluationError) {
      const name = describeType(scope.catalogue, type)
      return refuseAt(
        constant.at,
        message === "cast"
          ? `could not cast value "${value}" from text to ${name}`
          : `invalid syntax for type ${name}: ${value}`
      )
    }
    if (!(failure instanceof Undecided)) throw failure
    if (failure.reason.includes("depends on the time it is read"))
      return refuseAt(constant.at, failure.reason)
    const entry = scope.catalogue.type(type)
    if (entry?.kind === "e" || failure.reason === unknownLabel) {
      return refuseAt(constant.at, `invalid syntax for type ${describeType(scope.catalogue, type)}: ${value}`)
    }
    return value
  }
}

const isNullConstant = (arg: Expression): boolean => arg.kind === "constant" && arg.value === null

const toDomain = (scope: Scope, arg: Expression, type: number, explicit: boolean): Expression => {
  const entry = scope.catalogue.type(type)
  const steps: ReadonlyArray<CastStep> =
    entry?.constrained === true
      ? [{ kind: "check" }]
      : lengthSteps(scope, arg, entry?.baseTypmod ?? -1, explicit)
  return {
    kind: "cast",
    arg,
    steps: steps.length === 0 ? [{ kind: "relabel" }] : steps,
    explicit,
    type,
    typmod: -1,
    ...resultCollation(arg, entry?.collation ?? 0),
    at: arg.at
  }
}

/** The function that applies a modifier such as `varchar(3)`, if the type has one. */
const lengthSteps = (
  scope: Scope,
  arg: Expression,
  typmod: number,
  explicit: boolean
): ReadonlyArray<CastStep> => {
  if (typmod < 0 || arg.typmod === typmod) return []
  const { catalogue } = scope
  const entry = catalogue.type(arg.type)
  const own = catalogue.cast(arg.type, arg.type)
  if (own !== undefined) return [{ kind: "function", function: own.function, typmod, explicit }]
  if (entry !== undefined && entry.element !== 0) {
    const inner = catalogue.cast(entry.element, entry.element)
    if (inner !== undefined) {
      const steps: ReadonlyArray<CastStep> = [
        { kind: "function", function: inner.function, typmod, explicit }
      ]
      return [{ kind: "array", from: entry.element, to: entry.element, steps }]
    }
  }
  return []
}

const withTypmod = (scope: Scope, arg: Expression, typmod: number, explicit: boolean): Expression => {
  const steps = lengthSteps(scope, arg, typmod, explicit)
  if (steps.length === 0) return arg
  return {
    kind: "cast",
    arg,
    steps,
    explicit,
    type: arg.type,
    typmod,
    collation: arg.collation,
    strength: arg.strength,
    at: arg.at
  }
}

/** A row that nothing gives types to: its untyped parts are text. */
export const settledRow = (scope: Scope, row: Row): Row => {
  if (!row.args.some((part) => part.type === oids.unknown || part.kind === "row")) return row
  const args = row.args.map((part) =>
    part.kind === "row"
      ? settledRow(scope, part)
      : part.type === oids.unknown
        ? (coerce(scope, part, oids.text, "implicit") ?? part)
        : part
  )
  return { ...row, args }
}

/** Brings an expression to `type`; `undefined` when there is no such cast in this context. */
export const coerce = (
  scope: Scope,
  arg: Expression,
  type: number,
  context: CoercionContext
): Expression | undefined => {
  if (arg.type === type || type === oids.any || isPolymorphic(type))
    return arg.kind === "row" ? settledRow(scope, arg) : arg
  const { catalogue } = scope
  // A record has no text form without knowing its fields.
  // There is no reading a record's text; NULL needs none.
  if (arg.type === oids.unknown && type === oids.record && !isNullConstant(arg)) return undefined
  if (arg.type === oids.unknown && arg.kind === "constant") {
    return typeConstant(scope, arg, type, context === "explicit" ? "cast" : "invalid")
  }
  const entry = catalogue.type(type)
  if (entry === undefined) return undefined
  if (arg.kind === "row" && entry.kind === "c" && entry.fields?.length === arg.args.length) {
    const args = arg.args.map((part, i) => coerce(scope, part, entry.fields?.[i]?.type ?? 0, context))
    if (args.some((part) => part === undefined)) return undefined
    return { ...arg, args: args as ReadonlyArray<Expression>, type }
  }
  if (arg.type === oids.record || type === oids.record) {
    // A composite value is a record as it is.
    return type !== oids.record ? undefined : arg.kind === "row" ? settledRow(scope, arg) : arg
  }
  const pathway = castPathway(catalogue, arg.type, type, context)
  if (pathway === undefined) return undefined
  const base = catalogue.baseType(type)
  const baseEntry = catalogue.type(base)
  // A value that is already of the domain's base type, or of a domain over the wanted type, is only relabelled.
  const relabelled: Expression =
    arg.type === base
      ? arg
      : {
          kind: "cast",
          arg,
          steps: pathway,
          explicit: context === "explicit",
          type: base,
          typmod: -1,
          ...resultCollation(arg, baseEntry?.collation ?? 0),
          at: arg.at
        }
  return base === type ? relabelled : toDomain(scope, relabelled, type, context === "explicit")
}

const singleFields: Readonly<Record<number, string>> = {
  2: "month",
  4: "year",
  8: "day",
  1024: "hour",
  2048: "minute",
  4096: "second"
}

/** `interval '1' hour`: the fields say how the text is read. `undefined` when all fields are allowed. */
const intervalWithFields = (
  scope: Scope,
  constant: Constant,
  value: string,
  typmod: number
): Expression | undefined => {
  const mask = (typmod >> 16) & 0x7fff
  if (mask === 0x7fff) return undefined
  const field = singleFields[mask]
  if (field !== undefined && /^[+-]?\d{1,9}$/.test(value) && (typmod & 0xffff) === 0xffff) {
    return typeConstant(scope, { ...constant, value: `${value} ${field}` }, oids.interval, "cast")
  }
  // Read by Postgres: the constant keeps its text and its fields.
  return { ...constant, type: oids.interval, typmod }
}

/** Like `coerce` for a written cast, with the modifier that was written. */
export const castTo = (
  scope: Scope,
  arg: Expression,
  type: number,
  typmod: number,
  at: number
): Expression => {
  if (
    type === oids.interval &&
    typmod >= 0 &&
    arg.kind === "constant" &&
    arg.type === oids.unknown &&
    arg.value !== null
  ) {
    const fields = intervalWithFields(scope, arg, arg.value, typmod)
    if (fields !== undefined) return fields
  }
  const converted = coerce(scope, arg, type, "explicit")
  if (converted === undefined) {
    return refuseAt(
      at,
      `unknown cast from type ${describeType(scope.catalogue, arg.type)} to type ${describeType(scope.catalogue, type)}`
    )
  }
  const applied = typmod < 0 || converted === arg ? undefined : byConversion(scope, converted, typmod)
  if (applied !== undefined) return { ...applied, at }
  return withTypmod(scope, { ...converted, at }, typmod, true)
}

/** Some conversions are told the modifier themselves, and another value comes out than by applying it afterwards: `5::bit(3)`. */
const byConversion = (scope: Scope, converted: Expression, typmod: number): Expression | undefined => {
  if (converted.kind !== "cast") return undefined
  const applied = (steps: ReadonlyArray<CastStep>): ReadonlyArray<CastStep> | undefined => {
    const last = steps.at(-1)
    if (last?.kind === "function" && (scope.catalogue.function(last.function)?.args.length ?? 0) > 1)
      return [...steps.slice(0, -1), { ...last, typmod }]
    const inner = last?.kind === "array" ? applied(last.steps) : undefined
    return last?.kind === "array" && inner !== undefined
      ? [...steps.slice(0, -1), { ...last, steps: inner }]
      : undefined
  }
  const steps = applied(converted.steps)
  return steps === undefined ? undefined : { ...converted, steps, typmod }
}
