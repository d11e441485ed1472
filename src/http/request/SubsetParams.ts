import { Result } from "effect"
import { aboveLimit, standardLimits, type Limits } from "../../config/Limits.ts"
import { sizeOfParams } from "../../where/index.ts"
import { coerceAll, integer, invalid, text, type Parameter, type ParameterErrors } from "./Parameters.ts"

/** Parameters of a subset request that passed every check that needs no catalogue. */
export interface SubsetParams {
  readonly where: string | undefined
  readonly params: Readonly<Record<string, string>>
  readonly limit: number | undefined
  readonly offset: number | undefined
  readonly orderBy: string | undefined
}

const jsonParams: Parameter<string | Record<string, unknown>> = {
  description: "Values of `$1`, `$2` … in the subset's `where`: a JSON object, or its text.",
  schema: { oneOf: [{ type: "object" }, { type: "string" }] },
  coerce: (value) => {
    if (value === undefined || value === null) return undefined
    if (typeof value === "string") return value.trim() === "" ? undefined : value
    return typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : invalid
  }
}

/** The subset's parameters, without the prefix `subset__` that they have in a query string. */
export const subsetParameters = {
  where: text(
    "SQL condition that rows of the subset must meet, besides the shape's own. It has no sub-selects."
  ),
  params: jsonParams,
  limit: integer("At most this many rows. Needs `order_by`.", 1),
  offset: integer("Leave out this many rows at the beginning. Needs `order_by`.", 0),
  order_by: text("Columns with `ASC`, `DESC`, `NULLS FIRST`, `NULLS LAST`, comma-separated.")
} as const

/** What is wrong with the keys of the texts for `$1` … `$n`. */
const checkNumbering = (params: Readonly<Record<string, string>>): string | undefined => {
  const keys = Object.keys(params)
  if (!keys.every((key) => /^[0-9]+$/.test(key))) return "Parameters can only use numbers as keys"
  for (let i = 1; i <= keys.length; i++)
    if (params[i] === undefined) return "Parameters must be numbered sequentially, starting from 1"
  return undefined
}

/** The parameters as texts; or what is wrong with them. Their numbering only counts where there is a condition. */
const readParams = (
  given: string | Record<string, unknown> | undefined,
  hasCondition: boolean,
  limits: Limits
): Result.Result<Readonly<Record<string, string>>, string> => {
  let value: unknown = given ?? {}
  if (typeof value === "string") {
    // Quotes and escapes may make twice as much of them.
    if (value.length > 2 * limits.paramsBytes) return Result.fail(aboveLimit("paramsBytes", limits))
    try {
      value = JSON.parse(value)
    } catch {
      return Result.fail("params must be valid JSON")
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return Result.fail("params must be a JSON object")
  }
  const texts: Record<string, string> = Object.create(null) as Record<string, string>
  for (const [key, item] of Object.entries(value as Record<string, unknown>)) {
    if (item === null) texts[key] = ""
    else if (typeof item === "string") texts[key] = item
    else if (typeof item === "number" || typeof item === "boolean") texts[key] = String(item)
    else return Result.fail("is invalid")
  }
  // The compiler of conditions would say the same, after they have been sent to its thread.
  const size = sizeOfParams(texts)
  if (size > limits.paramsBytes) return Result.fail(aboveLimit("paramsBytes", limits, size))
  const problem = hasCondition ? checkNumbering(texts) : undefined
  return problem === undefined ? Result.succeed(texts) : Result.fail(problem)
}

/** Checks a subset's parameters and reports all errors together, keyed by their names without prefix. */
export const parseSubsetParams = (
  values: Readonly<Record<string, unknown>>,
  limits: Limits = standardLimits
): Result.Result<SubsetParams, ParameterErrors> => {
  const { values: given, errors } = coerceAll(subsetParameters, values)
  const found: ParameterErrors = { ...errors }
  const params = readParams(given.params, given.where !== undefined, limits)
  if (Result.isFailure(params)) found["params"] = [params.failure]
  if (given.limit !== undefined && given.limit <= 0) found["limit"] = ["must be greater than 0"]
  if (given.offset !== undefined && given.offset < 0) found["offset"] = ["must be greater than or equal to 0"]
  if (given.order_by === undefined && (given.limit !== undefined || given.offset !== undefined))
    found["order_by"] ??= ["order_by is required when limit or offset is present"]
  if (Result.isFailure(params) || Object.keys(found).length > 0) return Result.fail(found)
  return Result.succeed({
    where: given.where,
    params: params.success,
    limit: given.limit,
    offset: given.offset,
    orderBy: given.order_by
  })
}
