import { fail, invalidSyntax, undecided } from "./Failure.ts"
import { spend } from "./Work.ts"
import { normalise, type Integer } from "./Integer.ts"

/**
 * An exact decimal: `digits / 10^scale`; `scale` is what Postgres calls the display scale. `special` is
 * `undefined` for ordinary values. Values are immutable.
 * Source: PostgreSQL documentation, "Arbitrary Precision Numbers"; result scales as numeric.c documents them.
 */
export interface Numeric {
  readonly digits: bigint
  readonly scale: number
  readonly special: "NaN" | "Infinity" | "-Infinity" | undefined
}

export const finite = (digits: bigint, scale: number): Numeric => ({ digits, scale, special: undefined })
export const nan: Numeric = { digits: 0n, scale: 0, special: "NaN" }
export const infinity: Numeric = { digits: 0n, scale: 0, special: "Infinity" }
export const minusInfinity: Numeric = { digits: 0n, scale: 0, special: "-Infinity" }
const zero = finite(0n, 0)

/** Numbers below it are computed with for nothing; those with more digits than `maxDigits` are Postgres'. */
const ordinary = 10n ** 60n
const maxDigits = 5000
const huge = 10n ** BigInt(maxDigits)

/** Pays for long numbers. Throws `Undecided` for those that only Postgres computes with. */
const bounded = (digits: bigint): bigint => {
  if (digits < ordinary && digits > -ordinary) return digits
  if (digits > huge || digits < -huge) return undecided(`a number of more than ${maxDigits} digits`)
  spend(1000)
  return digits
}

/**
 * What writing a number as decimal digits, or dividing by it, takes: more than its length. By the number of its digits; those
 * that `bounded` lets pass for nothing are free.
 */
const longSteps: ReadonlyArray<readonly [bigint, number]> = [
  [ordinary, 0],
  [10n ** 300n, 2000],
  [10n ** 1000n, 8000],
  [10n ** 2500n, 30_000]
]
const spendDigits = (digits: bigint): void => {
  if (digits < ordinary && digits > -ordinary) return
  const size = digits < 0n ? -digits : digits
  spend(longSteps.find(([below]) => size < below)?.[1] ?? 100_000)
}

const powers: Array<bigint> = [1n]
export const pow10 = (n: number): bigint => {
  const known = powers[n]
  if (known !== undefined) return known
  if (n > 60) spend(n)
  const value = 10n ** BigInt(n)
  if (n < 2000) powers[n] = value
  return value
}

/** More digits than this on either side of the point overflow the format. */
const maxIntegerDigits = 131072
const maxScale = 16383

const plain = /^(-?)([0-9]+)(?:\.([0-9]+))?$/
const general =
  /^[ \t\n\v\f\r]*([+-]?)(?:([0-9]+(?:_[0-9]+)*)(?:\.((?:[0-9]+(?:_[0-9]+)*)?))?|\.([0-9]+(?:_[0-9]+)*))(?:[eE]([+-]?[0-9]+(?:_[0-9]+)*))?[ \t\n\v\f\r]*$/
const specials = /^[ \t\n\v\f\r]*([+-]?)(nan|infinity|inf)[ \t\n\v\f\r]*$/i
const based =
  /^[ \t\n\v\f\r]*([+-]?)(0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)[ \t\n\v\f\r]*$/

/** Postgres' input function for `numeric` without a modifier. */
export const parseNumeric = (text: string): Numeric => {
  const simple = text.length > 70 ? null : plain.exec(text)
  if (simple !== null) {
    const [, sign, whole = "", fraction = ""] = simple
    if (whole.length + fraction.length < 60) {
      const magnitude = BigInt(whole + fraction)
      return finite(sign === "-" ? -magnitude : magnitude, fraction.length)
    }
  }
  if (text.length > maxDigits) return undecided(`a number of more than ${maxDigits} digits`)
  spend(text.length * 2)
  const match = general.exec(text)
  if (match === null) {
    const special = specials.exec(text)
    if (special !== null) {
      const [, sign, word = ""] = special
      if (word.toLowerCase() === "nan") return sign === "" ? nan : invalidSyntax("numeric", text)
      return sign === "-" ? minusInfinity : infinity
    }
    const base = based.exec(text)
    if (base === null) return invalidSyntax("numeric", text)
    const magnitude = bounded(BigInt((base[2] ?? "").replaceAll("_", "")))
    return finite(base[1] === "-" ? -magnitude : magnitude, 0)
  }
  const whole = (match[2] ?? "").replaceAll("_", "")
  const fraction = (match[3] ?? match[4] ?? "").replaceAll("_", "")
  const exponent = Number((match[5] ?? "0").replaceAll("_", ""))
  if (Math.abs(exponent) > 1073741823) return invalidSyntax("numeric", text)
  const scale = fraction.length - exponent
  if (whole.replace(/^0+/, "").length + exponent > maxIntegerDigits || scale > maxScale) {
    return fail("value overflows numeric format")
  }
  const magnitude = BigInt(whole + fraction)
  const signed = match[1] === "-" ? -magnitude : magnitude
  if (scale < -maxDigits) return undecided(`a number of more than ${maxDigits} digits`)
  return scale >= 0 ? finite(signed, scale) : finite(bounded(signed * pow10(-scale)), 0)
}

