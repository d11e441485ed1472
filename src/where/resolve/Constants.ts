import type { A_Const } from "libpg-query"
import { oids, type Expression } from "../expression/Expression.ts"
import { parseInteger } from "../values/Integer.ts"
import { refuseAt } from "../WhereError.ts"
import type { Scope } from "./Scope.ts"

/** A literal, with the type that Postgres gives it before it sees its surroundings. */
export const constant = (scope: Pick<Scope, "position">, node: A_Const): Expression => {
  const at = scope.position(node.location)
  const make = (type: number, value: string | null): Expression => ({
    kind: "constant",
    value,
    parameter: undefined,
    type,
    typmod: -1,
    collation: 0,
    strength: "none",
    at
  })
  if (node.isnull === true) return make(oids.unknown, null)
  if (node.ival !== undefined) return make(oids.int4, String(node.ival.ival ?? 0))
  if (node.boolval !== undefined) return make(oids.bool, node.boolval.boolval === true ? "t" : "f")
  if (node.sval !== undefined) return make(oids.unknown, node.sval.sval ?? "")
  if (node.bsval !== undefined) {
    const text = node.bsval.bsval ?? "b"
    const bits = Array.from(text.slice(1), (digit) =>
      text.startsWith("x") ? Number.parseInt(digit, 16).toString(2).padStart(4, "0") : digit
    ).join("")
    return /^[01]*$/.test(bits) ? make(oids.bit, bits) : refuseAt(at, `invalid bit string ${text}`)
  }
  const text = node.fval?.fval ?? "0"
  if (/^-?(?:0x[\da-f_]+|0o[0-7_]+|0b[01_]+|\d[\d_]*)$/i.test(text)) {
    try {
      const value = parseInteger(text, "int8")
      const fits = value >= -2147483648 && value <= 2147483647
      return make(fits ? oids.int4 : oids.int8, String(value))
    } catch {
      // Beyond bigint: numeric.
    }
    const magnitude = BigInt(text.replace("-", "").replaceAll("_", ""))
    return make(oids.numeric, String(text.startsWith("-") ? -magnitude : magnitude))
  }
  return make(oids.numeric, plainDecimal(text.replaceAll("_", ""), at))
}

/** A decimal literal as `numeric` prints it. */
const plainDecimal = (text: string, at: number): string => {
  const [mantissa = "", exponentText = "0"] = text.toLowerCase().split("e")
  const negative = mantissa.startsWith("-")
  const [whole = "", fraction = ""] = mantissa.replace(/^[+-]/, "").split(".")
  const exponent = Number(exponentText)
  if (Math.abs(exponent) > 100_000) return refuseAt(at, `invalid syntax for type numeric: ${text}`)
  const scale = fraction.length - exponent
  let digits = (whole + fraction).replace(/^0+(?=\d)/, "")
  if (scale < 0) digits += "0".repeat(-scale)
  const padded = scale > 0 ? digits.padStart(scale + 1, "0") : digits
  const body = scale > 0 ? `${padded.slice(0, -scale)}.${padded.slice(-scale)}` : padded
  return negative ? `-${body}` : body
}
