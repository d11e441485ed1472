import { fail } from "../values/Failure.ts"
import { checkFloat } from "../values/Float.ts"
import { add8, check, check8, div8, mod8, mul8, normalise, sub8, type Integer } from "../values/Integer.ts"
import { roundEven } from "../values/Interval.ts"
import * as n from "../values/Numeric.ts"
import type { Numeric } from "../values/Numeric.ts"
import { parseFloat8, parseFloat4 } from "../values/Float.ts"
import { define, group } from "./Native.ts"

group("arithmetic")

const small = (name: string, type: "int2" | "int4"): void => {
  define(`${name}pl`, (a: number, b: number) => check(a + b, type))
  define(`${name}mi`, (a: number, b: number) => check(a - b, type))
  define(`${name}mul`, (a: number, b: number) => check(a * b, type))
  define(`${name}div`, (a: number, b: number) =>
    b === 0 ? fail("division by zero") : check(Math.trunc(a / b), type)
  )
}
small("int2", "int2")
for (const name of ["int4", "int24", "int42"]) small(name, "int4")
for (const name of ["int8", "int28", "int48", "int82", "int84"]) {
  define(`${name}pl`, add8)
  define(`${name}mi`, sub8)
  define(`${name}mul`, mul8)
  define(`${name}div`, div8)
}
const remainder = (a: number, b: number): number => (b === 0 ? fail("division by zero") : (a % b) + 0)
define("int2mod int4mod", remainder)
define("int8mod", mod8)
define("int2up int4up int8up float4up float8up numeric_uplus", (a: unknown) => a)
define("int2um", (a: number) => check(0 - a, "int2"))
define("int4um", (a: number) => check(0 - a, "int4"))
define("int8um", (a: Integer) => check8(-BigInt(a)))
define("int2abs", (a: number) => check(Math.abs(a), "int2"))
define("int4abs", (a: number) => check(Math.abs(a), "int4"))
define("int8abs", (a: Integer) => (a < 0 ? check8(-BigInt(a)) : a))
define("int2and int4and", (a: number, b: number) => a & b)
define("int2or int4or", (a: number, b: number) => a | b)
define("int2xor int4xor", (a: number, b: number) => a ^ b)
define("int2not int4not", (a: number) => ~a)
define("int8and", (a: Integer, b: Integer) => normalise(BigInt(a) & BigInt(b)))
define("int8or", (a: Integer, b: Integer) => normalise(BigInt(a) | BigInt(b)))
define("int8xor", (a: Integer, b: Integer) => normalise(BigInt(a) ^ BigInt(b)))
define("int8not", (a: Integer) => normalise(~BigInt(a)))

const floats = (name: string, round: (value: number) => number): void => {
  define(`${name}pl`, (a: number, b: number) => checkFloat(round(a + b), a, b, true))
  define(`${name}mi`, (a: number, b: number) => checkFloat(round(a - b), a, b, true))
  define(`${name}mul`, (a: number, b: number) => checkFloat(round(a * b), a, b, a === 0 || b === 0))
  define(`${name}div`, (a: number, b: number) => {
    if (b === 0 && !Number.isNaN(a)) return fail("division by zero")
    const result = round(a / b)
    if (result === 0 && a !== 0 && Number.isFinite(b)) return fail("value out of range: underflow")
    return checkFloat(result, a, 0, true)
  })
}
floats("float4", Math.fround)
for (const name of ["float8", "float48", "float84"]) floats(name, (value) => value)
define("float4um float8um", (a: number) => -a)
define("float4abs float8abs", (a: number) => Math.abs(a))
define("dceil", (a: number) => Math.ceil(a))
define("dfloor", (a: number) => Math.floor(a))
define("dtrunc", (a: number) => Math.trunc(a))
define("dround", (a: number) => roundFloat(a))
define("dsign", (a: number) => (a > 0 ? 1 : a < 0 ? -1 : 0))
define("dsqrt", (a: number) => (a < 0 ? fail("cannot take square root of a negative number") : Math.sqrt(a)))

