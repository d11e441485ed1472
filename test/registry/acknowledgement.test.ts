import { assert, describe, it } from "vitest"
import fc from "fast-check"
import { Acknowledgement } from "../../src/registry/routing/Acknowledgement.ts"

describe("what may be acknowledged", () => {
  it("is never more than what is durable, and all of it once everything is, however much has gathered", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 8 }), (durable) => {
        const acknowledgement = new Acknowledgement(0n)
        const recorded = 60_000
        for (let i = 1; i <= recorded; i++) acknowledgement.recordedAt(i, BigInt(i), undefined)
        for (const marker of durable.toSorted((a, b) => a - b)) {
          acknowledgement.durableUpTo(marker)
          assert.isTrue(acknowledgement.durableLsn <= BigInt(marker))
          assert.isTrue(acknowledgement.durableLsn >= BigInt(marker) - 8n, `after ${marker}`)
        }
        acknowledgement.durableUpTo(recorded)
        assert.strictEqual(acknowledgement.durableLsn, BigInt(recorded))
      }),
      { numRuns: 20 }
    )
  })
})
