import type { FunctionEntry, TypeCatalogue } from "../catalogue/TypeCatalogue.ts"

/**
 * Identifies a function of Postgres itself across versions: its C symbol, or name and argument types for the few
 * that are written in SQL. `undefined` for functions of extensions and users.
 */
export const builtinKey = (catalogue: TypeCatalogue, entry: FunctionEntry): string | undefined => {
  if (entry.schema !== "pg_catalog" || entry.oid >= 16384) return undefined
  if (entry.internal) return entry.symbol
  return `${entry.name}(${entry.args.map((type) => catalogue.type(type)?.name ?? "?").join(",")})`
}

/**
 * STABLE functions that depend on nothing but session settings this service fixes (time zone, date and interval
 * style, float and bytea output): for us they are immutable.
 */
export const settled: ReadonlySet<string> = new Set([
  ...["eq", "ne", "lt", "le", "gt", "ge", "cmp"].flatMap((op) => [
    `date_${op}_timestamptz`,
    `timestamp_${op}_timestamptz`,
    `timestamptz_${op}_date`,
    `timestamptz_${op}_timestamp`
  ]),
  "timestamptz_pl_interval",
  "timestamptz_mi_interval",
  "interval_pl_timestamptz(interval,timestamptz)",
  "timestamptz_trunc",
  "timestamptz_part",
  "extract_timestamptz",
  "timestamptz_timestamp",
  "timestamp_timestamptz",
  "timestamptz_date",
  "date_timestamptz",
  "timestamptz_time",
  "timestamptz_timetz",
  "time_timetz",
  "timestamptz_age",
  "timestamptz_to_char",
  "timestamp_to_char",
  "interval_to_char",
  "numeric_to_char",
  "int4_to_char",
  "int8_to_char",
  "float4_to_char",
  "float8_to_char",
  "numeric_to_number",
  "to_timestamp",
  "to_date",
  "make_timestamptz",
  "make_timestamptz_at_timezone",
  "timestamptz_izone",
  "timetz_zone",
  "timetz_izone",
  "timetz_at_local",
  "timestamp_at_local",
  "timestamptz_at_local",
  "text_concat",
  "text_concat_ws",
  "text_format",
  "text_format_nv",
  "array_to_text",
  "array_to_text_null",
  "textanycat(text,anynonarray)",
  "anytextcat(anynonarray,text)",
  "to_json",
  "to_jsonb",
  "row_to_json",
  "row_to_json_pretty",
  "array_to_json",
  "array_to_json_pretty",
  "json_build_object",
  "json_build_object_noargs",
  "json_build_array",
  "json_build_array_noargs",
  "jsonb_build_object",
  "jsonb_build_object_noargs",
  "jsonb_build_array",
  "jsonb_build_array_noargs",
  "jsonb_path_exists_tz",
  "jsonb_path_match_tz",
  "jsonb_path_query_array_tz",
  "jsonb_path_query_first_tz",
  "quote_literal(anyelement)",
  "quote_nullable(anyelement)",
  "overlaps(timestamptz,interval,timestamptz,interval)",
  "overlaps(timestamptz,timestamptz,timestamptz,interval)",
  "overlaps(timestamptz,interval,timestamptz,timestamptz)",
  "concat",
  "convert_to",
  "pg_convert_to"
])

/** Whether the result follows from the arguments alone, the service's fixed settings taken for granted. */
export const isSettled = (catalogue: TypeCatalogue, entry: FunctionEntry): boolean => {
  if (entry.volatility === "i") return true
  if (entry.volatility === "v") return false
  const key = builtinKey(catalogue, entry)
  return key !== undefined && settled.has(key)
}

/** For messages. */
export const volatilityName = (entry: FunctionEntry): string =>
  entry.volatility === "v" ? "volatile" : entry.volatility === "s" ? "stable" : "immutable"
