import type { FunctionEntry, OperatorEntry } from "../catalogue/TypeCatalogue.ts"
import { oids, type Call, type Expression, type OperatorName } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"
import { selectCandidate } from "./Candidates.ts"
import { coerce, castTo } from "./Coerce.ts"
import { castPathway, isPolymorphic } from "./Coercion.ts"
import { resolvePolymorphic } from "./Polymorphic.ts"
import { inputCollation, mergeCollations, resultCollation } from "./Collations.ts"
import { quoteIfNeeded, type Scope } from "./Scope.ts"
import { describeType } from "./TypeNames.ts"
import { isSettled, volatilityName } from "./Volatility.ts"

const noOverload = (at: number): never => refuseAt(at, "Could not select an operator overload")

/** The operator that a name and operand types mean. `left` is `undefined` for a prefix operator. */
export const findOperator = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  left: number | undefined,
  right: number,
  at: number
): OperatorEntry => {
  const { catalogue } = scope
  const all = catalogue
    .operatorsNamed(schema, name)
    .filter((entry) => (entry.left === 0) === (left === undefined))
  if (all.length === 0) {
    return refuseAt(at, `unknown ${left === undefined ? "unary" : "binary"} operator "${name}"`)
  }
  const exact = (a: number, b: number): OperatorEntry | undefined =>
    all.find((entry) => entry.left === a && entry.right === b)
  if (left === undefined) {
    const found = right === oids.unknown ? undefined : exact(0, right)
    return found ?? selectCandidate(catalogue, [right], all, (entry) => [entry.right]) ?? noOverload(at)
  }
  let a = left
  let b = right
  if (a === oids.unknown && b !== oids.unknown) a = b
  else if (b === oids.unknown && a !== oids.unknown) b = a
  if (a !== oids.unknown) {
    const found = exact(a, b)
    if (found !== undefined) return found
    if (left === oids.unknown || right === oids.unknown) {
      const base = catalogue.baseType(a)
      const viaBase = base === a ? undefined : exact(base, base)
      if (viaBase !== undefined) return viaBase
    }
  }
  return (
    selectCandidate(catalogue, [left, right], all, (entry) => [entry.left, entry.right]) ?? noOverload(at)
  )
}

/** Refuses functions whose result is not a matter of their arguments. */
export const requireSettled = (scope: Scope, oid: number, at: number, shown: string): FunctionEntry => {
  const entry = scope.catalogue.function(oid)
  if (entry === undefined) return refuseAt(at, `unknown or unsupported function ${shown}`)
  if (!isSettled(scope.catalogue, entry)) {
    return refuseAt(
      at,
      `unknown or unsupported function ${shown}: it is ${volatilityName(entry)}, a shape needs results that follow from the row alone`
    )
  }
  return entry
}

/** The expressions that operands become for an operator or function, and the result type. */
const bindArguments = (
  scope: Scope,
  args: ReadonlyArray<Expression>,
  parameters: ReadonlyArray<number>,
  result: number,
  onFailure: () => never
): { readonly args: ReadonlyArray<Expression>; readonly result: number } => {
  const resolved = resolvePolymorphic(
    scope.catalogue,
    parameters,
    args.map((arg) => arg.type),
    result
  )
  if (resolved === undefined || (resolved.result === 0 && result !== 0)) return onFailure()
  const bound = args.map((arg, i) => {
    const wanted = resolved.args[i] ?? 0
    return coerce(scope, arg, wanted, "implicit") ?? onFailure()
  })
  return { args: bound, result: resolved.result }
}

const typeCollation = (scope: Scope, type: number): number => scope.catalogue.type(type)?.collation ?? 0

interface BoundOperator {
  readonly entry: OperatorEntry
  readonly operator: OperatorName
  readonly args: ReadonlyArray<Expression>
  readonly result: number
  readonly inputCollation: number
}

export const bindOperator = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  left: Expression | undefined,
  right: Expression,
  at: number
): BoundOperator => {
  const entry = findOperator(scope, schema, name, left?.type, right.type, at)
  requireSettled(scope, entry.function, at, `operator ${name}`)
  const operands = left === undefined ? [right] : [left, right]
  const parameters = left === undefined ? [entry.right] : [entry.left, entry.right]
  const bound = bindArguments(scope, operands, parameters, entry.result, () => noOverload(at))
  const merged = mergeCollations(bound.args)
  return {
    entry,
    operator: { schema: entry.schema, name: entry.name },
    args: bound.args,
    result: bound.result,
    inputCollation: inputCollation(merged, at)
  }
}

export const operatorCall = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  left: Expression | undefined,
  right: Expression,
  at: number
): Call => {
  const bound = bindOperator(scope, schema, name === "!=" ? "<>" : name, left, right, at)
  return {
    kind: "call",
    function: bound.entry.function,
    args: bound.args,
    operator: bound.operator,
    variadicArray: false,
    names: undefined,
    inputCollation: bound.inputCollation,
    type: bound.result,
    typmod: -1,
    ...resultCollation(mergeCollations(bound.args), typeCollation(scope, bound.result)),
    at
  }
}

interface Candidate {
  readonly entry: FunctionEntry
  readonly parameters: ReadonlyArray<number>
  readonly expanded: boolean
}

