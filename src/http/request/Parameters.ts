import { Result } from "effect"
import { checkColumnNames, parseColumnList } from "../../postgres/Identifiers.ts"

/** Messages by parameter name, as the error envelope shows them. */
export type ParameterErrors = Record<string, ReadonlyArray<string>>

/** A parameter that is present and not of its type. */
export const invalid = Symbol("invalid")
type Invalid = typeof invalid

/** A parameter of its type that cannot mean anything, and the message that says why. */
class Meaningless {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** A parameter that is larger than anything that it could mean. */
const tooLarge = (most: number, what: "character(s)" | "item(s)"): Meaningless =>
  new Meaningless(`should be at most ${most} ${what}`)

/** JSON Schema of a parameter, as far as the API description needs it. */
export type ParameterSchema = Readonly<Record<string, unknown>>

/**
 * One request parameter: what the parser accepts and what the API description says are the same object.
 * `coerce` gives `undefined` for an absent parameter; text that is empty after trimming counts as absent.
 */
export interface Parameter<A> {
  readonly description: string
  readonly schema: ParameterSchema
  /** How the query string spells a parameter that is not a single value. */
  readonly style?: "list" | "map"
  readonly coerce: (value: unknown) => A | undefined | Invalid | Meaningless
}

const isBlank = (value: unknown): boolean =>
  value === undefined || value === null || (typeof value === "string" && value.trim() === "")

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Text, used as it is; no longer than the `maxLength` of its schema. */
export const text = (
  description: string,
  schema: ParameterSchema & { readonly maxLength?: number } = {}
): Parameter<string> => {
  const { maxLength = Infinity } = schema
  return {
    description,
    schema: { type: "string", ...schema },
    coerce: (value) => {
      if (typeof value === "string" && value.length > maxLength) return tooLarge(maxLength, "character(s)")
      return isBlank(value) ? undefined : typeof value === "string" ? value : invalid
    }
  }
}

/** Any value but `false` means true, also the empty one. */
export const flag = (description: string): Parameter<boolean> => ({
  description: `${description} Any value except \`false\` means true.`,
  schema: { type: "boolean", default: false },
  coerce: (value) =>
    value === undefined || value === null ? undefined : value !== "false" && value !== false
})

const booleans = new Map<unknown, boolean>([
  ["true", true],
  ["1", true],
  [true, true],
  ["false", false],
  ["0", false],
  [false, false]
])

/** A boolean in one of its four spellings. */
export const boolean = (description: string): Parameter<boolean> => ({
  description,
  schema: { type: "boolean", default: false },
  coerce: (value) => (isBlank(value) ? undefined : (booleans.get(value) ?? invalid))
})

/** One of the names, exactly; the first is the default. */
export const oneOf = <const A extends string>(
  description: string,
  names: readonly [A, ...Array<A>]
): Parameter<A> => ({
  description,
  schema: { type: "string", enum: names, default: names[0] },
  coerce: (value) => (isBlank(value) ? undefined : (names.find((name) => name === value) ?? invalid))
})

const integerText = /^[+-]?[0-9]{1,31}$/

/** A whole number, as JSON number or decimal text; clamped to what a double holds exactly. */
export const integer = (description: string, minimum: number): Parameter<number> => ({
  description,
  schema: { type: "integer", minimum },
  coerce: (value) => {
    if (isBlank(value)) return undefined
    const number =
      typeof value === "string" && integerText.test(value) && value.length < 32 ? Number(value) : value
    if (typeof number !== "number" || !Number.isInteger(number)) return invalid
    return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, number))
  }
})

/** A table has no more columns. Source: `MaxHeapAttributeNumber`, PostgreSQL documentation, "PostgreSQL Limits". */
const mostNames = 1600
/** As many names of 63 bytes, each of which is a quotation mark that is written twice. */
const mostNamesCharacters = mostNames * (2 * 63 + 3)

/** Column names: SQL text that can be split into identifiers, or a list of names taken as they are. */
export const names = (description: string): Parameter<string | ReadonlyArray<string>> => ({
  description,
  schema: { oneOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
  style: "list",
  coerce: (value) => {
    if (isBlank(value)) return undefined
    if (typeof value === "string")
      return value.length > mostNamesCharacters
        ? tooLarge(mostNamesCharacters, "character(s)")
        : unlessUnreadable(value, parseColumnList(value))
    if (Array.isArray(value) && value.length > mostNames) return tooLarge(mostNames, "item(s)")
    return Array.isArray(value) && value.every((item) => typeof item === "string")
      ? unlessUnreadable(value, checkColumnNames(value))
      : invalid
  }
})

const unlessUnreadable = <A>(value: A, read: Result.Result<unknown, string>): A | Meaningless =>
  Result.isFailure(read) ? new Meaningless(read.failure) : value

/** A map whose values are all text. */
export const textMap = (description: string): Parameter<Readonly<Record<string, string>>> => ({
  description,
  schema: { type: "object", additionalProperties: { type: "string" } },
  style: "map",
  coerce: (value) => {
    if (isBlank(value)) return undefined
    if (!isRecord(value)) return invalid
    for (const key in value) if (typeof value[key] !== "string") return invalid
    return value as Readonly<Record<string, string>>
  }
})

/** A map of further parameters. */
export const map = (description: string): Parameter<Readonly<Record<string, unknown>>> => ({
  description,
  schema: { type: "object" },
  style: "map",
  coerce: (value) => (isBlank(value) ? undefined : isRecord(value) ? value : invalid)
})

export type Parameters = Readonly<Record<string, Parameter<unknown>>>
type Coerced<P extends Parameters> = {
  readonly [K in keyof P]: P[K] extends Parameter<infer A> ? A | undefined : never
}

/** Coerces every parameter and names all that are not of their type. Unknown ones are ignored. */
export const coerceAll = <P extends Parameters>(
  parameters: P,
  values: Readonly<Record<string, unknown>>
): { readonly values: Coerced<P>; readonly errors: ParameterErrors | undefined } => {
  const coerced: Record<string, unknown> = {}
  let errors: ParameterErrors | undefined
  for (const name in parameters) {
    const parameter = parameters[name]
    if (parameter === undefined) continue
    const value = parameter.coerce(values[name])
    if (value === invalid) (errors ??= {})[name] = ["is invalid"]
    else if (value instanceof Meaningless) (errors ??= {})[name] = [value.message]
    else coerced[name] = value
  }
  return { values: coerced as Coerced<P>, errors }
}
