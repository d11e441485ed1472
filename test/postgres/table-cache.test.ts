import { assert, describe, it } from "@effect/vitest"
import { TableCache } from "../../src/postgres/catalogue/TableCache.ts"
import type { TableChange } from "../../src/postgres/catalogue/TableChange.ts"
import { column, table } from "../../testing/postgres/TableInfos.ts"

const v1 = table([column("id")], { oid: 7, name: "t" })
const v2 = table([column("id"), column("b")], { oid: 7, name: "t" })

describe("the memory of tables", () => {
  it("keeps what was seen last, whatever order looks end in", () => {
    const cache = new TableCache()
    const early = cache.tick()
    const late = cache.tick()
    cache.store(v2, late)
    cache.store(v1, early)
    assert.strictEqual(cache.byOid(7), v2)
    cache.storeAbsence(7, early)
    assert.strictEqual(cache.byOid(7), v2)
    cache.storeAbsence(7, cache.tick())
    assert.isUndefined(cache.byOid(7))
  })

  it("is in doubt when the doubt came up after the look had begun", () => {
    const cache = new TableCache()
    cache.store(v1, cache.tick())
    assert.isTrue(cache.isFresh(7))
    const underWay = cache.tick()
    cache.invalidate(7)
    cache.store(v1, underWay)
    assert.isFalse(cache.isFresh(7))
    cache.store(v1, cache.tick())
    assert.isTrue(cache.isFresh(7))
  })

  it("forgets a name with its table, but not when another table has it by now", () => {
    const cache = new TableCache()
    cache.store(v1, cache.tick())
    cache.store({ ...v1, oid: 8 }, cache.tick())
    cache.storeAbsence(7, cache.tick())
    assert.strictEqual(cache.byName({ schema: "public", name: "t" })?.oid, 8)
    cache.store({ ...v1, oid: 8, name: "u" }, cache.tick())
    assert.isUndefined(cache.byName({ schema: "public", name: "t" }))
    assert.strictEqual(cache.byName({ schema: "public", name: "u" })?.oid, 8)
  })

  it("does not let what was restored replace what was seen", () => {
    const cache = new TableCache()
    cache.store(v2, cache.tick())
    cache.restore([v1, { ...v1, oid: 9, name: "other" }])
    assert.strictEqual(cache.byOid(7), v2)
    assert.isFalse(cache.isFresh(9))
    assert.strictEqual(cache.all().length, 2)
  })

  it("tells every difference once, to those who listen", () => {
    const cache = new TableCache()
    const changes: Array<TableChange> = []
    const stop = cache.listen((change) => changes.push(change))
    cache.store(v1, cache.tick())
    cache.store(v1, cache.tick())
    cache.store(v2, cache.tick())
    cache.store(v2, cache.tick())
    cache.storeAbsence(7, cache.tick())
    stop()
    cache.store(v1, cache.tick())
    cache.store(v2, cache.tick())
    assert.deepStrictEqual(
      changes.map((change) => change._tag),
      ["Changed", "Vanished"]
    )
  })
})
