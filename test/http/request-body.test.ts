import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Result } from "effect"
import { patient } from "../../testing/Load.ts"
import { standardLimits } from "../../src/config/Limits.ts"
import { hasMoreItems, parseBody } from "../../src/http/request/RequestBody.ts"

/** What a parsed text has of values, names and lists: as many as it has commas, colons and opening brackets. */
const itemsOf = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 0
  const values = Object.values(value)
  const separators = Math.max(0, values.length - 1) + (Array.isArray(value) ? 0 : values.length)
  return 1 + separators + values.reduce((sum: number, one) => sum + itemsOf(one), 0)
}

describe("the body of a POST", () => {
  it("is counted before it is parsed, whatever stands in its texts", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.integer({ min: -2, max: 2 }), (value, difference) => {
        const items = itemsOf(value)
        for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
          const most = Math.max(0, items + difference)
          assert.strictEqual(hasMoreItems(Buffer.from(text), most), items > most, text)
        }
      })
    )
  })

  it("never takes long, and is refused by number when it has too much in it", () => {
    const limit = standardLimits.bodyBytes
    const filled = (start: string, unit: string, end: string) =>
      start + unit.repeat(Math.floor((limit - start.length - end.length) / unit.length)) + end
    const bodies: ReadonlyArray<readonly [string, boolean]> = [
      [filled('{"a":[', "1,", "1]}"), false],
      [filled('{"a":[', "{},", "1]}"), false],
      [filled("{", '"k":1,', '"l":1}'), false],
      [filled('{"a":', "[", "}"), false],
      [filled('{"a":"', '\\"', '"}'), true],
      [filled('{"a":"', "[", '"}'), true],
      [filled('{"a":"', "\\\\", '"}'), true],
      [`{"a":[${"1,".repeat(40_000)}1]}`, true]
    ]
    for (const [body, isTaken] of bodies) {
      const bytes = Buffer.from(body)
      const began = performance.now()
      const parsed = parseBody(bytes, standardLimits)
      const took = performance.now() - began
      assert.strictEqual(Result.isSuccess(parsed), isTaken, body.slice(0, 20))
      if (Result.isFailure(parsed)) assert.include(JSON.stringify(parsed.failure), "BATON_MAX_BODY_ITEMS")
      assert.isBelow(took, patient(200), body.slice(0, 20))
    }
  })
})