export const printNumeric = (value: Numeric): string => {
  if (value.special !== undefined) return value.special
  const negative = value.digits < 0n
  spendDigits(bounded(value.digits))
  const digits = (negative ? -value.digits : value.digits).toString()
  const { scale } = value
  if (scale === 0) return negative ? `-${digits}` : digits
  const padded = digits.length > scale ? digits : "0".repeat(scale - digits.length + 1) + digits
  const point = padded.length - scale
  const text = `${padded.slice(0, point)}.${padded.slice(point)}`
  return negative ? `-${text}` : text
}

const rank = (value: Numeric): number =>
  value.special === undefined ? 0 : value.special === "NaN" ? 2 : value.special === "Infinity" ? 1 : -1

/** NaN equals itself and is above everything, as Postgres orders it. */
export const compareNumeric = (a: Numeric, b: Numeric): number => {
  const rankA = rank(a)
  const rankB = rank(b)
  if (rankA !== 0 || rankB !== 0) return rankA - rankB
  let left = a.digits
  let right = b.digits
  if (a.scale < b.scale) left = bounded(left * pow10(b.scale - a.scale))
  else if (b.scale < a.scale) right = bounded(right * pow10(a.scale - b.scale))
  return left < right ? -1 : left > right ? 1 : 0
}

/** Text that is the same for equal values and only for them, whatever their scales. */
export const numericKey = (value: Numeric): string => {
  if (value.special !== undefined) return value.special
  if (value.scale === 0) {
    spendDigits(bounded(value.digits))
    return value.digits.toString()
  }
  const text = printNumeric(value)
  let end = text.length
  while (text.charCodeAt(end - 1) === 48) end--
  if (text.charCodeAt(end - 1) === 46) end--
  const key = text.slice(0, end)
  return key === "-0" ? "0" : key
}

const checked = (value: Numeric): Numeric => {
  if (value.scale > maxScale) return rescale(value, maxScale)
  return value
}

export const addNumeric = (a: Numeric, b: Numeric): Numeric => {
  if (a.special !== undefined || b.special !== undefined) {
    if (a.special === "NaN" || b.special === "NaN") return nan
    if (a.special !== undefined && b.special !== undefined) return a.special === b.special ? a : nan
    return a.special === undefined ? b : a
  }
  const scale = Math.max(a.scale, b.scale)
  return finite(bounded(a.digits * pow10(scale - a.scale) + b.digits * pow10(scale - b.scale)), scale)
}

export const negateNumeric = (a: Numeric): Numeric =>
  a.special === undefined
    ? finite(-a.digits, a.scale)
    : a.special === "NaN"
      ? a
      : a.special === "Infinity"
        ? minusInfinity
        : infinity

export const subNumeric = (a: Numeric, b: Numeric): Numeric => addNumeric(a, negateNumeric(b))

export const signOf = (a: Numeric): number =>
  a.special !== undefined ? rank(a) : a.digits > 0n ? 1 : a.digits < 0n ? -1 : 0

export const mulNumeric = (a: Numeric, b: Numeric): Numeric => {
  if (a.special !== undefined || b.special !== undefined) {
    if (a.special === "NaN" || b.special === "NaN") return nan
    const sign = signOf(a) * signOf(b)
    return sign === 0 ? nan : sign > 0 ? infinity : minusInfinity
  }
  spendDigits(a.digits)
  spendDigits(b.digits)
  return checked(finite(bounded(a.digits * b.digits), a.scale + b.scale))
}

const absolute = (n: bigint): bigint => (n < 0n ? -n : n)

/** Quotient of integers rounded half away from zero. */
const divideRounded = (a: bigint, b: bigint): bigint => {
  const quotient = a / b
  const remainder = a % b
  if (absolute(remainder) * 2n >= absolute(b)) return a < 0n === b < 0n ? quotient + 1n : quotient - 1n
  return quotient
}

/** Rounds half away from zero to `scale` digits after the point (may be negative). */
export const rescale = (a: Numeric, scale: number): Numeric => {
  if (a.special !== undefined || a.scale === scale) return a
  if (scale > a.scale) return finite(bounded(a.digits * pow10(scale - a.scale)), scale)
  spendDigits(a.digits)
  const rounded = divideRounded(a.digits, pow10(a.scale - scale))
  return scale >= 0 ? finite(rounded, scale) : finite(rounded * pow10(-scale), 0)
}

export const truncate = (a: Numeric, scale: number): Numeric => {
  if (a.special !== undefined || a.scale === scale) return a
  if (scale > a.scale) return finite(bounded(a.digits * pow10(scale - a.scale)), scale)
  spendDigits(a.digits)
  const cut = a.digits / pow10(a.scale - scale)
  return scale >= 0 ? finite(cut, scale) : finite(cut * pow10(-scale), 0)
}

