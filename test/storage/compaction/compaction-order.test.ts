import { assert, describe, it } from "vitest"
import { inTurns, lastLooked } from "../../../src/storage/compaction/CompactionOrder.ts"
import { someDefinition, freshStore } from "../state/histories.ts"
import { makeRandom } from "../../../testing/Random.ts"

const store = freshStore()
const definition = someDefinition(makeRandom(1))
const candidate = (id: number, bytes: number) => ({
  shape: store.create(id, `${id}-${id}`, definition, 0),
  bytes
})
const found = [candidate(1, 10), candidate(2, 20), candidate(3, 900), candidate(4, 30), candidate(5, 500)]

describe("the order in which logs are compacted", () => {
  it("has the one that may give most first, and each once", () => {
    const order = Array.from(inTurns(found, 0), ({ id }) => id)
    assert.deepStrictEqual(order, [3, 1, 5, 2, 4])
    assert.deepStrictEqual(
      Array.from(inTurns(found, 3), ({ id }) => id),
      [3, 4, 5, 1, 2]
    )
    assert.deepStrictEqual(Array.from(inTurns([], 3)), [])
  })

  it("comes to every one, when there is time for two only and the largest stay the largest", () => {
    const seen = new Set<number>()
    let last = 0
    for (let sweep = 0; sweep < 5; sweep++) {
      const looked = new Set(Array.from(inTurns(found, last)).slice(0, 2))
      assert.isTrue([...looked].some(({ id }) => id === 3))
      for (const { id } of looked) seen.add(id)
      last = lastLooked(found, last, looked)
    }
    assert.deepStrictEqual([...seen].toSorted(), [1, 2, 3, 4, 5])
  })
})
