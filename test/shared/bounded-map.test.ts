import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { BoundedMap, weighBytes } from "../../src/shared/BoundedMap.ts"

const bytes = (length: number) => Buffer.alloc(length)
const keptOf = (map: { get(key: number): unknown }, count: number) =>
  Array.from({ length: count }, (_, i) => i).filter((key) => map.get(key) !== undefined)

describe("a bounded map", () => {
  it("gives back the same object, until it is deleted", () => {
    const map = new BoundedMap<string, object>(10)
    const value = {}
    map.set("a", value)
    assert.strictEqual(map.get("a"), value)
    assert.isUndefined(map.get("b"))
    assert.isTrue(map.delete("a"))
    assert.isUndefined(map.get("a"))
    assert.isFalse(map.delete("a"))
  })

  it("never holds more than its capacity, and drops what was not asked for longest", () => {
    const map = new BoundedMap<number, Uint8Array>(10_000, weighBytes)
    for (let i = 0; i < 8; i++) map.set(i, bytes(1000))
    map.get(0)
    for (let i = 8; i < 12; i++) map.set(i, bytes(1000))
    // An entry costs something beside its bytes: eight of a thousand bytes fit into ten thousand.
    assert.deepStrictEqual(keptOf(map, 12), [0, 5, 6, 7, 8, 9, 10, 11])
  })

  it("keeps nothing for ever, however often it was asked for", () => {
    const map = new BoundedMap<number, number>(4)
    for (let i = 0; i < 4; i++) map.set(i, i)
    assert.deepStrictEqual(keptOf(map, 4), [0, 1, 2, 3], "and all have been asked for")
    for (let i = 4; i < 8; i++) map.set(i, i)
    assert.deepStrictEqual(keptOf(map, 8), [4, 5, 6, 7])
  })

  it("counts an entry that is set again once, and keeps nothing that is too large", () => {
    const map = new BoundedMap<number, Uint8Array>(10_000, weighBytes)
    for (let i = 0; i < 100; i++) map.set(0, bytes(1000 + i))
    assert.strictEqual(map.get(0)?.length, 1099)
    map.set(1, bytes(20_000))
    assert.isUndefined(map.get(1))
    map.set(0, bytes(20_000))
    assert.isUndefined(map.get(0), "nor what was there before")
    for (let i = 2; i < 10; i++) map.set(i, bytes(1000))
    assert.lengthOf(keptOf(map, 10), 8, "what is gone takes no room")
  })

  it("holds a bounded number of empty entries", () => {
    const map = new BoundedMap<number, Uint8Array>(10_000, weighBytes)
    for (let i = 0; i < 1000; i++) map.set(i, bytes(0))
    assert.lengthOf(keptOf(map, 1000), 50)
  })

  it("is never above its capacity, and always has what was set last", () => {
    const step = fc.tuple(fc.constantFrom("get", "set", "delete"), fc.nat(9), fc.nat(12))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const map = new BoundedMap<number, { readonly weight: number }>(12, ({ weight }) => weight)
        for (const [what, key, weight] of steps) {
          if (what === "get") map.get(key)
          else if (what === "delete") map.delete(key)
          else {
            map.set(key, { weight })
            assert.strictEqual(map.get(key)?.weight, weight)
          }
          const held = Array.from({ length: 10 }, (_, i) => map.get(i)?.weight ?? 0)
          assert.isAtMost(
            held.reduce((sum, one) => sum + one, 0),
            12
          )
        }
      })
    )
  })
})