/** Every way to read a call with `count` positional arguments, non-variadic readings first. */
const candidatesFor = (
  entries: ReadonlyArray<FunctionEntry>,
  count: number,
  explicitVariadic: boolean
): ReadonlyArray<Candidate> => {
  const found: Array<Candidate> = []
  for (const entry of entries) {
    const declared = entry.args.length
    if (entry.variadic !== 0 && !explicitVariadic && count >= declared) {
      const tail = Array.from({ length: count - declared + 1 }, () => entry.variadic)
      found.push({ entry, parameters: [...entry.args.slice(0, -1), ...tail], expanded: true })
    } else if (count === declared || (count < declared && count >= declared - entry.defaults)) {
      if (entry.variadic === 0 || explicitVariadic) {
        found.push({ entry, parameters: entry.args.slice(0, count), expanded: false })
      }
    }
  }
  const plain = new Set(found.filter((one) => !one.expanded).map((one) => one.parameters.join(",")))
  return found.filter((one) => !one.expanded || !plain.has(one.parameters.join(",")))
}

/** Puts named arguments where they belong; `undefined` when the function has no such arguments. */
const byName = (
  entry: FunctionEntry,
  given: ReadonlyArray<Expression>,
  names: ReadonlyArray<string>
): Candidate | undefined => {
  const { argNames } = entry
  if (argNames === null || given.length > entry.args.length) return undefined
  const parameters: Array<number> = []
  const used = new Set<number>()
  for (const [i, name] of names.entries()) {
    const position = name === "" ? i : argNames.indexOf(name)
    if (position < 0 || used.has(position)) return undefined
    used.add(position)
    parameters.push(entry.args[position] ?? 0)
  }
  for (let i = 0; i < entry.args.length - entry.defaults; i++) if (!used.has(i)) return undefined
  return { entry, parameters, expanded: false }
}

/** Refuses an aggregate, or a window function. */
export const refuseAggregate = (scope: Scope, at: number): never =>
  refuseAt(
    at,
    scope.outer === undefined
      ? "aggregation is not supported in this context"
      : "aggregates are not supported in a sub-select: ask for single rows, as in EXISTS (SELECT 1 FROM ... WHERE ...)"
  )

/** Resolves a function call; a type name with one argument is a cast, as in Postgres. */
export const functionCall = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  args: ReadonlyArray<Expression>,
  names: ReadonlyArray<string> | undefined,
  explicitVariadic: boolean,
  at: number
): Expression => {
  const { catalogue } = scope
  const shown = `${quoteIfNeeded(name)}/${args.length}`
  const entries = catalogue.functionsNamed(schema, name)
  const candidates =
    names === undefined
      ? candidatesFor(entries, args.length, explicitVariadic)
      : entries.flatMap((entry) => byName(entry, args, names) ?? [])
  const given = args.map((arg) => arg.type)
  const exact = candidates.find((one) => one.parameters.every((type, i) => type === given[i]))
  if (exact === undefined && args.length === 1 && names === undefined) {
    const cast = asTypeName(scope, schema, name, args[0], at)
    if (cast !== undefined) return cast
  }
  if (candidates.length === 0) return refuseAt(at, `unknown or unsupported function ${shown}`)
  const chosen = exact ?? selectCandidate(catalogue, given, candidates, (one) => one.parameters)
  const types = given.map((type) => describeType(catalogue, type)).join(", ")
  const noMatch = (): never => refuseAt(at, `Could not select a function overload for ${name}(${types})`)
  if (chosen === undefined) {
    if (candidates.every((one) => one.entry.kind !== "f")) return refuseAggregate(scope, at)
    return noMatch()
  }
  const { entry } = chosen
  if (entry.kind !== "f") return refuseAggregate(scope, at)
  if (entry.returnsSet)
    return refuseAt(at, `set-returning function ${shown} is not supported in this context`)
  requireSettled(scope, entry.oid, at, shown)
  const bound = bindArguments(scope, args, chosen.parameters, entry.result, noMatch)
  if (catalogue.type(bound.result)?.kind === "p" && bound.result !== oids.record) {
    return refuseAt(at, `function ${shown} has no result that a clause could use`)
  }
  const merged = mergeCollations(bound.args)
  return {
    kind: "call",
    function: entry.oid,
    args: bound.args,
    operator: undefined,
    variadicArray: explicitVariadic,
    names,
    inputCollation: inputCollation(merged, at),
    type: bound.result,
    typmod: -1,
    ...resultCollation(merged, typeCollation(scope, bound.result)),
    at
  }
}

const asTypeName = (
  scope: Scope,
  schema: string | undefined,
  name: string,
  arg: Expression | undefined,
  at: number
): Expression | undefined => {
  const type = scope.catalogue.typeNamed(schema, name)
  if (type === undefined || arg === undefined || type.kind === "p" || isPolymorphic(type.oid))
    return undefined
  if (arg.type !== oids.unknown) {
    const pathway = castPathway(scope.catalogue, arg.type, type.oid, "explicit")
    if (pathway === undefined || !pathway.every((step) => step.kind === "relabel" || step.kind === "io")) {
      return undefined
    }
  }
  return castTo(scope, arg, type.oid, -1, at)
}
