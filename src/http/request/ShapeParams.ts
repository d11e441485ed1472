import { Result } from "effect"
import { beforeAll, formatOffset, parseOffset, type LogOffset } from "../../shapes/LogOffset.ts"
import {
  boolean,
  coerceAll,
  flag,
  map,
  names,
  oneOf,
  text,
  textMap,
  type ParameterErrors
} from "./Parameters.ts"

/** What decides which shape a request means; an `authorize` hook may replace any of it. */
export interface ShapeSelection {
  readonly table?: string | undefined
  readonly where?: string | undefined
  readonly params?: Readonly<Record<string, string>> | undefined
  readonly columns?: string | ReadonlyArray<string> | undefined
  readonly queryable_columns?: string | ReadonlyArray<string> | undefined
  readonly replica?: "default" | "full" | undefined
  readonly log?: "full" | "changes_only" | undefined
}

/** Where in the log a request reads. `now` is the end, whatever it is. */
export interface ReadPosition {
  readonly offset: LogOffset
  readonly now: boolean
  /** Canonical spelling, as it appears in etags. */
  readonly text: string
}

/** A request that passed every check that needs no catalogue. */
export interface ShapeParams {
  readonly selection: ShapeSelection
  readonly position: ReadPosition
  /** Undefined also when the request had one that does not count (`offset` `-1` or `now`). */
  readonly handle: string | undefined
  readonly live: boolean
  readonly sse: boolean
  /** Present when the request asks for a subset; its parameters are not checked yet. */
  readonly subset: Readonly<Record<string, unknown>> | undefined
}

/** Parameters of `/v1/shape`: the parser below and the API description both read this table. */
export const shapeParameters = {
  table: text(
    "Table to sync, `name` or `schema.name`, in SQL identifier syntax; the schema defaults to `public`.",
    { maxLength: 1000, examples: ["items", 'app."Items"'] }
  ),
  offset: text(
    "Where to read from: `-1` for the beginning, `now` for the end, otherwise the `electric-offset` of the previous response.",
    { maxLength: 200, pattern: "^(-1|now|[0-9]+_([0-9]+|inf))$", examples: ["-1", "now", "26800584_4"] }
  ),
  handle: text(
    "The `electric-handle` of the previous response. Required unless `offset` is `-1` or `now`, where it has no meaning.",
    { maxLength: 1000 }
  ),
  live: flag("Wait for new data instead of answering at once when there is none."),
  live_sse: flag("With `live`: stream server-sent events instead of one answer."),
  experimental_live_sse: boolean("Deprecated name of `live_sse`, read only when that is absent."),
  where: text(
    "SQL condition over the table's columns: only rows for which it is true belong to the shape. It may have sub-selects over other tables, whose changes let rows enter and leave.",
    {
      examples: ["owner = $1 AND done IS NOT TRUE"]
    }
  ),
  params: textMap("Values of `$1`, `$2` … in `where`: `params[1]=…&params[2]=…`."),
  columns: names(
    "Columns to sync, comma-separated SQL identifiers (or `columns[]=…` names as they are); all if absent. Must include the primary key."
  ),
  queryable_columns: names(
    "Columns that `columns` and subset conditions may use; all if absent. Meant to be set by a proxy or an authorisation hook."
  ),
  replica: oneOf(
    "`full`: updates and deletes carry whole rows, and updates the previous values of what changed.",
    ["default", "full"]
  ),
  log: oneOf("`changes_only`: no initial rows, only changes from now on.", ["full", "changes_only"]),
  experimental_compaction: boolean("Accepted and without effect."),
  subset: map("Parameters of a subset request; usually written `subset__<name>`.")
} as const

/** What the read parser ignores and others use. */
export const otherParameters = {
  cursor: text("The `electric-cursor` of the previous live response; makes the URL of the next one differ."),
  secret: text("The service's secret, when it has one."),
  api_secret: text("Deprecated name of `secret`.")
} as const

const strictDeleteParameters = {
  ...shapeParameters,
  live: boolean("See above."),
  live_sse: boolean("See above.")
} as const

const selectionOf = (values: {
  readonly [K in keyof ShapeSelection]-?: ShapeSelection[K]
}): ShapeSelection => ({
  table: values.table,
  where: values.where,
  params: values.params,
  columns: values.columns,
  queryable_columns: values.queryable_columns,
  replica: values.replica,
  log: values.log
})

const now: ReadPosition = { offset: beforeAll, now: true, text: "now" }
const start: ReadPosition = { offset: beforeAll, now: false, text: "-1" }

const parsePosition = (value: string): ReadPosition | undefined => {
  if (value === "now") return now
  const offset = parseOffset(value)
  if (offset === undefined) return undefined
  return offset.tx < 0n ? start : { offset, now: false, text: formatOffset(offset) }
}

const fail = (errors: ParameterErrors) => Result.fail(errors)
const one = (name: string, message: string) => Result.fail<ParameterErrors>({ [name]: [message] })

/**
 * Checks everything about a read request (GET, HEAD, POST) that can be checked without the catalogue, in stages:
 * types, what they mean by themselves, and presence of `offset`; its format; the handle; `live`; `live_sse`. A stage only runs if the one
 * before found nothing, and reports all that it finds.
 */
export const parseReadParams = (
  values: Readonly<Record<string, unknown>>
): Result.Result<ShapeParams, ParameterErrors> => {
  const { values: given, errors } = coerceAll(shapeParameters, values)
  const sse = given.live_sse ?? given.experimental_live_sse
  if (errors !== undefined || given.offset === undefined) {
    const { experimental_live_sse: alias, ...all } = errors ?? {}
    // The deprecated alias counts only without its successor, and is reported under that name.
    if (alias !== undefined && given.live_sse === undefined) all["live_sse"] = alias
    if (given.offset === undefined) all["offset"] ??= ["can't be blank"]
    if (Object.keys(all).length > 0) return fail(all)
  }
  const position = parsePosition(given.offset ?? "")
  if (position === undefined) return one("offset", "has invalid format")
  const fromStart = position.offset.tx < 0n
  if (given.handle === undefined && !fromStart) return one("handle", "can't be blank when offset != -1")
  const live = given.live ?? false
  if (live && fromStart)
    return one(
      "live",
      position.now ? "can't be true when offset is 'now'" : "can't be true when offset == -1"
    )
  if (sse === true && !live) return one("live_sse", "can't be true unless live is also true")
  return Result.succeed({
    selection: selectionOf(given),
    position,
    handle: fromStart ? undefined : given.handle,
    live,
    sse: sse ?? false,
    subset: given.subset
  })
}

/** What a DELETE names: a definition, a handle, or both. */
interface DeleteParams {
  readonly selection: ShapeSelection
  readonly handle: string | undefined
}

/** Booleans are strict here, and no offset is needed. */
export const parseDeleteParams = (
  values: Readonly<Record<string, unknown>>
): Result.Result<DeleteParams, ParameterErrors> => {
  const { values: given, errors } = coerceAll(strictDeleteParameters, values)
  if (errors !== undefined) return fail(errors)
  if (given.table === undefined && given.handle === undefined)
    return one("handle", "can't be blank when shape definition is missing")
  return Result.succeed({ selection: selectionOf(given), handle: given.handle })
}
