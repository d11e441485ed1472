import { assert, describe, it } from "vitest"
import { IntervalTree, type Interval } from "../../src/where/index/IntervalTree.ts"
import { makeRandom, type Random } from "../../testing/Random.ts"

const compare = (a: unknown, b: unknown): number => Number(a) - Number(b)

const holds = (interval: Interval, value: number): boolean => {
  const { lower, lowerInclusive, upper, upperInclusive } = interval
  const low = lower === undefined ? -1 : compare(lower, value)
  const high = upper === undefined ? 1 : compare(upper, value)
  return (low < 0 || (low === 0 && lowerInclusive)) && (high > 0 || (high === 0 && upperInclusive))
}

/** Among few values bounds meet often; a fifth has none on a side, and some hold nothing. */
const anInterval = (random: Random, id: number, values: number): Interval => {
  const bound = () => (random.int(0, 4) === 0 ? undefined : random.int(0, values))
  const lower = bound()
  const width = random.int(-1, 1 + (random.int(0, 9) === 0 ? values : values >> 5))
  return {
    id,
    lower,
    lowerInclusive: random.int(0, 1) === 0,
    upper: lower === undefined || random.int(0, 4) === 0 ? bound() : lower + width,
    upperInclusive: random.int(0, 1) === 0,
    exact: random.int(0, 1) === 0
  }
}

const numbers = (found: Iterable<number>): ReadonlyArray<number> => [...found].toSorted((a, b) => a - b)

/** They lie side by side. */
const side = (id: number): Interval => ({
  id,
  lower: id * 10,
  lowerInclusive: true,
  upper: id * 10 + 10,
  upperInclusive: false,
  exact: true
})

describe("a tree of intervals", () => {
  it("finds what a look at each of them finds, whatever is added and removed", () => {
    let looks = 0
    for (let seed = 1; seed <= 12; seed++) {
      const random = makeRandom(seed)
      const values = [4, 300, 100_000][seed % 3] ?? 4
      const tree = new IntervalTree(compare)
      const expected: Array<Interval> = []
      const steps = 4000
      for (let step = 0; step < steps; step++) {
        // It grows at first, and shrinks to nothing at last.
        if (expected.length === 0 || random.int(0, steps - 1) > step) {
          const interval = anInterval(random, step, values)
          tree.add(interval)
          expected.push(interval)
        } else {
          const [gone] = expected.splice(random.int(0, expected.length - 1), 1)
          if (gone !== undefined) tree.remove(gone)
          if (gone !== undefined) tree.remove({ ...gone, id: gone.id + 0.5 })
        }
        assert.strictEqual(tree.size, expected.length)
        if (step % 7 !== 0) continue
        looks++
        const value = random.int(-1, values + 1)
        const found: Array<number> = []
        tree.find(value, found)
        const holders = expected.filter((interval) => holds(interval, value))
        assert.deepStrictEqual(
          numbers(found),
          numbers(holders.map(({ exact, id }) => (exact ? id : -1 - id))),
          `seed ${seed}, step ${step}, value ${value}`
        )
      }
      for (const interval of expected) tree.remove(interval)
      assert.strictEqual(tree.size, 0)
    }
    assert.isAbove(looks, 6000)
  })

  it("keeps two intervals of one shape with the same lower bound apart until both go", () => {
    const tree = new IntervalTree(compare)
    const one = { id: 7, lower: 1, lowerInclusive: true, upper: 3, upperInclusive: true, exact: true }
    const other = { ...one, upper: 9 }
    tree.add(one)
    for (let id = 100; id < 200; id++) tree.add({ ...one, id })
    tree.add(other)
    const found: Array<number> = []
    tree.find(5, found)
    assert.deepStrictEqual(found, [7])
    tree.remove(one)
    tree.remove(other)
    tree.find(2, ((found.length = 0), found))
    assert.strictEqual(found.length, 100)
    assert.isFalse(found.includes(7))
  })

  it("touches few of a hundred thousand intervals that lie side by side", () => {
    let compared = 0
    const tree = new IntervalTree((a, b) => {
      compared++
      return compare(a, b)
    })
    const random = makeRandom(5)
    const ids = Array.from({ length: 100_000 }, (_, id) => id).toSorted(() => random.next() - 0.5)
    for (const id of ids) tree.add(side(id))
    for (const id of ids) if (id % 50 !== 0) tree.remove(side(id))
    for (const id of ids) if (id % 50 !== 0) tree.add(side(id))
    compared = 0
    for (let i = 0; i < 1000; i++) {
      const id = random.int(0, 99_999)
      const found: Array<number> = []
      tree.find(id * 10 + 5, found)
      assert.deepStrictEqual(found, [id])
    }
    assert.isBelow(compared / 1000, 200)
  })
})
