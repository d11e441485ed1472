import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Counts } from "../../src/membership/Counts.ts"
import { Holders } from "../../src/membership/Holders.ts"
import { IntLists } from "../../src/membership/IntLists.ts"
import { KeyTable } from "../../src/membership/KeyTable.ts"
import { groupKeyIn, linkKeyIn, linkKeyOf, type LinkKey } from "../../src/where/index.ts"
import { makeRandom } from "../../testing/Random.ts"

const seeds = fc.integer({ min: 0, max: 0x7fffffff })

const hex = fc.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)

/** All kinds of keys that values have. */
const key: fc.Arbitrary<LinkKey> = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.bigInt(),
  fc.boolean(),
  fc.string({ unit: "binary", maxLength: 300 }),
  hex,
  hex.map((text) => text.toUpperCase()),
  fc.constantFrom("", "1", "true", "number:1", -0, "ÿ", "Ā", 2 ** 31, -(2 ** 31), 2 ** 40, 1n)
)

describe("what holds millions of links", () => {
  it("knows keys as a Map does, whatever comes and goes", () => {
    fc.assert(
      fc.property(seeds, fc.array(key, { minLength: 1, maxLength: 300 }), (seed, keys) => {
        const random = makeRandom(seed)
        const table = new KeyTable()
        const known = new Map<LinkKey, number>()
        const free: Array<number> = []
        for (let step = 0; step < 600; step++) {
          // Now more come, now more go.
          const one = random.pick(keys)
          const id = known.get(one)
          assert.strictEqual(table.find(one), id)
          if (id === undefined && random.chance(step % 200 < 120 ? 0.9 : 0.2)) {
            const taken = free.pop() ?? known.size
            known.set(one, taken)
            table.set(one, taken)
          } else if (id !== undefined && random.chance(step % 200 < 120 ? 0.1 : 0.9)) {
            known.delete(one)
            table.delete(id)
            free.push(id)
          }
          assert.strictEqual(table.size, known.size)
        }
        for (const one of keys) assert.strictEqual(table.find(one), known.get(one))
        for (const [one, id] of known) assert.strictEqual(table.keyOf(id), one === 0 ? 0 : one)
      }),
      { numRuns: 60 }
    )
  })

  it("counts as a Map does, in short lists and long ones, also after they have moved", () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 200 }), (seed, most) => {
        const random = makeRandom(seed)
        let lists = new IntLists()
        const all = [0, 1, 2].map(() => ({ counts: new Counts(lists), naive: new Map<number, number>() }))
        for (let step = 0; step < 1500; step++) {
          const { counts, naive } = random.pick(all)
          const id = random.int(0, most)
          const before = naive.get(id) ?? 0
          // Now more come, now more go.
          const delta = random.chance(step % 600 < 400 ? 0.8 : 0.2) ? 1 : -1
          assert.strictEqual(counts.add(id, delta), before)
          if (before + delta === 0) naive.delete(id)
          else naive.set(id, before + delta)
          if (step % 100 === 99) {
            lists = new IntLists()
            for (const one of all) one.counts.moveTo(lists)
          }
        }
        for (const { counts, naive } of all) {
          assert.strictEqual(counts.size, naive.size)
          assert.deepStrictEqual(Array.from(counts.keys()).toSorted(), Array.from(naive.keys()).toSorted())
          for (let id = 0; id <= most; id++) assert.strictEqual(counts.of(id), naive.get(id) ?? 0)
          assert.strictEqual(
            counts.hasNegative,
            Array.from(naive.values()).some((count) => count < 0)
          )
          counts.clear()
          assert.strictEqual(counts.size, 0)
        }
      }),
      { numRuns: 60 }
    )
  })

  it("knows who has what, be they none, one, some or many", () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 150 }), (seed, most) => {
        const random = makeRandom(seed)
        const holders = new Holders()
        const naive = new Map<number, Set<number>>()
        for (let step = 0; step < 5000; step++) {
          const id = random.int(0, 20) ** 2
          const holder = random.int(0, most)
          const set = naive.get(id) ?? new Set<number>()
          naive.set(id, set)
          if (set.delete(holder)) holders.remove(id, holder)
          else if (random.chance(step % 2000 < 1400 ? 1 : 0.1)) {
            set.add(holder)
            holders.add(id, holder)
          }
          if (step % 500 === 499) holders.tidy()
        }
        for (let id = 0; id <= 401; id++) {
          const expected = Array.from(naive.get(id) ?? [])
          assert.strictEqual(holders.has(id), expected.length > 0)
          assert.deepStrictEqual(Array.from(holders.of(id)).toSorted(), expected.toSorted())
        }
      }),
      { numRuns: 60 }
    )
  })

  it("finds the group in a link", () => {
    fc.assert(
      fc.property(
        fc.array(key, { maxLength: 3 }),
        fc.array(key, { minLength: 1, maxLength: 2 }),
        (group, values) => {
          const link = linkKeyOf([...group, ...values])
          // As the text that several keys become has it.
          const own = linkKeyOf(group.map((one) => (Object.is(one, -0) ? 0 : one)))
          assert.strictEqual(linkKeyIn(group.length, linkKeyOf(group), values), link)
          assert.strictEqual(groupKeyIn(group.length, link), own)
        }
      )
    )
  })

  it("gives back the memory of lists that have grown", () => {
    const holders = new Holders()
    for (let holder = 0; holder < 20; holder++) for (let id = 0; id < 2000; id++) holders.add(id, holder)
    const before = holders.cells
    holders.tidy()
    // Twenty holders and the length: 24 cells are the smallest list that has room for them.
    assert.isAtMost(holders.cells, 2000 * 24 + 2000)
    assert.isAbove(before, 2000 * 50)
  })
})
