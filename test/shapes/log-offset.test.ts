import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import {
  beforeAll,
  compareOffsets,
  formatOffset,
  type LogOffset,
  parseOffset,
  snapshotChunk,
  snapshotEnd
} from "../../src/shapes/LogOffset.ts"

const anyOffset: fc.Arbitrary<LogOffset> = fc.record({
  tx: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  op: fc.oneof(fc.nat(), fc.constant(Infinity), fc.maxSafeNat())
})

describe("log offsets", () => {
  it("survive their wire form", () => {
    fc.assert(
      fc.property(anyOffset, (offset) => {
        assert.deepStrictEqual(parseOffset(formatOffset(offset)), offset)
      })
    )
    assert.deepStrictEqual(parseOffset(formatOffset(beforeAll)), beforeAll)
  })

  it("are ordered: before everything, snapshot chunks, the snapshot's end, then changes", () => {
    const ordered = [
      beforeAll,
      snapshotChunk(0),
      snapshotChunk(1),
      snapshotEnd,
      { tx: 1n, op: 0 },
      { tx: 1n, op: 1 },
      { tx: 1n, op: Infinity },
      { tx: 2n, op: 0 },
      { tx: 2n ** 63n, op: 0 }
    ]
    ordered.forEach((a, i) =>
      ordered.forEach((b, j) => assert.strictEqual(Math.sign(compareOffsets(a, b)), Math.sign(i - j)))
    )
  })

  it.each([
    ["-1_0", beforeAll],
    ["0_inf", snapshotEnd],
    ["0_02", snapshotChunk(2)],
    ["+5_+6", { tx: 5n, op: 6 }],
    ["-0_0", snapshotChunk(0)],
    ["-00_-0", snapshotChunk(0)],
    ["-0_inf", snapshotEnd],
    ["5_-0", { tx: 5n, op: 0 }],
    ["18446744073709551615_4", { tx: 2n ** 64n - 1n, op: 4 }],
    ["5_99999999999999999999", { tx: 5n, op: Infinity }]
  ])("%s is read", (text, offset) => assert.deepStrictEqual(parseOffset(text), offset))

  it.each(["abc", "10", "1_2_3", "0_", "_0", "5_-1", "-2_0", "0_INF", "NOW", "now", "0_0 ", "", "0x1_0"])(
    "%j is refused",
    (text) => assert.isUndefined(parseOffset(text))
  )
})
