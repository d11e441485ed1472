import { assert, describe, it } from "vitest"
import { Result } from "effect"
import { parseDeleteParams, parseReadParams } from "../../src/http/request/ShapeParams.ts"
import { workedMillis } from "../../testing/Load.ts"

const base = { table: "t", offset: "0_0", handle: "h" }
const large = "9".repeat(3_000_000)
const names = (count: number) => Array.from({ length: count }, (_, i) => `c${i}`)

describe("parameters that are larger than anything that they could mean", () => {
  it.each([
    ["offset", { offset: `${large}_0` }, "should be at most 200 character(s)"],
    ["offset", { offset: `0_${large}` }, "should be at most 200 character(s)"],
    ["handle", { handle: large }, "should be at most 1000 character(s)"],
    ["table", { table: large }, "should be at most 1000 character(s)"],
    ["columns", { columns: large }, "should be at most 206400 character(s)"],
    ["columns", { columns: names(1601) }, "should be at most 1600 item(s)"],
    ["queryable_columns", { queryable_columns: names(1601) }, "should be at most 1600 item(s)"]
  ] as const)("are refused before they are looked at: %s", (name, given, message) => {
    const began = workedMillis()
    const parsed = parseReadParams({ ...base, ...given })
    assert.isBelow(workedMillis() - began, 50)
    assert.isTrue(Result.isFailure(parsed))
    if (Result.isFailure(parsed)) assert.deepStrictEqual(parsed.failure, { [name]: [message] })
  })

  it("are refused of a deletion as well", () => {
    const parsed = parseDeleteParams({ handle: large })
    assert.isTrue(Result.isFailure(parsed))
  })

  it("are not those that a table may have", () => {
    const quoted = names(1600).map((name) => `"${name.padEnd(63, "x")}"`)
    for (const columns of [names(1600), quoted.join(",")])
      assert.isTrue(Result.isSuccess(parseReadParams({ ...base, columns, handle: "h".repeat(1000) })))
  })
})
