import { assert, describe, it } from "@effect/vitest"
import { KeyFold } from "../../../src/storage/compaction/KeyFold.ts"
import { keyIn, offsetIn, operationIn, type Operation } from "../../../src/storage/compaction/RowMessage.ts"
import { checkRandomFold } from "../../../testing/compaction/CheckFold.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"

const cases = 500

describe("a folded log", () => {
  it("brings a reader at any offset to the same rows, and says nothing that does not fit", async () => {
    const first = freshSeed()
    for (let seed = first; seed < first + cases; seed++)
      await checkRandomFold(makeRandom(seed), 40).catch((error: unknown) =>
        assert.fail(`${String(error)}, with seed ${seed}`)
      )
  })

  it("has of one row no more than a delete, an insert and an update", () => {
    const fold = new KeyFold()
    const add = (operation: Operation, lsn: number, value: object, more: object = {}) => {
      const headers = { operation, relation: ["public", "t"], lsn: String(lsn), txids: [lsn], op_position: 0 }
      const text = JSON.stringify({ key: "k", value, ...more, headers })
      assert.deepStrictEqual(
        [keyIn(text), operationIn(text), offsetIn(text)],
        ["k", operation, { tx: BigInt(lsn), op: 0 }]
      )
      fold.add(operation, text)
    }
    add("insert", 1, { id: "1", a: "1", b: "1" })
    add("delete", 2, { id: "1" })
    add("insert", 3, { id: "1", a: "2", b: "2" })
    for (let i = 0; i < 1000; i++)
      add("update", 10 + i, { id: "1", a: String(i) }, { old_value: { a: String(i - 1) } })
    add("update", 2000, { id: "1", b: "3" }, { old_value: { b: "2" } })
    const texts = fold.messages().map(({ text }) => JSON.parse(text) as Record<string, unknown>)
    assert.deepStrictEqual(
      texts.map(({ headers }) => (headers as { lsn: string }).lsn),
      ["2", "3", "2000"]
    )
    assert.deepStrictEqual(texts[2]?.["value"], { id: "1", a: "999", b: "3" })
    assert.deepStrictEqual(texts[2]?.["old_value"], { a: "-1", b: "2" })
    assert.strictEqual(
      fold.row(),
      `{"key":"k","value":{"id":"1","a":"999","b":"3"},"headers":{"operation":"insert","relation":["public","t"]}}`
    )
    add("insert", 3000, { id: "1" })
    add("delete", 3001, { id: "1" })
    assert.deepStrictEqual(
      fold.messages().map(({ at }) => at),
      [{ tx: 3001n, op: 0 }]
    )
    assert.isUndefined(fold.row())
  })
})
