import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { NotActive, SnapshotFailed } from "../../src/registry/ShapeRegistry.ts"
import { type SubsetError, SubsetOutdated } from "../../src/registry/subset/SubsetReader.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type HarnessOptions, rowsOf, table } from "./support/harness.ts"

const shape = "/v1/shape?table=items&offset=-1"

const withApi = <E>(
  body: (store: FakeStore) => Effect.Effect<void, E, Effect.Services<ReturnType<typeof ask>>>,
  options: HarnessOptions = {}
) => {
  const store = new FakeStore()
  return Effect.andThen(activate, body(store)).pipe(Effect.provide(apiLayer(store, options)))
}

/** Answers while time passes. */
const answered = (query: string) =>
  Effect.raceFirst(ask(query), Effect.forever(Effect.andThen(TestClock.adjust(50), Effect.yieldNow)))

const refusal = (received: { readonly text: string }): unknown =>
  (JSON.parse(received.text) as { readonly errors: unknown }).errors

const schemaChanged = new SnapshotFailed({ kind: "schemaChanged", message: "another column" })
const unknownFunction = "function f1(integer) does not exist"

describe("a shape that cannot be made of what is remembered", () => {
  it.effect("is made of what the catalogue says now, without a must-refetch", () =>
    withApi((store) =>
      Effect.gen(function* () {
        store.creationFails = schemaChanged
        store.failures = 1
        store.tablesNow.set("public.items", table("items", ["id", "fresh"], ["id"]))
        const received = yield* answered(shape)
        assert.strictEqual(received.status, 200)
        assert.include(received.header("electric-schema"), "fresh")
        assert.strictEqual(store.catalogueReads, 1)
      })
    )
  )

  it.effect("or dropped before its first rows are read, is made again for who has none of them yet", () =>
    withApi((store) =>
      Effect.gen(function* () {
        store.dropsBeforeRead = 2
        const received = yield* answered(shape)
        assert.strictEqual(received.status, 200)
        assert.include(received.text, '"id":"1"')
        assert.strictEqual(store.created, 3)
        store.dropsBeforeRead = 1
        const handle = received.header("electric-handle") ?? ""
        const reader = yield* answered(`/v1/shape?table=items&offset=0_0&handle=${handle}`)
        assert.strictEqual(reader.status, 409, "for a reader its copy has come to an end")
        store.dropsBeforeRead = Infinity
        assert.strictEqual((yield* answered(shape)).status, 503)
      })
    )
  )

  it.effect("of a table that is gone is refused for good", () =>
    withApi((store) =>
      Effect.gen(function* () {
        store.creationFails = schemaChanged
        store.tablesNow.set("public.items", "gone")
        const received = yield* answered(shape)
        assert.strictEqual(received.status, 400)
        assert.include(received.text, "does not exist")
      })
    )
  )

  it.effect("of a table that changes all the time is a 503 with a time to come back", () =>
    withApi((store) =>
      Effect.gen(function* () {
        store.creationFails = schemaChanged
        const received = yield* answered(shape)
        assert.strictEqual(received.status, 503)
        assert.strictEqual(received.header("retry-after"), "1")
        assert.strictEqual(store.catalogueReads, 2)
      })
    )
  )

  it.effect("for its condition is refused in Postgres' words, when the catalogue has been read again", () => {
    let renewed = 0
    return withApi(
      (store) =>
        Effect.gen(function* () {
          store.creationFails = new SnapshotFailed({ kind: "conditionOutdated", message: unknownFunction })
          const received = yield* answered(`${shape}&where=f1(id)`)
          assert.strictEqual(received.status, 400)
          assert.deepStrictEqual(refusal(received), { where: [unknownFunction] })
          assert.strictEqual(renewed, 1)
        }),
      {
        conditions: {
          where: (_table, sql) => Effect.succeed({ sql, expression: null }),
          renew: Effect.sync(() => void renewed++),
          subset: () => Effect.die(new Error("not asked"))
        }
      }
    )
  })
})

