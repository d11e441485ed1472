import { assert, describe, it } from "vitest"
import { ShapeTail } from "../../src/storage/state/ShapeTail.ts"

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
