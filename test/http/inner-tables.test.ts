import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { conditionRefused, Conditions } from "../../src/http/shape/Conditions.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, table } from "./support/harness.ts"

const members = (columns: ReadonlyArray<string>, oid = 16_400) => table("members", columns, ["id"], oid)

const clause = encodeURIComponent("id IN (SELECT item_id FROM members)")
const shape = `/v1/shape?table=items&offset=-1&where=${clause}`

/** Conditions that need the column `item_id` of the table that they name. */
const conditionsOver = (name: string) => {
  const found: Array<number> = []
  const conditions = Conditions.of({
    where: (_table, sql, _params, findTable) =>
      Effect.flatMap(findTable({ schema: "public", name }), ({ columns, oid }) => {
        found.push(oid)
        return columns.some((column) => column.name === "item_id")
          ? Effect.succeed({ sql, expression: null })
          : Effect.fail(conditionRefused("where", "unknown column item_id", false))
      }),
    subset: () => Effect.die(new Error("not asked"))
  })
  return { conditions, found }
}

/** Answers while time passes. */
const answered = (query: string) =>
  Effect.raceFirst(ask(query), Effect.forever(Effect.andThen(TestClock.adjust(50), Effect.yieldNow)))

const errorsOf = (received: { readonly text: string }): unknown =>
  (JSON.parse(received.text) as { readonly errors: unknown }).errors

describe("the tables that sub-selects name", () => {
  it.effect("are looked up once, for as long as they are what they were", () => {
    const store = new FakeStore()
    const { conditions, found } = conditionsOver("members")
    return Effect.gen(function* () {
      yield* activate
      store.tables.set("public.members", members(["id", "item_id"]))
      const first = yield* answered(shape)
      assert.strictEqual(first.status, 200)
      const known = `${shape}&handle=${first.header("electric-handle")}`
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* answered(known)).status, 200)
      assert.deepStrictEqual(found, [16_400])
      store.tables.set("public.members", members(["id", "item_id"], 16_401))
      assert.strictEqual((yield* answered(shape)).status, 200)
      assert.deepStrictEqual(found, [16_400, 16_401])
    }).pipe(Effect.provide(apiLayer(store, { conditions })))
  })

  it.effect(
    "are read anew before a column of theirs is refused, although the shape's table is the same",
    () => {
      const store = new FakeStore()
      const { conditions, found } = conditionsOver("members")
      return Effect.gen(function* () {
        yield* activate
        store.tables.set("public.members", members(["id", "person_id"]))
        store.tablesNow.set("public.members", members(["id", "item_id"], 16_402))
        assert.strictEqual((yield* answered(shape)).status, 200)
        assert.deepStrictEqual(found, [16_400, 16_402])
        store.tablesNow.set("public.members", members(["id"], 16_403))
        store.tables.set("public.members", members(["id"], 16_403))
        const refused = yield* answered(shape)
        assert.strictEqual(refused.status, 400)
        assert.deepStrictEqual(errorsOf(refused), { where: ["unknown column item_id"] })
      }).pipe(Effect.provide(apiLayer(store, { conditions })))
    }
  )

  it.effect("are refused under `table` when there are none, or come a moment later", () => {
    const store = new FakeStore()
    const { conditions } = conditionsOver("members")
    return Effect.gen(function* () {
      yield* activate
      const refused = yield* answered(shape)
      assert.strictEqual(refused.status, 400)
      assert.deepStrictEqual(errorsOf(refused), {
        table: [
          'Table "public"."members" does not exist. ' +
            "If the table name contains capitals or special characters you must quote it."
        ]
      })
      store.tablesNow.set("public.members", members(["id", "item_id"]))
      assert.strictEqual((yield* answered(shape)).status, 200)
    }).pipe(Effect.provide(apiLayer(store, { conditions })))
  })

  it.effect("are not refused while nobody can say whether they are there", () => {
    const store = new FakeStore()
    const { conditions } = conditionsOver("members")
    return Effect.gen(function* () {
      yield* activate
      assert.strictEqual((yield* answered("/v1/shape?table=items&offset=-1")).status, 200)
      store.catalogueDown = true
      assert.strictEqual((yield* answered(shape)).status, 503)
    }).pipe(Effect.provide(apiLayer(store, { conditions })))
  })
})
