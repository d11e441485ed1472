import { assert, describe, it } from "@effect/vitest"
import type { ObjectInfo } from "../../../src/bucket/ObjectStore.ts"
import { readAhead } from "../../../src/storage/chain/ReadAhead.ts"

const mebibyte = 1024 * 1024

/** Objects of these sizes, as far as the listing says, each of which is given when the test lets it be. */
const objects = (mebibytes: ReadonlyArray<number>) => {
  const asked: Array<string> = []
  const get = (key: string) => {
    asked.push(key)
    return Promise.resolve(Buffer.from(key))
  }
  async function* listing(): AsyncGenerator<ObjectInfo> {
    for (const [index, size] of mebibytes.entries())
      yield { key: String(index), bytes: size * mebibyte, modifiedMillis: 0 }
  }
  return { asked, get, listing }
}

/** How many objects have been asked for when each of them is used. */
const askedAtUse = async (mebibytes: ReadonlyArray<number>): Promise<ReadonlyArray<number>> => {
  const { asked, get, listing } = objects(mebibytes)
  const counts: Array<number> = []
  for await (const { info, bytes } of readAhead(get, listing())) {
    assert.strictEqual(bytes?.toString(), info.key)
    counts.push(asked.length)
  }
  assert.deepStrictEqual(
    asked,
    mebibytes.map((_, index) => String(index))
  )
  return counts
}

describe("what is asked for ahead", () => {
  it("is bounded in number, in bytes, and is one object at least", async () => {
    assert.deepStrictEqual(await askedAtUse([]), [])
    assert.deepStrictEqual(await askedAtUse([1, 1, 1]), [3, 3, 3])
    assert.deepStrictEqual(await askedAtUse([60, 60, 60, 8, 1]), [2, 4, 5, 5, 5])
    assert.deepStrictEqual(await askedAtUse([500, 1, 500]), [1, 2, 3])
    const many = await askedAtUse(Array.from({ length: 100 }, () => 1))
    assert.deepStrictEqual(
      many,
      Array.from({ length: 100 }, (_, index) => Math.min(100, index + 32))
    )
  })

  it("fails for an object when it is its turn, and leaves no failure behind", async () => {
    const { get, listing } = objects([1, 1, 1, 1])
    const used: Array<string> = []
    const failing = (key: string) => (key === "0" ? get(key) : Promise.reject(new Error(`no ${key}`)))
    try {
      for await (const { info } of readAhead(failing, listing())) used.push(info.key)
      assert.fail("it should have failed")
    } catch (error) {
      assert.match(String(error), /no 1/)
    }
    assert.deepStrictEqual(used, ["0"])
  })
})
