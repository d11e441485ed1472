import { arrayEquality, codecOf, sameKey } from "../values/Codecs.ts"
import type { ArrayValue } from "../values/Arrays.ts"
import type { Codec } from "../values/Codec.ts"
import { compareFloats } from "../values/Float.ts"
import { compareInet, type Inet } from "../values/Inet.ts"
import type { Integer } from "../values/Integer.ts"
import { jsonbEqual, type Json } from "../values/Json.ts"
import { compareIntervals, type Interval } from "../values/Interval.ts"
import { compareNumeric, type Numeric } from "../values/Numeric.ts"
import { compareCodePoints, sameText, trimBlanks } from "../values/Text.ts"
import { compareTimetz, isInfinite, microsPerDay, type TimeTz } from "../values/Timestamps.ts"
import { normalise } from "../values/Integer.ts"
import { isForeign } from "../values/TypeSpec.ts"
import { define, defineComparison, group, type ComparisonOperator, type Signature } from "./Native.ts"

const operators: ReadonlyArray<readonly [string, ComparisonOperator]> = [
  ["eq", "="],
  ["ne", "<>"],
  ["lt", "<"],
  ["le", "<="],
  ["gt", ">"],
  ["ge", ">="]
]

const test = (operator: ComparisonOperator, order: number): boolean => {
  switch (operator) {
    case "=":
      return order === 0
    case "<>":
      return order !== 0
    case "<":
      return order < 0
    case "<=":
      return order <= 0
    case ">":
      return order > 0
    case ">=":
      return order >= 0
  }
}

type Pair<A> = (a: A, b: A) => boolean

/** Comparison by the language's own operators, for representations where those are Postgres' order. */
const primitive: Readonly<Record<ComparisonOperator, Pair<never>>> = {
  "=": (a, b) => a === b,
  "<>": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b
}

const primitives = (prefixes: string, separator: string): void => {
  for (const prefix of prefixes.split(" ")) {
    for (const [suffix, operator] of operators) {
      const implementation = primitive[operator] as (...args: ReadonlyArray<unknown>) => unknown
      defineComparison(`${prefix}${separator}${suffix}`, operator, false, () => implementation)
    }
  }
}

/** Comparison by a function that returns an order. */
const byOrder = <A>(prefixes: string, separator: string, compare: (a: A, b: A) => number): void => {
  for (const prefix of prefixes.split(" ")) {
    for (const [suffix, operator] of operators) {
      const implementation = (a: unknown, b: unknown): boolean => test(operator, compare(a as A, b as A))
      defineComparison(`${prefix}${separator}${suffix}`, operator, false, () => implementation)
    }
  }
}

group("comparison")
primitives("int2 int24 int28 int42 int4 int48 int82 int84 int8 oid bool", "")
primitives("date time timestamp uuid", "_")
byOrder<number>("float4 float48 float84 float8", "", compareFloats)
byOrder<Numeric>("numeric", "_", compareNumeric)
byOrder<Interval>("interval", "_", compareIntervals)
byOrder<TimeTz>("timetz", "_", compareTimetz)
byOrder<Inet>("network", "_", compareInet)

const deterministic = (signature: Signature): boolean => signature.collation !== undefined

/** Text: equality is bytewise under every deterministic collation, order only where it is that of code points. */
const textual = (eq: string, ne: string, order: ReadonlyArray<string>, trim: boolean): void => {
  const value = trim ? (text: unknown) => trimBlanks(String(text)) : (text: unknown) => text as string
  defineComparison(eq, "=", true, (signature) =>
    deterministic(signature) ? (a, b) => sameText(value(a), value(b)) : undefined
  )
  defineComparison(ne, "<>", true, (signature) =>
    deterministic(signature) ? (a, b) => !sameText(value(a), value(b)) : undefined
  )
  for (const [i, operator] of (["<", "<=", ">", ">="] as const).entries()) {
    defineComparison(order[i] ?? "", operator, true, ({ collation }) =>
      collation === "c" || collation === "codepoint"
        ? (a, b) => test(operator, compareCodePoints(value(a), value(b)))
        : undefined
    )
  }
}

// Hexadecimal texts stand for bytes.
byOrder<string>("bytea", "", compareCodePoints)

textual("texteq", "textne", ["text_lt", "text_le", "text_gt", "text_ge"], false)
textual("nameeq", "namene", ["namelt", "namele", "namegt", "namege"], false)
textual("nameeqtext", "namenetext", ["namelttext", "nameletext", "namegttext", "namegetext"], false)
textual("texteqname", "textnename", ["textltname", "textlename", "textgtname", "textgename"], false)
textual("bpchareq", "bpcharne", ["bpcharlt", "bpcharle", "bpchargt", "bpcharge"], true)

/** Types made of others: through the codec of the left operand. */
const structured = (prefix: string): void => {
  for (const [suffix, operator] of operators) {
    defineComparison(`${prefix}_${suffix}`, operator, true, (signature) => {
      const [left, right] = signature.args
      if (left === undefined || right === undefined || signature.collation === undefined) return undefined
      if (isForeign(left) || JSON.stringify(left) !== JSON.stringify(right)) return undefined
      const codec = codecOf(left, signature.collation)
      if (operator === "=" || operator === "<>") {
        const equal = equality(
          codec,
          typeof left !== "string" && "array" in left ? codecOf(left.array, signature.collation) : undefined
        )
        if (equal === undefined) return undefined
        return operator === "=" ? equal : (a, b) => !equal(a, b)
      }
      const { compare } = codec
      return compare === undefined ? undefined : (a, b) => test(operator, compare(a, b))
    })
  }
}

const equality = (
  codec: Codec,
  element: Codec | undefined
): ((a: unknown, b: unknown) => boolean) | undefined => {
  if (element !== undefined) {
    const equal = arrayEquality(element)
    return equal === undefined ? undefined : (a, b) => equal(a as ArrayValue, b as ArrayValue)
  }
  const { key } = codec
  return key === undefined ? undefined : (a, b) => sameKey(key(a), key(b))
}

structured("enum")
structured("array")
structured("range")
structured("record")

define("jsonb_eq", (a: Json, b: Json) => jsonbEqual(a, b))
define("jsonb_ne", (a: Json, b: Json) => !jsonbEqual(a, b))

/** The moment a date begins, without the range check: comparisons never overflow. */
const startOf = (date: Integer): Integer => {
  if (isInfinite(date)) return date
  const quick = Number(date) * microsPerDay
  return Number.isSafeInteger(quick) ? quick : normalise(BigInt(date) * BigInt(microsPerDay))
}

for (const [suffix, operator] of operators) {
  const compare = primitive[operator] as unknown as (a: Integer, b: Integer) => boolean
  for (const other of ["timestamp", "timestamptz"]) {
    define(`date_${suffix}_${other}`, (a: Integer, b: Integer) => compare(startOf(a), b))
    define(`${other}_${suffix}_date`, (a: Integer, b: Integer) => compare(a, startOf(b)))
  }
  define(
    `timestamp_${suffix}_timestamptz timestamptz_${suffix}_timestamp`,
    compare as (a: Integer, b: Integer) => boolean
  )
}