/** Position of the leading base-10000 digit and its value: what the scale of a quotient depends on. */
const leading = (a: Numeric): { readonly weight: number; readonly digit: number } => {
  if (a.digits === 0n) return { weight: 0, digit: 0 }
  const text = absolute(a.digits).toString()
  const position = text.length - 1 - a.scale
  const weight = Math.floor(position / 4)
  const take = position - weight * 4 + 1
  return { weight, digit: Number(text.slice(0, take).padEnd(take, "0")) }
}

/** Scale of `a / b`: at least 16 significant digits, never fewer than either operand shows. */
const divisionScale = (a: Numeric, b: Numeric): number => {
  const left = leading(a)
  const right = leading(b)
  let weight = left.weight - right.weight
  if (left.digit <= right.digit) weight--
  const scale = Math.max(16 - weight * 4, a.scale, b.scale, 0)
  return Math.min(scale, 1000)
}

export const divNumeric = (a: Numeric, b: Numeric): Numeric => {
  if (a.special !== undefined || b.special !== undefined) {
    if (a.special === "NaN" || b.special === "NaN") return nan
    if (a.special !== undefined) {
      if (b.special !== undefined) return nan
      if (b.digits === 0n) return fail("division by zero")
      return signOf(a) * signOf(b) > 0 ? infinity : minusInfinity
    }
    return zero
  }
  if (b.digits === 0n) return fail("division by zero")
  spend(100)
  spendDigits(bounded(a.digits))
  spendDigits(bounded(b.digits))
  const scale = divisionScale(a, b)
  const shift = scale + b.scale - a.scale
  const dividend = bounded(shift >= 0 ? a.digits * pow10(shift) : a.digits)
  const divisor = shift >= 0 ? b.digits : b.digits * pow10(-shift)
  spendDigits(dividend)
  return finite(divideRounded(dividend, divisor), scale)
}

export const modNumeric = (a: Numeric, b: Numeric): Numeric => {
  if (a.special !== undefined || b.special !== undefined) {
    if (a.special === "NaN" || b.special === "NaN") return nan
    if (a.special !== undefined)
      return b.special === undefined && b.digits === 0n ? fail("division by zero") : nan
    return a
  }
  if (b.digits === 0n) return fail("division by zero")
  const scale = Math.max(a.scale, b.scale)
  spend(30)
  spendDigits(bounded(a.digits))
  return finite((a.digits * pow10(scale - a.scale)) % (b.digits * pow10(scale - b.scale)), scale)
}

export const divTrunc = (a: Numeric, b: Numeric): Numeric => {
  if (a.special !== undefined || b.special !== undefined) return truncate(divNumeric(a, b), 0)
  if (b.digits === 0n) return fail("division by zero")
  const scale = Math.max(a.scale, b.scale)
  spend(30)
  spendDigits(bounded(a.digits))
  return finite((a.digits * pow10(scale - a.scale)) / (b.digits * pow10(scale - b.scale)), 0)
}

export const ceilNumeric = (a: Numeric): Numeric => {
  const cut = truncate(a, 0)
  return a.special === undefined && compareNumeric(cut, a) < 0 ? finite(cut.digits + 1n, 0) : cut
}

export const floorNumeric = (a: Numeric): Numeric => {
  const cut = truncate(a, 0)
  return a.special === undefined && compareNumeric(cut, a) > 0 ? finite(cut.digits - 1n, 0) : cut
}

export const absNumeric = (a: Numeric): Numeric =>
  a.special === "-Infinity" ? infinity : a.digits < 0n ? finite(-a.digits, a.scale) : a

export const fromInteger = (value: Integer): Numeric => finite(BigInt(value), 0)

/** Rounds half away from zero to an integer; errors name the target type. */
export const toInteger = (a: Numeric, type: "int2" | "int4" | "int8"): Integer => {
  const name = type === "int2" ? "smallint" : type === "int4" ? "integer" : "bigint"
  if (a.special !== undefined) {
    return fail(`cannot convert ${a.special === "NaN" ? "NaN" : "infinity"} to ${name}`)
  }
  const rounded = rescale(a, 0).digits
  const bits = type === "int2" ? 15n : type === "int4" ? 31n : 63n
  if (rounded < -(2n ** bits) || rounded >= 2n ** bits) return fail(`${name} out of range`)
  return normalise(rounded)
}

/** Applies a `numeric(precision, scale)` modifier. */
export const applyModifier = (a: Numeric, typmod: number): Numeric => {
  if (typmod < 4) return a
  const packed = typmod - 4
  const precision = (packed >> 16) & 0xffff
  const scale = ((packed & 0x7ff) ^ 1024) - 1024
  if (a.special !== undefined) return a.special === "NaN" ? a : fail("numeric field overflow")
  const rounded = rescale(a, scale)
  const whole = precision - scale
  if (absolute(rounded.digits) >= pow10(Math.max(0, whole + rounded.scale)) && rounded.digits !== 0n) {
    return fail("numeric field overflow")
  }
  return rounded
}