describe("a column that is not known", () => {
  const fresh = `${shape}&columns=id,fresh`

  it.effect("is looked for again before it is refused, once", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const refused = yield* answered(fresh)
        assert.strictEqual(refused.status, 400)
        assert.strictEqual(store.catalogueReads, 1)
        store.tablesNow.set("public.items", table("items", ["id", "fresh"], ["id"]))
        assert.strictEqual((yield* answered(fresh)).status, 200)
        assert.strictEqual(store.catalogueReads, 2)
        assert.strictEqual((yield* answered(fresh)).status, 200)
        assert.strictEqual(store.catalogueReads, 2)
      })
    )
  )

  it.effect("is not refused while nobody can say whether it is there", () =>
    withApi((store) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* answered(shape)).status, 200)
        store.catalogueDown = true
        assert.strictEqual((yield* answered(fresh)).status, 503)
      })
    )
  )
})

it.effect("an instance that cannot make shapes looks at the catalogue before it waits for one", () =>
  withApi((store) =>
    Effect.gen(function* () {
      store.creationFails = new NotActive({ why: "waiting", message: "not active" })
      // Made by the active instance, of columns that nobody here has seen yet.
      const now = table("items", ["id", "fresh"], ["id"])
      store.tables.set("public.items", now)
      const failures = store.failures
      store.failures = 0
      const { handle } = store.create((yield* definitionOfItems(store)).definition)
      store.failures = failures
      store.tables.set("public.items", table("items", ["id"], ["id"]))
      store.tablesNow.set("public.items", now)
      const received = yield* answered(shape)
      assert.strictEqual(received.status, 200)
      assert.strictEqual(received.header("electric-handle"), handle)
    })
  )
)

/** As a request makes it. */
const definitionOfItems = (store: FakeStore) =>
  Effect.gen(function* () {
    yield* answered(shape)
    const [made] = [...store.shapes.values()]
    if (made === undefined) return yield* Effect.die(new Error("no shape was made"))
    store.shapes.clear()
    return made.shape
  })

describe("a subset whose table or condition is outdated", () => {
  const outcomes = (errors: ReadonlyArray<SubsetError>, query: string, prepare: (store: FakeStore) => void) =>
    Effect.gen(function* () {
      const left = [...errors]
      let received: { readonly status: number; readonly text: string } | undefined
      yield* withApi(
        (store) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* answered(shape)).status, 200)
            prepare(store)
            received = yield* answered(query)
          }),
        {
          conditions: {
            where: (_table, sql) => Effect.succeed({ sql, expression: null }),
            subset: () =>
              Effect.succeed({ where: undefined, orderBy: undefined, limit: undefined, offset: undefined })
          },
          subsets: {
            read: () =>
              Effect.suspend(() => {
                const error = left.shift()
                if (error !== undefined) return Effect.fail(error)
                return Effect.succeed({
                  xmin: 1n,
                  xmax: 2n,
                  xipList: [],
                  databaseLsn: 3n,
                  snapshotMark: 4,
                  ...rowsOf()
                })
              })
          }
        }
      )
      return received ?? (yield* Effect.die(new Error("no answer")))
    })
  const query = `${shape}&subset__where=id=1`
  const outdated = new SubsetOutdated({ refusal: undefined })
  const refused = new SubsetOutdated({ refusal: unknownFunction })

  it.effect("is read again", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* outcomes([outdated], query, () => {})).status, 200)
      assert.strictEqual((yield* outcomes([refused], query, () => {})).status, 200)
    })
  )

  it.effect("is refused when the table is gone, and when the condition is refused again", () =>
    Effect.gen(function* () {
      const gone = yield* outcomes([outdated], query, (store) => store.tablesNow.set("public.items", "gone"))
      assert.strictEqual(gone.status, 400)
      const twice = yield* outcomes([refused, refused], query, () => {})
      assert.strictEqual(twice.status, 400)
      assert.deepStrictEqual(refusal(twice), { subset: { where: unknownFunction } })
    })
  )
})
