import { assert, describe, it } from "vitest"
import { ShareTurns } from "../../src/shared/ShareTurns.ts"

const megabyte = 1 << 20

describe("turns that are shared", () => {
  it("let everybody go on in order, only so many at once as their bytes allow, and others in between", async () => {
    const turns = new ShareTurns()
    const went: Array<string> = []
    let turn = 0
    const counting = () => {
      turn++
      if (turn < 8) setImmediate(counting)
    }
    setImmediate(counting)
    await Promise.all(
      Array.from({ length: 9 }, async (_, i) => {
        await turns.next(i < 6 ? megabyte : 5 * megabyte)
        went.push(`${i} in ${turn}`)
      })
    )
    assert.strictEqual(
      went.join(", "),
      "0 in 1, 1 in 1, 2 in 2, 3 in 2, 4 in 3, 5 in 3, 6 in 4, 7 in 5, 8 in 6"
    )
  })

  it("come again to who asks again, also from within one", async () => {
    const turns = new ShareTurns()
    const went: Array<string> = []
    const ask = async (name: string) => {
      for (let i = 0; i < 3; i++) {
        await turns.next(2 * megabyte)
        went.push(`${name}${i}`)
      }
    }
    await Promise.all([ask("a"), ask("b")])
    await ask("c")
    assert.deepStrictEqual(went, ["a0", "b0", "a1", "b1", "a2", "b2", "c0", "c1", "c2"])
  })
})
