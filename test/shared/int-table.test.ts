import { assert, describe, it } from "vitest"
import { IntTable } from "../../src/shared/tables/IntTable.ts"
import { makeRandom } from "../../testing/Random.ts"

describe("a table of numbers by numbers", () => {
  it("has what a Map has, whatever is added, replaced and removed", () => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = makeRandom(seed)
      const table = new IntTable()
      const expected = new Map<number, number>()
      // Few keys meet often, many make it grow; some are below zero, and some have no sign and the highest bit.
      const keys = [8, 100, 5000][seed % 3] ?? 8
      const pick = () => {
        const key = random.int(0, keys - 1)
        return seed % 2 === 0 ? (key - keys / 2) | 0 : (key * 0x9e3779b1) >>> 0
      }
      for (let step = 0; step < 8000; step++) {
        const key = pick()
        // It grows at first, and shrinks to nothing at last.
        const adds = random.int(0, 7999) > step
        if (adds) {
          const value = random.int(1, 0x7ffffffe)
          table.set(key, step % 3 === 0 ? -value : value)
          expected.set(key, step % 3 === 0 ? -value : value)
        } else assert.strictEqual(table.delete(key), expected.delete(key))
        assert.strictEqual(table.size, expected.size)
        assert.strictEqual(table.get(key), expected.get(key) ?? 0)
        const other = pick()
        assert.strictEqual(table.get(other), expected.get(other) ?? 0)
      }
      for (const [key, value] of expected) assert.strictEqual(table.get(key), value)
    }
  })

  it("takes an unsigned key for the signed one of the same bits", () => {
    const table = new IntTable()
    table.set(0xffffffff, 7)
    assert.strictEqual(table.get(-1), 7)
    assert.isTrue(table.delete(-1))
    assert.strictEqual(table.get(0xffffffff), 0)
  })
})
