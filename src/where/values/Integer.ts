import { fail, invalidSyntax } from "./Failure.ts"

/**
 * Integers are numbers while they are safe and bigints beyond: JavaScript compares the two kinds exactly, and
 * a value has one representation only, so `===` is equality.
 */
export type Integer = number | bigint

export const normalise = (value: bigint): Integer =>
  value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value

const range = {
  int2: { min: -32768, max: 32767, name: "smallint" },
  int4: { min: -2147483648, max: 2147483647, name: "integer" },
  int8: { min: -(2n ** 63n), max: 2n ** 63n - 1n, name: "bigint" },
  oid: { min: 0, max: 4294967295, name: "oid" }
} as const

export type IntegerType = keyof typeof range

const plain = /^-?[0-9]{1,15}$/
const general =
  /^[ \t\n\v\f\r]*([+-]?)([0-9]+(?:_[0-9]+)*|0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)[ \t\n\v\f\r]*$/

/** Postgres' input function for the integer types (`0x`, `0o`, `0b` and `_` as of PostgreSQL 16). */
export const parseInteger = (text: string, type: IntegerType): Integer => {
  const { min, max, name } = range[type]
  let value: Integer
  if (plain.test(text)) value = Number(text) + 0
  else {
    const match = general.exec(text)
    if (match === null) return invalidSyntax(name, text)
    const magnitude = BigInt((match[2] ?? "").replaceAll("_", "").replace(/^0+(?=[0-9])/, ""))
    value = normalise(match[1] === "-" ? -magnitude : magnitude)
  }
  if (value < min || value > max) {
    if (type === "oid" && value < 0 && value >= -2147483648) return Number(value) + 4294967296
    return fail(`value "${text}" is out of range for type ${name}`)
  }
  return value === 0 ? 0 : value
}

export const check = (value: number, type: "int2" | "int4"): number => {
  const { min, max, name } = range[type]
  if (value < min || value > max) return fail(`${name} out of range`)
  return value === 0 ? 0 : value
}

export const check8 = (value: bigint): Integer => {
  if (value < range.int8.min || value > range.int8.max) return fail("bigint out of range")
  return normalise(value)
}

export const add8 = (a: Integer, b: Integer): Integer => {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b
    if (Number.isSafeInteger(sum)) return sum
  }
  return check8(BigInt(a) + BigInt(b))
}

export const sub8 = (a: Integer, b: Integer): Integer => {
  if (typeof a === "number" && typeof b === "number") {
    const difference = a - b
    if (Number.isSafeInteger(difference)) return difference
  }
  return check8(BigInt(a) - BigInt(b))
}

export const mul8 = (a: Integer, b: Integer): Integer => {
  if (typeof a === "number" && typeof b === "number") {
    const product = a * b
    if (Number.isSafeInteger(product)) return product === 0 ? 0 : product
  }
  return check8(BigInt(a) * BigInt(b))
}

export const div8 = (a: Integer, b: Integer): Integer => {
  if (b === 0) return fail("division by zero")
  // Whole numbers whose quotient is one: exact, as the remainder is.
  if (typeof a === "number" && typeof b === "number") return (a - (a % b)) / b + 0
  return check8(BigInt(a) / BigInt(b))
}

export const mod8 = (a: Integer, b: Integer): Integer => {
  if (b === 0) return fail("division by zero")
  // The remainder of safe numbers is exact; adding 0 makes 0 of -0.
  if (typeof a === "number" && typeof b === "number") return (a % b) + 0
  return check8(BigInt(a) % BigInt(b))
}

export const compareIntegers = (a: Integer, b: Integer): number => (a < b ? -1 : a > b ? 1 : 0)
