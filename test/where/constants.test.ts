import { assert, describe, it } from "vitest"
import { oids } from "../../src/where/expression/Expression.ts"
import { constant } from "../../src/where/resolve/Constants.ts"
import { Refusal } from "../../src/where/WhereError.ts"

const scope = { position: () => 7 }
const number = (text: string) => constant(scope, { fval: { fval: text } })

const refusal = (attempt: () => unknown): string => {
  try {
    attempt()
  } catch (failure) {
    if (failure instanceof Refusal) return failure.error.message
    throw failure
  }
  return assert.fail("was not refused")
}

describe("literals", () => {
  it.each([
    ["2147483648", oids.int8, "2147483648"],
    ["-2147483648", oids.int4, "-2147483648"],
    ["-2147483649", oids.int8, "-2147483649"],
    ["0x7fffffff", oids.int4, "2147483647"],
    ["0xFFFF_FFFF", oids.int8, "4294967295"],
    ["0o17", oids.int4, "15"],
    ["0b101", oids.int4, "5"],
    ["9223372036854775807", oids.int8, "9223372036854775807"],
    ["9223372036854775808", oids.numeric, "9223372036854775808"],
    ["-9_223_372_036_854_775_809", oids.numeric, "-9223372036854775809"],
    ["1.50", oids.numeric, "1.50"],
    ["-.5", oids.numeric, "-0.5"],
    ["007.", oids.numeric, "7"],
    ["1_000.25", oids.numeric, "1000.25"],
    ["1.5e3", oids.numeric, "1500"],
    ["1.5E-3", oids.numeric, "0.0015"],
    ["-1e-2", oids.numeric, "-0.01"]
  ])("%s", (text, type, value) => {
    const found = number(text)
    assert.deepInclude(found, { kind: "constant", type, value, typmod: -1, strength: "none", at: 7 })
  })

  it("are refused when nobody could hold them", () => {
    assert.strictEqual(
      refusal(() => number("1e100001")),
      "At location 7: invalid syntax for type numeric: 1e100001"
    )
    assert.strictEqual(number("1e100000").type, oids.numeric)
  })

  it.each([
    ["NULL", { isnull: true }, oids.unknown, null],
    ["a small integer", { ival: { ival: 42 } }, oids.int4, "42"],
    ["zero, which the parser leaves out", { ival: {} }, oids.int4, "0"],
    ["true", { boolval: { boolval: true } }, oids.bool, "t"],
    ["false, which the parser leaves out", { boolval: {} }, oids.bool, "f"],
    ["a text", { sval: { sval: "a" } }, oids.unknown, "a"],
    ["an empty text", { sval: {} }, oids.unknown, ""],
    ["bits", { bsval: { bsval: "b0101" } }, oids.bit, "0101"],
    ["bits in hexadecimal", { bsval: { bsval: "x1f" } }, oids.bit, "00011111"]
  ])("%s", (_what, node, type, value) => {
    assert.deepInclude(constant(scope, node), { kind: "constant", type, value })
  })

  it.each(["b012", "x1g"])("refuses the bit string %s", (text) => {
    assert.strictEqual(
      refusal(() => constant(scope, { bsval: { bsval: text } })),
      `At location 7: invalid bit string ${text}`
    )
  })
})
