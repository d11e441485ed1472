import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "vitest"
import { makeRandom } from "../../testing/Random.ts"
import { jsonPart, packParts, WrittenMap } from "../../src/storage/records/JsonParts.ts"

const textOf = async (map: WrittenMap<number, ReadonlyArray<string>>): Promise<string> =>
  gunzipSync(await packParts(map.parts())).toString()

describe("a map that is written as a whole", () => {
  it("is the text of its entries, in their order, whatever was done to it in between", async () => {
    const random = makeRandom(7)
    const expected = new Map<number, ReadonlyArray<string>>()
    const map = new WrittenMap<number, ReadonlyArray<string>>()
    assert.strictEqual(await textOf(map), "[]")
    for (let step = 0; step < 4000; step++) {
      const key = random.int(0, 1199)
      if (random.chance(0.2)) {
        expected.delete(key)
        map.delete(key)
      } else {
        const value = [`é"\n${step}`]
        expected.set(key, value)
        map.set(key, value)
      }
      if (step % 97 === 0) assert.strictEqual(await textOf(map), JSON.stringify([...expected]))
    }
    assert.deepStrictEqual([...map.keys()], [...expected.keys()])
    for (const [key, value] of expected) assert.strictEqual(map.get(key), value)
    assert.strictEqual(await textOf(map), JSON.stringify([...expected]))
    map.clear()
    assert.isFalse(map.has(1))
    assert.strictEqual(await textOf(map), "[]")
  })

  it("is compressed once where it does not change, and goes with other text", async () => {
    const map = new WrittenMap<number, string>()
    for (let key = 0; key < 1000; key++) map.set(key, "v")
    await packParts(map.parts())
    const before = map.parts().map(({ packed }) => packed)
    map.set(1000, "v")
    const again = map.parts().map(({ packed }) => packed)
    assert.strictEqual(again.filter((packed) => packed === undefined).length, 1)
    assert.strictEqual(
      again.filter((packed) => packed !== undefined && before.includes(packed)).length,
      again.length - 1
    )
    const whole = await packParts([jsonPart('{"a":'), ...map.parts(), jsonPart("}")])
    assert.deepStrictEqual(JSON.parse(gunzipSync(whole).toString()), {
      a: Array.from({ length: 1001 }, (_, key) => [key, "v"])
    })
  })
})
