import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { isContained, snapshotFilter, xidPrecedes } from "../../src/storage/state/SnapshotFilter.ts"

const half = 2n ** 31n
const low32 = (xid: bigint): number => Number(BigInt.asUintN(32, xid))

describe("whether a snapshot contains a transaction", () => {
  it("is told from the 32 bits that the stream has, wherever the server's counter stands", () => {
    const situation = fc.record({
      xmin: fc.bigInt({ min: half, max: 2n ** 48n }),
      // Near a wrap of the counter more often than chance has it.
      atWrap: fc.boolean(),
      open: fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { maxLength: 10 }),
      span: fc.integer({ min: 0, max: 50 }),
      distance: fc.oneof(
        fc.integer({ min: -60, max: 60 }),
        fc.integer({ min: -(2 ** 31) + 100, max: 2 ** 31 - 100 })
      )
    })
    fc.assert(
      fc.property(situation, ({ atWrap, distance, open, span, xmin: anywhere }) => {
        const xmin = atWrap ? ((anywhere >> 32n) << 32n) + 2n ** 32n - 20n : anywhere
        const xmax = xmin + BigInt(span)
        const inProgress = open.map((offset) => xmin + BigInt(offset)).filter((xid) => xid < xmax)
        const xid = xmin + BigInt(distance)
        const filter = snapshotFilter({
          xmin: String(xmin),
          xmax: String(xmax),
          xipList: inProgress.map(String)
        })
        const expected = xid < xmin || (xid < xmax && !inProgress.includes(xid))
        assert.strictEqual(isContained(filter, low32(xid)), expected)
      })
    )
  })

  it("goes by the shorter way around", () => {
    assert.isTrue(xidPrecedes(0xffffffff, 3))
    assert.isFalse(xidPrecedes(3, 0xffffffff))
    assert.isFalse(xidPrecedes(7, 7))
  })
})
