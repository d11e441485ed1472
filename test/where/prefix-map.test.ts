import { assert, describe, it } from "vitest"
import type { Compiled } from "../../src/where/evaluate/Compile.ts"
import { HashFilter, hashOf } from "../../src/where/index/HashFilter.ts"
import { PrefixMap } from "../../src/where/index/PrefixMap.ts"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"

const compiled = {} as Compiled
const makeMap = () => new PrefixMap(() => undefined)

const textOf = (random: Random): string => {
  const unit = () => random.pick(["a", "b", "/", "é", "\u{1f600}", "%"])
  return Array.from({ length: random.int(0, 9) }, unit).join("")
}

describe("beginnings of texts", () => {
  it("are found as a comparison with each of them finds them, however many come and go", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    const map = makeMap()
    const keys = new Map<string, number>()
    let most = 0
    for (let n = 0, id = 1; n < 12_000; n++) {
      const key = textOf(random)
      const known = keys.get(key)
      // It grows to more than a thousand, and becomes empty again, twice.
      const grows = n % 6000 < 3600
      if (known === undefined && random.chance(grows ? 0.9 : 0.05)) {
        keys.set(key, id)
        map.add(key, id++, true, compiled, [])
      } else if (!grows || random.chance(0.1)) {
        const [gone, its] = [...keys.entries()][random.int(0, Math.max(0, keys.size - 1))] ?? []
        if (gone === undefined || its === undefined) continue
        keys.delete(gone)
        map.remove(gone, its, true, compiled)
      }
      most = Math.max(most, keys.size)
      if (n % 20 !== 0) continue
      const text = textOf(random)
      const expected = [...keys].filter(([one]) => text.startsWith(one)).map(([, its]) => its)
      const found = map.find(text).toSorted((a, b) => Number(a) - Number(b))
      assert.deepStrictEqual(
        found,
        expected.toSorted((a, b) => a - b),
        `seed ${seed}, step ${n}`
      )
    }
    assert.isAbove(most, 1000)
  })

  it("are told from nearly all others by the filter, which misses none", () => {
    const random = makeRandom(freshSeed())
    for (const capacity of [1, 100, 10_000]) {
      const filter = new HashFilter(capacity)
      const start = random.int(0, 1e9)
      for (let k = 0; k < capacity; k++) filter.add(hashOf(`tenants/${start + k}/`))
      let through = 0
      for (let k = 0; k < capacity; k++) {
        assert.isTrue(filter.mayHave(hashOf(`tenants/${start + k}/`)))
        if (filter.mayHave(hashOf(`tenants/${start + capacity + k}/`))) through++
      }
      assert.isAtMost(through, Math.max(1, 0.05 * capacity), `${capacity}`)
    }
  })
})
