import { isUtf8 } from "node:buffer"
import { Result } from "effect"
import { aboveLimit, type Limits } from "../../config/Limits.ts"

/** Query parameters and body together: the main parameters, with those of a subset under `subset`. */
export type MergedParams = Record<string, unknown>

const subsetPrefix = "subset__"
const subsetBodyKeys = new Set([
  "where",
  "order_by",
  "limit",
  "offset",
  "params",
  "where_expr",
  "order_by_expr"
])

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const emptyParams = (): MergedParams => Object.create(null) as MergedParams

const assign = (target: MergedParams, source: Readonly<Record<string, unknown>>): MergedParams => {
  for (const key of Object.keys(source)) target[key] = source[key]
  return target
}

/**
 * Moves the query's `subset__…` keys into the map `subset`. The presence of any of them makes the request one
 * for a subset.
 */
export const gatherSubset = (query: Readonly<Record<string, unknown>>): MergedParams => {
  const main = emptyParams()
  let subset: MergedParams | undefined
  for (const key in query) {
    if (key.startsWith(subsetPrefix)) (subset ??= emptyParams())[key.slice(subsetPrefix.length)] = query[key]
    else main[key] = query[key]
  }
  if (subset !== undefined) {
    const given = main["subset"]
    main["subset"] = isRecord(given) ? assign(assign(emptyParams(), given), subset) : subset
  }
  return main
}

const notJson = (details: string) => Result.fail({ error: "Invalid JSON in request body", details })

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const bracket = 0x5b
const brace = 0x7b

/**
 * Whether a JSON text has more values and members than this, by its commas, colons and opening brackets outside of texts.
 * A parser takes seconds for a few megabytes of brackets; counting them takes milliseconds.
 */
export const hasMoreItems = (json: Uint8Array, most: number): boolean => {
  let items = 0
  let inText = false
  for (let i = 0; i < json.length; i++) {
    const byte = json[i] as number
    if (byte === quote) inText = !inText
    else if (inText) {
      if (byte === backslash) i++
    } else if (byte === comma || byte === colon || byte === bracket || byte === brace) {
      if (++items > most) return true
    }
  }
  return false
}

/** The JSON object of a request body; `undefined` for an empty one. The error is a reply body. */
export const parseBody = (
  bytes: Uint8Array,
  limits: Limits
): Result.Result<Readonly<Record<string, unknown>> | undefined, { readonly [key: string]: string }> => {
  if (bytes.length === 0) return Result.succeed(undefined)
  if (!isUtf8(bytes)) return notJson("the body is not UTF-8")
  if (hasMoreItems(bytes, limits.bodyItems))
    return Result.fail({ error: "Request body too large", details: aboveLimit("bodyItems", limits) })
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8"))
  } catch (error) {
    return notJson(error instanceof Error ? error.message : "syntax error")
  }
  return isRecord(value)
    ? Result.succeed(value)
    : Result.fail({ error: "Request body must be a JSON object" })
}

/**
 * Lays a body over the query parameters; the body wins. With an object under `subset`, that is the subset and
 * all else are main parameters; without, the names of subset parameters belong to the subset, `where` and
 * `offset` included.
 */
export const mergeBody = (
  query: MergedParams,
  body: Readonly<Record<string, unknown>> | undefined
): MergedParams => {
  if (body === undefined) return query
  const main = assign(emptyParams(), query)
  const wrapped = body["subset"]
  let subset: MergedParams | undefined
  for (const key of Object.keys(body)) {
    if (isRecord(wrapped) ? key === "subset" : subsetBodyKeys.has(key)) {
      if (key !== "subset") (subset ??= emptyParams())[key] = body[key]
    } else main[key] = body[key]
  }
  if (isRecord(wrapped)) subset = assign(emptyParams(), wrapped)
  if (subset !== undefined) {
    const given = query["subset"]
    main["subset"] = isRecord(given) ? assign(assign(emptyParams(), given), subset) : subset
  }
  return main
}