define("numeric_add", n.addNumeric)
define("numeric_sub", n.subNumeric)
define("numeric_mul", n.mulNumeric)
define("numeric_div", n.divNumeric)
define("numeric_mod", n.modNumeric)
define("numeric_div_trunc", n.divTrunc)
define("numeric_uminus", n.negateNumeric)
define("numeric_abs", n.absNumeric)
define("numeric_ceil", n.ceilNumeric)
define("numeric_floor", n.floorNumeric)
define("numeric_sign", (a: Numeric) => (a.special === "NaN" ? a : n.fromInteger(n.signOf(a))))
const clamp = (digits: number): number => Math.max(-2000, Math.min(2000, digits))
define("numeric_round", (a: Numeric, digits: number) => n.rescale(a, clamp(digits)))
define("round(numeric)", (a: Numeric) => n.rescale(a, 0))
define("numeric_trunc", (a: Numeric, digits: number) => n.truncate(a, clamp(digits)))
define("trunc(numeric)", (a: Numeric) => n.truncate(a, 0))

/** Half to even, keeping the sign of zero. */
const roundFloat = (a: number): number => {
  if (!Number.isFinite(a) || Math.abs(a) >= 2 ** 52) return a
  const rounded = roundEven(a)
  return rounded === 0 && (a < 0 || Object.is(a, -0)) ? -0 : rounded
}

group("casts between numbers")
define("i2toi4 int28 int48 i2tod i4tod ftod i2tof", (a: number) => a)
define("i4toi2", (a: number) => check(a, "int2"))
define("int82", (a: Integer) => (typeof a === "number" ? check(a, "int2") : fail("smallint out of range")))
define("int84", (a: Integer) => (typeof a === "number" ? check(a, "int4") : fail("integer out of range")))
define("i8tod", (a: Integer) => Number(a))
define("i4tof", (a: number) => Math.fround(a))
// Through the decimal text, so that it is rounded once.
define("i8tof", (a: Integer) => parseFloat4(String(a)))
define("dtof", (a: number) => {
  const result = Math.fround(a)
  if (!Number.isFinite(result) && Number.isFinite(a)) return fail("value out of range: overflow")
  if (result === 0 && a !== 0) return fail("value out of range: underflow")
  return result
})
const toSmall = (type: "int2" | "int4") => (a: number) => {
  if (Number.isNaN(a)) return fail(`${type === "int2" ? "smallint" : "integer"} out of range`)
  return check(roundFloat(a) + 0, type)
}
define("dtoi2 ftoi2", toSmall("int2"))
define("dtoi4 ftoi4", toSmall("int4"))
define("dtoi8 ftoi8", (a: number) => {
  const rounded = roundFloat(a)
  if (!(rounded >= -(2 ** 63) && rounded < 2 ** 63)) return fail("bigint out of range")
  return Number.isSafeInteger(rounded) ? rounded + 0 : normalise(BigInt(rounded))
})
define("int2_numeric int4_numeric int8_numeric", (a: Integer) => n.fromInteger(a))
define("numeric_int2", (a: Numeric) => n.toInteger(a, "int2"))
define("numeric_int4", (a: Numeric) => n.toInteger(a, "int4"))
define("numeric_int8", (a: Numeric) => n.toInteger(a, "int8"))
define("numeric_float8", (a: Numeric) => parseFloat8(n.printNumeric(a)))
define("numeric_float4", (a: Numeric) => parseFloat4(n.printNumeric(a)))
/** As C's `%.<digits>g` writes it: so many significant digits, no trailing zeros. */
const viaDigits = (a: number, digits: number): Numeric => {
  if (!Number.isFinite(a)) return Number.isNaN(a) ? n.nan : a > 0 ? n.infinity : n.minusInfinity
  const [mantissa = "", exponent] = a.toExponential(digits - 1).split("e")
  const trimmed = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa
  return n.parseNumeric(`${trimmed}e${exponent ?? "0"}`)
}
define("float8_numeric", (a: number) => viaDigits(a, 15))
define("float4_numeric", (a: number) => viaDigits(a, 6))
define("numeric", (a: Numeric, typmod: number) => n.applyModifier(a, typmod))
define("int4_bool", (a: number) => a !== 0)
define("bool_int4", (a: boolean) => (a ? 1 : 0))
