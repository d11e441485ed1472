import { fail, invalidSyntax } from "./Failure.ts"

const grammar = /^[ \t\n\v\f\r]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t\n\v\f\r]*$/
const special = /^[ \t\n\v\f\r]*([+-]?)(nan|infinity|inf)[ \t\n\v\f\r]*$/i

/** Postgres' input functions for the float types; hexadecimal input is refused by the caller's grammar. */
export const parseFloat8 = (text: string): number => {
  const match = grammar.exec(text)
  if (match === null) return parseSpecial(text, "double precision")
  const value = Number(match[1])
  if (!Number.isFinite(value) || (value === 0 && /[1-9]/.test((match[1] ?? "").split(/[eE]/)[0] ?? ""))) {
    return fail(`"${text}" is out of range for type double precision`)
  }
  return value
}

/**
 * Single precision. Going through a double can round twice, so a text whose double lies exactly between two
 * floats is decided by the digits themselves.
 */
export const parseFloat4 = (text: string): number => {
  const match = grammar.exec(text)
  if (match === null) return parseSpecial(text, "real")
  const digits = match[1] ?? ""
  const wide = Number(digits)
  let value = Math.fround(wide)
  if (value !== wide && Number.isFinite(value)) value = correctDoubleRounding(digits, wide, value)
  if (!Number.isFinite(value) || (value === 0 && /[1-9]/.test(digits.split(/[eE]/)[0] ?? ""))) {
    return fail(`"${text}" is out of range for type real`)
  }
  return value
}

const parseSpecial = (text: string, type: string): number => {
  const match = special.exec(text)
  if (match === null) return invalidSyntax(type, text)
  const [, sign, word = ""] = match
  if (word.toLowerCase() === "nan") return NaN
  return sign === "-" ? -Infinity : Infinity
}

const bits = new DataView(new ArrayBuffer(8))

const neighbour = (value: number, up: boolean): number => {
  bits.setFloat32(0, value)
  const raw = bits.getInt32(0)
  bits.setInt32(0, value > 0 === up ? raw + 1 : raw - 1)
  return bits.getFloat32(0)
}

const correctDoubleRounding = (digits: string, wide: number, rounded: number): number => {
  const other = neighbour(rounded, wide > rounded)
  const middle = rounded / 2 + other / 2
  if (wide !== middle || rounded === 0) return rounded
  const order = compareDecimal(digits, wide)
  if (order === 0) return rounded
  return order > 0 === other > rounded ? other : rounded
}

/** Compares decimal text with a double exactly. */
const compareDecimal = (text: string, value: number): number => {
  const [mantissa = "", exponentText = "0"] = text.toLowerCase().split("e")
  const [whole = "", fraction = ""] = mantissa.replace(/^[+-]/, "").split(".")
  let left = BigInt(whole + fraction) * (mantissa.startsWith("-") ? -1n : 1n)
  bits.setFloat64(0, value)
  const raw = bits.getBigUint64(0)
  const exponent = Number((raw >> 52n) & 0x7ffn)
  let right = (raw & 0xfffffffffffffn) | (exponent === 0 ? 0n : 1n << 52n)
  if (value < 0) right = -right
  const binary = Math.max(exponent, 1) - 1075
  const decimal = Number(exponentText) - fraction.length
  if (decimal >= 0) left *= 10n ** BigInt(decimal)
  else right *= 10n ** BigInt(-decimal)
  if (binary >= 0) right <<= BigInt(binary)
  else left <<= BigInt(-binary)
  return left < right ? -1 : left > right ? 1 : 0
}

/** Shortest decimal that reads back as the same value, written as Postgres writes it. */
const printShortest = (digits: string, exponent: number, negative: boolean, threshold: number): string => {
  const sign = negative ? "-" : ""
  if (exponent < -4 || exponent >= threshold) {
    const mantissa = digits.length > 1 ? `${digits[0] ?? ""}.${digits.slice(1)}` : digits
    const size = Math.abs(exponent)
    return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${size < 10 ? "0" : ""}${size}`
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, "0")
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`
}

const split = (text: string): { readonly digits: string; readonly exponent: number } => {
  const [mantissa = "", exponent = "0"] = text.split("e")
  return { digits: mantissa.replace(".", ""), exponent: Number(exponent) }
}

const printSpecial = (value: number): string =>
  Number.isNaN(value) ? "NaN" : value === Infinity ? "Infinity" : "-Infinity"

export const printFloat8 = (value: number): string => {
  if (!Number.isFinite(value)) return printSpecial(value)
  if (value === 0) return Object.is(value, -0) ? "-0" : "0"
  const { digits, exponent } = split(Math.abs(value).toExponential())
  return printShortest(digits, exponent, value < 0, 15)
}

export const printFloat4 = (value: number): string => {
  if (!Number.isFinite(value)) return printSpecial(value)
  if (value === 0) return Object.is(value, -0) ? "-0" : "0"
  const size = Math.abs(value)
  for (let precision = 0; precision < 9; precision++) {
    const text = size.toExponential(precision)
    if (Math.fround(Number(text)) === size) {
      const { digits, exponent } = split(text)
      return printShortest(digits.replace(/0+$/, "") || "0", exponent, value < 0, 6)
    }
  }
  const { digits, exponent } = split(size.toExponential(8))
  return printShortest(digits, exponent, value < 0, 6)
}

/** NaN equals itself and is above everything; -0 equals 0. */
export const compareFloats = (a: number, b: number): number => {
  if (a < b) return -1
  if (a > b) return 1
  if (a === b) return 0
  const nanA = Number.isNaN(a)
  return nanA === Number.isNaN(b) ? 0 : nanA ? 1 : -1
}

const isInfinity = (value: number): boolean => value === Infinity || value === -Infinity

/** Postgres raises an error when finite operands give an infinite result, or a product or quotient becomes zero. */
export const checkFloat = (result: number, a: number, b: number, mayBeZero: boolean): number => {
  if (isInfinity(result) && !isInfinity(a) && !isInfinity(b)) {
    return fail("value out of range: overflow")
  }
  if (result === 0 && !mayBeZero) return fail("value out of range: underflow")
  return result
}
