import { assert, describe, it } from "vitest"
import * as fc from "fast-check"
import { ByteWriter } from "../../src/shared/ByteWriter.ts"

describe("a whole number in decimal", () => {
  it("is written with its digits, whatever its size, behind what is there", () => {
    const near = fc
      .tuple(
        fc.constantFrom(0, 10, 1e8, 1e9, 1e10, 2 ** 31, 2 ** 32, 1e15, 1e18),
        fc.integer({ min: -2, max: 2 })
      )
      .map(([at, by]) => Math.min(Math.max(0, at + by), Number.MAX_SAFE_INTEGER))
    fc.assert(
      fc.property(fc.array(fc.oneof(near, fc.maxSafeNat()), { minLength: 1 }), (numbers) => {
        const out = new ByteWriter(64)
        for (const number of numbers) {
          out.appendByte(0x2c)
          out.appendInteger(number)
        }
        assert.strictEqual(out.written().toString("latin1"), `,${numbers.join(",")}`)
      }),
      { numRuns: 2000 }
    )
  })
})
