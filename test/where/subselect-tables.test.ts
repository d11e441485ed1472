import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { standardLimits } from "../../src/config/Limits.ts"
import { CompileAside, loadParser, tableKey } from "../../src/where/index.ts"
import { subselectTables } from "../../src/where/SubselectTables.ts"

const tablesOf = (sql: string): ReadonlyArray<string> => {
  const found = subselectTables(sql, standardLimits)
  assert.isTrue(Result.isSuccess(found), sql)
  return Result.isSuccess(found)
    ? found.success.map(({ name, schema }) => (schema === undefined ? name : `${schema}.${name}`))
    : []
}

describe("the tables that a condition's sub-selects name", () => {
  beforeAll(() => Effect.runPromise(loadParser))

  it("are found at every level and in every form, each once", () => {
    assert.deepStrictEqual(tablesOf("id = 1 AND name = 'select 1 from x'"), [])
    assert.deepStrictEqual(tablesOf("id IN (SELECT a FROM t) OR EXISTS (SELECT 1 FROM T WHERE t.b = id)"), [
      "t"
    ])
    assert.deepStrictEqual(tablesOf('(a, b) NOT IN (SELECT x, y FROM "Other"."T a")'), ["Other.T a"])
    assert.deepStrictEqual(
      tablesOf("a = ANY (SELECT x FROM s.t1 AS p JOIN t2 USING (k) WHERE x IN (SELECT y FROM t3, t2))"),
      ["s.t1", "t2", "t3"]
    )
    assert.deepStrictEqual(tablesOf("CASE WHEN a > (SELECT max FROM m) THEN b IN (TABLE t) END"), ["m", "t"])
  })

  it("are keyed by schema and name; without a schema `public` is meant", () => {
    assert.strictEqual(tableKey({ schema: undefined, name: "t" }), tableKey({ schema: "public", name: "t" }))
    assert.notStrictEqual(tableKey({ schema: "a.b", name: "c" }), tableKey({ schema: "a", name: "b.c" }))
  })

  it("are found in a thread where the text is large, and errors are told as anywhere else", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const aside = yield* CompileAside.make
          const many = Array.from({ length: 5000 }, (_, i) => i).join(",")
          const large = `id IN (${many}) AND id IN (SELECT a FROM s.t)`
          for (const sql of [large, "id IN (SELECT a FROM s.t)", `${large} AND`, "id IN (SELECT", "id = 1"])
            assert.deepStrictEqual(
              yield* aside.tables(sql, standardLimits),
              subselectTables(sql, standardLimits)
            )
        })
      )
    ))
})
