import { assert, describe, it } from "vitest"
import { makeRandom } from "../../testing/Random.ts"
import { FirstTails, ShapeTail } from "../../src/storage/state/ShapeTail.ts"

describe("the tail of a shape, as a reader keeps it", () => {
  it("stays as it was, whatever is appended or forgotten", () => {
    const tail = new ShapeTail()
    const push = (i: number) => tail.push(0, i, 0, 1, i * 100, 10 + i)
    for (let i = 0; i < 10; i++) push(i)
    const frozen = tail.frozen()
    const seen = () =>
      Array.from({ length: frozen.count }, (_, i) => [frozen.tx(i), frozen.position(i), frozen.length(i)])
    const before = seen()
    assert.strictEqual(before.length, 10)
    for (let i = 10; i < 100; i++) push(i)
    assert.deepStrictEqual(seen(), before)
    tail.dropFirst(50)
    for (let i = 100; i < 200; i++) push(i)
    assert.deepStrictEqual(seen(), before)
    assert.strictEqual(tail.position(0), 5000)
  })
})

const facts = (tail: ShapeTail) =>
  Array.from({ length: tail.count }, (_, i) => [
    tail.tx(i),
    tail.op(i),
    tail.segment(i),
    tail.position(i),
    tail.length(i),
    tail.isLast(i),
    tail.isChunkEnd(i)
  ])

describe("tails that share their memory", () => {
  it("are what others are, however many there are, and whichever end", () => {
    const random = makeRandom(7)
    const tails = new FirstTails()
    const pairs: Array<{ readonly shared: ShapeTail; readonly own: ShapeTail }> = []
    const kept: Array<{ readonly frozen: ShapeTail; readonly words: ReadonlyArray<unknown> }> = []
    for (let step = 0; step < 20_000; step++) {
      const pair = pairs[random.int(0, Math.max(0, pairs.length - 1))]
      const what = random.int(0, 9)
      if (pair === undefined || (what < 4 && pairs.length < 2500))
        pairs.push({ shared: tails.make(), own: new ShapeTail() })
      else if (what < 7)
        for (const tail of [pair.shared, pair.own])
          assert.isTrue(tail.push(1, step, step % 3, 4, 5 * step, 6 + (step % 100)))
      else if (what < 8 && pair.own.count > 0)
        for (const tail of [pair.shared, pair.own]) {
          tail.markLast(tail.count - 1)
          if (step % 2 === 0) tail.markChunkEnd(0)
        }
      else if (what === 8) {
        kept.push({ frozen: pair.shared.frozen(), words: facts(pair.shared) })
        for (const tail of [pair.shared, pair.own]) tail.dropFirst(tail.count >> 1)
      } else {
        pair.shared.release()
        assert.strictEqual(pair.shared.count, 0)
        pairs.splice(pairs.indexOf(pair), 1)
      }
      const one = pairs[random.int(0, Math.max(0, pairs.length - 1))]
      if (one !== undefined) assert.deepStrictEqual(facts(one.shared), facts(one.own))
    }
    for (const { own, shared } of pairs) assert.deepStrictEqual(facts(shared), facts(own))
    for (const { frozen, words } of kept) assert.deepStrictEqual(facts(frozen), words)
  })
})
