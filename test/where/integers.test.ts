import { assert, describe, it } from "@effect/vitest"
import { div8, type Integer, mod8, normalise } from "../../src/where/values/Integer.ts"
import { makeRandom } from "../../testing/Random.ts"

describe("division of bigint", () => {
  it("is exact, whether the numbers are safe or not", () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const random = makeRandom(seed)
    const most = 2n ** 63n - 1n
    const edges = [1n, 2n, 3n, 2n ** 31n, 2n ** 32n + 1n, 2n ** 52n + 1n, 2n ** 53n - 1n, 2n ** 53n, most]
    const some = (): bigint => {
      const size = random.chance(0.4)
        ? random.pick(edges)
        : BigInt(random.int(0, 2 ** 52)) >> BigInt(random.int(0, 50))
      return random.chance(0.5) ? -size : size
    }
    const same = (found: Integer, expected: bigint, what: string) =>
      assert.isTrue(Object.is(found, normalise(expected)), `${what}: ${found}, seed ${seed}`)
    for (let i = 0; i < 20_000; i++) {
      const [a, b] = [some(), some()]
      if (b === 0n) continue
      same(div8(normalise(a), normalise(b)), a / b, `${a} / ${b}`)
      same(mod8(normalise(a), normalise(b)), a % b, `${a} % ${b}`)
    }
  })
})
