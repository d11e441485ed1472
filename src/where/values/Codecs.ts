import { BoundedMap } from "../../shared/BoundedMap.ts"
import { arraysEqual, compareArrays, type ArrayValue } from "./Arrays.ts"
import { parseArray, printArray } from "./ArrayText.ts"
import type { Codec } from "./Codec.ts"
import { parseComposite, printComposite } from "./Composite.ts"
import { fail, invalidSyntax, undecided } from "./Failure.ts"
import { compareFloats, parseFloat4, parseFloat8, printFloat4, printFloat8 } from "./Float.ts"
import { compareInet, parseInet, printInet, type Inet } from "./Inet.ts"
import { compareIntegers, parseInteger, type Integer, type IntegerType } from "./Integer.ts"
import { compareIntervals, intervalMicros, parseInterval, printInterval, type Interval } from "./Interval.ts"
import { checkJson, jsonbKey, parseJsonb, printJsonb, type Json } from "./Json.ts"
import { compareNumeric, numericKey, parseNumeric, printNumeric, type Numeric } from "./Numeric.ts"
import { compareRanges, parseRange, printRange, type Range, type RangeSubtype } from "./Ranges.ts"
import { compareCodePoints, trimBlanks, type CollationKind } from "./Text.ts"
import { spend } from "./Work.ts"
import {
  compareTimetz,
  parseDate,
  parseTime,
  parseTimestamp,
  parseTimestamptz,
  parseTimetz,
  printDate,
  printTime,
  printTimestamp,
  printTimestamptz,
  printTimetz,
  type TimeTz
} from "./Timestamps.ts"
import type { ScalarName, TypeSpec } from "./TypeSpec.ts"

const identity = (value: unknown): unknown => value

/** Values that are read and written at once, and compared by the language's own operators. */
const cheap = 15
/** Gives a codec over a known value type the general form. */
const codec = <A>(
  read: (text: string) => A,
  write: (value: A) => string,
  compare?: (a: A, b: A) => number,
  key?: (value: A) => unknown,
  textSteps = cheap
): Codec => ({ read, write, compare, key, textSteps, keySteps: key === identity ? 3 : 35 }) as Codec

