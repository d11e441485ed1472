import { assert, describe, it } from "vitest"
import { afterCollection, isTimeToCollect } from "../../src/telemetry/IdleMemory.ts"

const mebibyte = 1024 * 1024
const state = { heapBytes: 40 * mebibyte, restUntilMillis: 1000 }
const sample = { nowMillis: 1000, heapBytes: 50 * mebibyte, utilization: 0.01 }

describe("memory is given back", () => {
  it.each([
    ["when idle, and a quarter has come on top", sample, true],
    ["not while there is work", { ...sample, utilization: 0.05 }, false],
    ["not for less", { ...sample, heapBytes: 50 * mebibyte - 1 }, false],
    ["not soon after a pause", { ...sample, nowMillis: 999 }, false]
  ] as const)("%s", (_, now, expected) => {
    assert.strictEqual(isTimeToCollect(state, now), expected)
  })

  it("not for a few megabytes, however small the heap is", () => {
    const small = { heapBytes: mebibyte, restUntilMillis: 0 }
    assert.isFalse(isTimeToCollect(small, { ...sample, heapBytes: 9 * mebibyte - 1 }))
    assert.isTrue(isTimeToCollect(small, { ...sample, heapBytes: 9 * mebibyte }))
  })

  it("for at most a five-hundredth of the time", () => {
    const after = afterCollection(30 * mebibyte, 2000, 2100)
    assert.deepStrictEqual(after, { heapBytes: 30 * mebibyte, restUntilMillis: 2100 + 50_000 })
  })
})
