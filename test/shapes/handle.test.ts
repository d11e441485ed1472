import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { handleMicros, identityHash, makeHandles } from "../../src/shapes/Handle.ts"

describe("handles", () => {
  it("are a hash of the identity and the time in microseconds", () => {
    const handle = makeHandles(0, () => 1_795_429_886_178.33)("identity")
    assert.strictEqual(handle, `${identityHash("identity")}-1795429886178330`)
    assert.strictEqual(handleMicros(handle), 1_795_429_886_178_330)
  })

  it("rise even when the clock stands still or goes back", () => {
    const times = [1000, 1000, 999, 5, 2000]
    const make = makeHandles(0, () => times.shift() ?? 0)
    const micros = [1, 2, 3, 4, 5].map(() => handleMicros(make("x")))
    assert.deepStrictEqual(micros, [1_000_000, 1_000_001, 1_000_002, 1_000_003, 2_000_000])
  })

  it("start above the newest one that storage knows", () => {
    assert.strictEqual(handleMicros(makeHandles(7_000_000, () => 1)("x")), 7_000_001)
  })

  it("have a hash of 27 bits that depends on the identity alone", () => {
    fc.assert(
      fc.property(fc.string(), (identity) => {
        const hash = identityHash(identity)
        assert.isTrue(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 27)
        assert.strictEqual(identityHash(identity), hash)
      })
    )
    assert.notStrictEqual(identityHash("a"), identityHash("b"))
  })

  it("are told from texts that are none", () => {
    for (const text of ["", "1", "1-", "-1", "a-1", "1-a", "1-2-3", "1-99999999999999999", " 1-2"])
      assert.isUndefined(handleMicros(text), text)
  })
})
