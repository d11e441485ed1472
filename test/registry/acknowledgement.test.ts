import { assert, describe, it } from "vitest"
import fc from "fast-check"
import { Acknowledgement } from "../../src/registry/routing/Acknowledgement.ts"

describe("what may be acknowledged", () => {
  it("is never more than what is durable, and all of it once everything is, however much has gathered", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 8 }), (durable) => {
        const acknowledgement = new Acknowledgement(0n, 0n, 0)
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

  it("is nothing beyond where some shapes are, however much is recorded, and all of it once they have caught up", () => {
    const step = fc.record({
      forward: fc.integer({ min: 0, max: 5 }),
      behind: fc.option(fc.integer({ min: 0, max: 20 }))
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const acknowledgement = new Acknowledgement(10n, 4n, 0)
        let [recorded, limit, marker] = [10n, 4n, 0]
        assert.strictEqual(acknowledgement.durableLsn, 0n, "what was read need not be durable")
        acknowledgement.durableUpTo(0)
        assert.strictEqual(acknowledgement.durableLsn, 4n)
        for (const { behind, forward } of steps) {
          recorded += BigInt(forward)
          // It never goes back.
          const next = behind === null ? recorded : BigInt(behind)
          if (next > limit) limit = next < recorded ? next : recorded
          acknowledgement.recordedAt(++marker, recorded, behind === null ? undefined : limit)
          const before = acknowledgement.durableLsn
          acknowledgement.durableUpTo(marker - 1)
          assert.isTrue(acknowledgement.durableLsn <= limit && acknowledgement.durableLsn >= before)
        }
        acknowledgement.processedUpTo(recorded)
        assert.isUndefined(acknowledgement.unrecorded)
        acknowledgement.durableUpTo(marker)
        assert.strictEqual(acknowledgement.durableLsn, limit)
      })
    )
  })
  it("is nothing of what the same writer wrote for an earlier session before that is durable", () => {
    const acknowledgement = new Acknowledgement(10n, 8n, 7)
    acknowledgement.recordedAt(9, 20n, undefined)
    assert.isFalse(acknowledgement.durableUpTo(6))
    assert.strictEqual(acknowledgement.durableLsn, 0n)
    assert.isTrue(acknowledgement.durableUpTo(7))
    assert.strictEqual(acknowledgement.durableLsn, 8n)
    assert.isTrue(acknowledgement.durableUpTo(9))
    assert.strictEqual(acknowledgement.durableLsn, 20n)
  })
})