const parseBool = (text: string): boolean => {
  if (text === "t") return true
  if (text === "f") return false
  const word = text.trim().toLowerCase()
  if (word !== "" && ("true".startsWith(word) || "yes".startsWith(word) || word === "on" || word === "1"))
    return true
  if (word !== "" && ("false".startsWith(word) || "no".startsWith(word) || word === "0")) return false
  if (word === "of" || word === "off") return false
  return invalidSyntax("boolean", text)
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const looseUuid = /^(?:\{(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\}|(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4})$/

const parseUuid = (text: string): string => {
  if (uuidForm.test(text)) return text
  if (!looseUuid.test(text)) return invalidSyntax("uuid", text)
  const hex = text.replaceAll(/[{}-]/g, "").toLowerCase()
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The value of a `bytea` is its lower-case hexadecimal text: same order, same identity as the bytes. */
const parseBytea = (text: string): string => {
  spend(text.length * (text.startsWith("\\x") ? 2 : 6))
  if (text.startsWith("\\x")) {
    const hex = text.slice(2).replaceAll(/[ \t\n\r]/g, "")
    if (hex.length % 2 === 1) return fail("invalid hexadecimal data: odd number of digits")
    return /^[0-9a-fA-F]*$/.test(hex) ? hex.toLowerCase() : fail("invalid hexadecimal digit")
  }
  const bytes: Array<number> = []
  const source = Buffer.from(text, "utf8")
  for (let i = 0; i < source.length; i++) {
    const byte = source[i] ?? 0
    if (byte !== 92) bytes.push(byte)
    else if (source[i + 1] === 92) {
      bytes.push(92)
      i++
    } else {
      const octal = source.toString("latin1", i + 1, i + 4)
      if (!/^[0-3][0-7]{2}$/.test(octal)) return invalidSyntax("bytea", text)
      bytes.push(Number.parseInt(octal, 8))
      i += 3
    }
  }
  return Buffer.from(bytes).toString("hex")
}

const compareStrings = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const same = (text: string): string => text

const integers = (type: IntegerType): Codec =>
  codec<Integer>((text) => parseInteger(text, type), String, compareIntegers, identity)

/** -0 equals 0, NaN equals itself: a Map sees both that way. */
const floatKey = (value: number): number => value

const ordered = (kind: CollationKind | undefined): boolean => kind === "c" || kind === "codepoint"

const textCodec = (collation: CollationKind | undefined): Codec =>
  codec<string>(same, same, ordered(collation) ? compareCodePoints : undefined, identity)

const bpcharCodec = (collation: CollationKind | undefined): Codec =>
  codec<string>(
    same,
    same,
    ordered(collation) ? (a, b) => compareCodePoints(trimBlanks(a), trimBlanks(b)) : undefined,
    trimBlanks
  )

const parseName = (text: string): string => {
  const bytes = Buffer.from(text, "utf8")
  return bytes.length < 64 ? text : undecided("an identifier longer than 63 bytes")
}

const scalars: Readonly<Record<ScalarName, (collation: CollationKind | undefined) => Codec>> = {
  bool: () =>
    codec<boolean>(
      parseBool,
      (value) => (value ? "t" : "f"),
      (a, b) => Number(a) - Number(b),
      identity
    ),
  int2: () => integers("int2"),
  int4: () => integers("int4"),
  int8: () => integers("int8"),
  oid: () => integers("oid"),
  float4: () =>
    codec<number>(parseFloat4, printFloat4, compareFloats, floatKey as (v: number) => unknown, 200),
  float8: () =>
    codec<number>(parseFloat8, printFloat8, compareFloats, floatKey as (v: number) => unknown, 80),
  numeric: () => codec<Numeric>(parseNumeric, printNumeric, compareNumeric, numericKey, 60),
  text: textCodec,
  varchar: textCodec,
  bpchar: bpcharCodec,
  name: () => codec<string>(parseName, same, compareCodePoints, identity),
  bytea: () => codec<string>(parseBytea, (value) => `\\x${value}`, compareStrings, identity),
  uuid: () => codec<string>(parseUuid, same, compareStrings, identity, 40),
  date: () => codec<number>(parseDate, printDate, compareIntegers, identity, 100),
  time: () => codec<number>(parseTime, printTime, compareIntegers, identity, 150),
  timetz: () => codec<TimeTz>(parseTimetz, printTimetz, compareTimetz, (v) => `${v.micros}/${v.zone}`, 200),
  timestamp: () => codec<Integer>(parseTimestamp, printTimestamp, compareIntegers, identity, 250),
  timestamptz: () => codec<Integer>(parseTimestamptz, printTimestamptz, compareIntegers, identity, 250),
  interval: () => codec<Interval>(parseInterval, printInterval, compareIntervals, intervalMicros, 250),
  json: () => codec<string>(checkJson, same, undefined, undefined, 60),
  jsonb: () => codec<Json>(parseJsonb, printJsonb, undefined, jsonbKey, 60),
  inet: () => inetCodec("inet"),
  cidr: () => inetCodec("cidr")
}

const inetCodec = (type: "inet" | "cidr"): Codec =>
  codec<Inet>(
    (text) => parseInet(text, type),
    (value) => printInet(value, type),
    compareInet,
    (value) => `${value.family}/${value.bits}/${value.address}`,
    500
  )

const cache = new BoundedMap<string, Codec>(10_000)

/** The codec of a type whose text, if any, is compared under `collation`. */
export const codecOf = (spec: TypeSpec, collation: CollationKind | undefined): Codec => {
  const id = `${typeof spec === "string" ? spec : JSON.stringify(spec)}|${collation ?? ""}`
  let known = cache.get(id)
  if (known === undefined) {
    known = makeCodec(spec, collation)
    cache.set(id, known)
  }
  return known
}

/** Types whose values are as long as one likes. */
const unbounded: ReadonlySet<ScalarName> = new Set([
  "text",
  "varchar",
  "bpchar",
  "bytea",
  "json",
  "jsonb",
  "numeric"
] as const)
/** No value of the other types is written longer, but for blanks and zeros. */
const maxScalarText = 1000

const bounded = (inner: Codec): Codec => ({
  ...inner,
  read: (text) =>
    text.length > maxScalarText ? undecided("a very long form of a short value") : inner.read(text)
})

const makeCodec = (spec: TypeSpec, collation: CollationKind | undefined): Codec => {
  if (typeof spec === "string")
    return unbounded.has(spec) ? scalars[spec](collation) : bounded(scalars[spec](collation))
  if ("array" in spec) return arrayCodec(codecOf(spec.array, collation), spec.delimiter ?? ",")
  if ("enum" in spec) return enumCodec(spec.enum)
  if ("range" in spec) return rangeCodec(rangeSubtype(spec, collation))
  if ("fields" in spec) return compositeCodec(spec.fields.map((field) => codecOf(field, collation)))
  return {
    read: () => undecided(`values of type ${spec.foreign}`),
    write: String,
    compare: undefined,
    key: undefined,
    textSteps: cheap,
    keySteps: cheap
  }
}

/** Up to here writing a key as JSON is in the price of making it. */
const longKey = 30

const arrayCodec = (element: Codec, delimiter: string): Codec => {
  const { compare, key } = element
  return codec<ArrayValue>(
    (text) => parseArray(text, element, delimiter),
    (value) => printArray(value, element, delimiter),
    compare === undefined ? undefined : (a, b) => compareArrays(a, b, compare, element.keySteps),
    key === undefined
      ? undefined
      : (value) => {
          spend(value.elements.length * (10 + element.keySteps))
          return JSON.stringify([
            value.lengths,
            value.lowerBounds,
            value.elements.map((part) => {
              const id = part === null ? null : key(part)
              if (typeof id === "string" && id.length > longKey) spend(id.length)
              return typeof id === "bigint" ? `n${id}` : typeof id === "number" ? `n${id}` : id
            })
          ])
        }
  )
}

/** Equality of array values through the keys of their elements. */
export const arrayEquality = (element: Codec): ((a: ArrayValue, b: ArrayValue) => boolean) | undefined => {
  const { key } = element
  if (key === undefined) return undefined
  const equal = (x: unknown, y: unknown): boolean => sameKey(key(x), key(y))
  return (a, b) => arraysEqual(a, b, equal, 2 * element.keySteps)
}

/** Identity of keys: as a Map sees it, so that NaN equals NaN. */
export const sameKey = (a: unknown, b: unknown): boolean => a === b || (a !== a && b !== b) // oxlint-disable-line no-self-compare -- NaN

/** Why a label cannot be told: it is none, or was added after the clause was compiled. */
export const unknownLabel = "an enum label added after the clause was compiled"

const enumCodec = (labels: ReadonlyArray<string>): Codec => {
  const ranks = new Map(labels.map((label, i) => [label, i]))
  const rank = (label: string): number => ranks.get(label) ?? undecided(unknownLabel)
  return codec<string>(
    (text) => (ranks.has(text) ? text : undecided(unknownLabel)),
    same,
    (a, b) => rank(a) - rank(b),
    identity
  )
}

/** The step from one value to the next of the built-in discrete range types. */
const nextValue = (spec: TypeSpec): ((value: unknown) => unknown) | undefined => {
  if (spec === "int4") {
    return (value) => (Number(value) >= 2147483647 ? fail("integer out of range") : Number(value) + 1)
  }
  if (spec === "int8") {
    return (value) => {
      const next = BigInt(value as Integer) + 1n
      return next > 9223372036854775807n ? fail("bigint out of range") : parseInteger(String(next), "int8")
    }
  }
  // Infinite dates are left as they are.
  if (spec === "date") return (value) => Number(value) + 1
  return undefined
}

export const rangeSubtype = (
  spec: { readonly range: TypeSpec; readonly discrete: boolean },
  collation: CollationKind | undefined
): RangeSubtype => {
  const inner = codecOf(spec.range, collation)
  const next = spec.discrete ? nextValue(spec.range) : undefined
  return {
    codec: inner,
    compare: inner.compare ?? (() => undecided("the order of a range's bounds")),
    next: spec.discrete && next === undefined ? () => undecided("the canonical form of a range type") : next
  }
}

const rangeCodec = (subtype: RangeSubtype): Codec => {
  const { key } = subtype.codec
  return codec<Range>(
    (text) => parseRange(text, subtype),
    (value) => printRange(value, subtype.codec),
    (a, b) => compareRanges(a, b, subtype),
    key === undefined
      ? undefined
      : (range) =>
          range.empty
            ? "empty"
            : `${range.lowerInclusive ? "[" : "("}${range.lower === null ? "" : `v${String(key(range.lower))}`},${
                range.upper === null ? "" : `v${String(key(range.upper))}`
              }${range.upperInclusive ? "]" : ")"}`,
    60 + 2 * subtype.codec.textSteps
  )
}

const compositeCodec = (fields: ReadonlyArray<Codec>): Codec =>
  codec<ReadonlyArray<unknown>>(
    (text) => parseComposite(text, fields),
    (value) => printComposite(value, fields),
    fields.every((field) => field.compare !== undefined) ? (a, b) => compareRows(a, b, fields) : undefined,
    fields.every((field) => field.key !== undefined)
      ? (value) =>
          JSON.stringify(
            value.map((part, i) => {
              const id = part === null ? null : fields[i]?.key?.(part)
              if (typeof id === "string" && id.length > longKey) spend(id.length)
              return typeof id === "bigint" || typeof id === "number" ? `n${id}` : id
            })
          )
      : undefined,
    fields.reduce((steps, field) => steps + field.textSteps, 60)
  )

/** Field by field, NULL above everything. */
const compareRows = (
  a: ReadonlyArray<unknown>,
  b: ReadonlyArray<unknown>,
  fields: ReadonlyArray<Codec>
): number => {
  for (let i = 0; i < fields.length; i++) {
    const left = a[i]
    const right = b[i]
    if (left === null || right === null) {
      if (left !== right) return left === null ? 1 : -1
      continue
    }
    const order = fields[i]?.compare?.(left, right) ?? 0
    if (order !== 0) return order
  }
  return 0
}
