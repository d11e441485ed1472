import { assert, describe, it } from "vitest"
import { afterCollection, isTimeToCollect } from "../../src/telemetry/IdleMemory.ts"

const mebibyte = 1024 * 1024
const state = { usedBytes: 40 * mebibyte, restUntilMillis: 1000 }
const sample = { nowMillis: 1000, heldBytes: 144 * mebibyte + 1, utilization: 0.01 }

describe("memory is given back", () => {
  it.each([
    ["when idle, and more than twice what is in use is held", sample, true],
    ["not while there is work", { ...sample, utilization: 0.05 }, false],
    ["not for less", { ...sample, heldBytes: 144 * mebibyte }, false],
    ["not soon after a pause", { ...sample, nowMillis: 999 }, false]
  ] as const)("%s", (_, now, expected) => {
    assert.strictEqual(isTimeToCollect(state, now), expected)
  })

  it("for at most a five-hundredth of the time", () => {
    const after = afterCollection(30 * mebibyte, 2000, 2100)
    assert.deepStrictEqual(after, { usedBytes: 30 * mebibyte, restUntilMillis: 2100 + 50_000 })
  })
})
