import { assert, describe, it } from "vitest"
import { Ledger } from "../../testing/readers/Ledger.ts"

const key = (id: number) => `"public"."items"/"${id}"`
const message = (operation: "insert" | "delete", id: number, op: number, more: object = {}, v = "0") => ({
  key: key(id),
  value: { id: String(id), v },
  headers: { operation, lsn: "100", op_position: op, ...more }
})

describe("what checks the changes that a client is told of", () => {
  it("does not take the insert of one key change for that of another, whose own a folded log has left out", () => {
    const told = [
      message("insert", 1, 0, {}, "7"),
      message("delete", 1, 2, { key_change_to: key(2) }),
      // Row 3 was never told of: it was made and moved in what is folded.
      message("delete", 3, 4, { key_change_to: key(4) }),
      message("insert", 4, 5, { key_change_from: key(3) }, "3")
    ]
    const folded = new Ledger("v", true)
    for (const one of told) folded.apply(one)
    assert.deepStrictEqual(folded.problems, [])
    assert.strictEqual(folded.rows.size, 1)
    const whole = new Ledger("v")
    for (const one of told) whole.apply(one)
    assert.isAbove(whole.problems.length, 0)
  })

  it("sees a version of a moved row that does not follow", () => {
    const ledger = new Ledger("v", true)
    ledger.apply(message("insert", 1, 0, {}, "7"))
    ledger.apply(message("delete", 1, 2, { key_change_to: key(2) }))
    ledger.apply(message("insert", 2, 3, { key_change_from: key(1) }, "3"))
    assert.strictEqual(ledger.problems.length, 1)
  })
})
