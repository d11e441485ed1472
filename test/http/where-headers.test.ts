import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Conditions } from "../../src/http/shape/Conditions.ts"
import { whereHeaders } from "../../src/http/reply/WhereHeaders.ts"
import type { WhereClause } from "../../src/where/index.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask } from "./support/harness.ts"

const clause = (reason: string): WhereClause => ({
  sql: "qty = 1",
  expression: { version: 1, columns: ["qty"] },
  classification: "evaluated",
  reason
})

describe("the headers that tell an operator what a condition costs", () => {
  it("hold nothing that a header may not", () => {
    const [, classification, , reason = ""] = whereHeaders(clause(`é\r\nx-evil: 1\u0000${"x".repeat(5000)}`))
    assert.strictEqual(classification, "evaluated")
    assert.match(reason, /^\? x-evil: 1\?x+\.\.\.$/)
    assert.strictEqual(reason.length, 399)
    assert.deepStrictEqual(whereHeaders(clause("")), ["baton-where", "evaluated"])
    assert.deepStrictEqual(whereHeaders({ sql: "true", expression: {} }), [])
    assert.deepStrictEqual(whereHeaders(undefined), [])
  })

  it.live("are part of answers with rows, and of no others", () => {
    const store = new FakeStore()
    const conditions = Conditions.of({
      where: () => Effect.succeed(clause("by hand")),
      subset: () => Effect.die("not asked")
    })
    return Effect.gen(function* () {
      yield* activate
      const url = "/v1/shape?table=items&where=qty%20%3D%201"
      const initial = yield* ask(`${url}&offset=-1`)
      const handle = initial.header("electric-handle") ?? ""
      const known = `${url}&handle=${handle}`
      for (const answer of [
        initial,
        yield* ask(`${url}&offset=-1`),
        yield* ask(`${known}&offset=0_0`),
        yield* ask(`${url}&offset=now`)
      ]) {
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(answer.header("baton-where"), "evaluated")
        assert.strictEqual(answer.header("baton-where-reason"), "by hand")
      }
      store.append(handle, 500n, ['{"key":"k2"}'])
      for (const answer of [
        yield* ask(`${known}&offset=0_inf&live=true`),
        yield* ask(`${url}&offset=-1`, { headers: { "if-none-match": initial.header("etag") ?? "" } }),
        yield* ask("/v1/shape?table=items&offset=-1")
      ])
        assert.isUndefined(answer.header("baton-where"))
    }).pipe(Effect.provide(apiLayer(store, { conditions })))
  })
})
