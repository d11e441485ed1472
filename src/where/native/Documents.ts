import type { ArrayValue } from "../values/Arrays.ts"
import { fail, undecided } from "../values/Failure.ts"
import { inetWithin, networkOf, printHost, type Inet } from "../values/Inet.ts"
import * as js from "../values/Json.ts"
import type { Json } from "../values/Json.ts"
import { parseFloat4, parseFloat8 } from "../values/Float.ts"
import { printNumeric, toInteger, type Numeric } from "../values/Numeric.ts"
import { spend, spendText } from "../values/Work.ts"
import { define, group } from "./Native.ts"

group("JSON")

/** Nothing found is SQL NULL. */
const orNull = <A>(value: A | undefined): A | null => (value === undefined ? null : value)
const textOf = (value: Json | undefined): string | null => (value === undefined ? null : js.jsonbText(value))

define("jsonb_object_field", (value: Json, key: string) => orNull(js.jsonbMember(value, key)))
define("jsonb_object_field_text", (value: Json, key: string) => textOf(js.jsonbMember(value, key)))
define("jsonb_array_element", (value: Json, index: number) => orNull(js.jsonbElement(value, index)))
define("jsonb_array_element_text", (value: Json, index: number) => textOf(js.jsonbElement(value, index)))
define("jsonb_extract_path", (value: Json, path: ArrayValue) => orNull(js.jsonbPath(value, path.elements)))
define("jsonb_extract_path_text", (value: Json, path: ArrayValue) =>
  textOf(js.jsonbPath(value, path.elements))
)
define("jsonb_contains", js.jsonbContains)
define("jsonb_contained", (a: Json, b: Json) => js.jsonbContains(b, a))
define("jsonb_exists", js.jsonbExists)
define("jsonb_exists_any", (value: Json, keys: ArrayValue) => {
  spend(keys.elements.length * 6)
  return keys.elements.some((key) => key !== null && js.jsonbExists(value, String(key)))
})
define("jsonb_exists_all", (value: Json, keys: ArrayValue) => {
  spend(keys.elements.length * 6)
  return keys.elements.every((key) => key === null || js.jsonbExists(value, String(key)))
})
define("jsonb_typeof", js.jsonbType)
define("jsonb_array_length", (value: Json) => {
  if (Array.isArray(value)) return value.length
  return fail(
    js.jsonbType(value) === "object"
      ? "cannot get array length of a non-array"
      : "cannot get array length of a scalar"
  )
})

define("json_object_field", (text: string, key: string) => orNull(js.jsonTextMember(text, key)))
define("json_object_field_text", (text: string, key: string) =>
  js.jsonMemberText(js.jsonTextMember(text, key))
)
define("json_array_element", (text: string, index: number) => orNull(js.jsonTextElement(text, index)))
define("json_array_element_text", (text: string, index: number) =>
  js.jsonMemberText(js.jsonTextElement(text, index))
)
define("json_extract_path", (text: string, path: ArrayValue) => orNull(js.jsonTextPath(text, path.elements)))
define("json_extract_path_text", (text: string, path: ArrayValue) =>
  js.jsonMemberText(js.jsonTextPath(text, path.elements))
)
define("json_typeof", (text: string) => js.jsonbType(js.parseJsonb(text)))
define("json_array_length", (text: string) => {
  const value = js.parseJsonb(text)
  return Array.isArray(value) ? value.length : fail("cannot get array length of a non-array")
})

/** Casts of a scalar; JSON null becomes NULL as of PostgreSQL 18 and is an error before: left to Postgres. */
const number = (value: Json): Numeric => {
  if (value === js.jsonNull) return undecided("a cast of JSON null")
  return value instanceof js.JsonNumber
    ? value.value
    : fail(`cannot cast jsonb ${js.jsonbType(value)} to a number`)
}
define("jsonb_numeric", number)
define("jsonb_int2", (value: Json) => toInteger(number(value), "int2"))
define("jsonb_int4", (value: Json) => toInteger(number(value), "int4"))
define("jsonb_int8", (value: Json) => toInteger(number(value), "int8"))
define("jsonb_float4", (value: Json) => parseFloat4(printNumeric(number(value))))
define("jsonb_float8", (value: Json) => parseFloat8(printNumeric(number(value))))
define("jsonb_bool", (value: Json) => {
  if (value === js.jsonNull) return undecided("a cast of JSON null")
  return typeof value === "boolean" ? value : fail(`cannot cast jsonb ${js.jsonbType(value)} to type boolean`)
})

group("network addresses")
define("network_sub", (a: Inet, b: Inet) => inetWithin(a, b, true))
define("network_subeq", (a: Inet, b: Inet) => inetWithin(a, b, false))
define("network_sup", (a: Inet, b: Inet) => inetWithin(b, a, true))
define("network_supeq", (a: Inet, b: Inet) => inetWithin(b, a, false))
define("network_overlap", (a: Inet, b: Inet) => inetWithin(a, b, false) || inetWithin(b, a, false))
define("network_family", (a: Inet) => a.family)
define("network_masklen", (a: Inet) => a.bits)
define("network_host", (a: Inet) => printHost(a))
define("network_show", (a: Inet) => `${printHost(a)}/${a.bits}`)
define("network_network", (a: Inet): Inet => ({ ...a, address: networkOf(a) }))

group("bytea")
define("byteaoctetlen", (value: string) => value.length / 2)
define("byteacat", (a: string, b: string) => {
  spendText(a.length + b.length)
  return a + b
})
