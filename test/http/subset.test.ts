import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SubsetParams } from "../../src/http/request/SubsetParams.ts"
import {
  SubsetFailed,
  type SubsetQuery,
  SubsetRefused,
  SubsetUnavailable
} from "../../src/registry/subset/SubsetReader.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type HarnessOptions, rowsOf } from "./support/harness.ts"

const row = (id: number) =>
  `{"key":"k${id}","value":{"id":"${id}"},"headers":{"operation":"insert","snapshot_mark":7}}`
const shape = "/v1/shape?table=items"

/** Runs with a subset reader that answers with two rows, and notes what it was asked. */
const withSubsets = <E, R>(
  body: (context: {
    readonly store: FakeStore
    readonly queries: Array<SubsetQuery>
    readonly params: Array<SubsetParams>
    readonly closed: () => number
  }) => Effect.Effect<void, E, R>,
  options: HarnessOptions = {}
) => {
  const store = new FakeStore()
  const queries: Array<SubsetQuery> = []
  const params: Array<SubsetParams> = []
  let closed = 0
  return Effect.andThen(activate, body({ store, queries, params, closed: () => closed })).pipe(
    Effect.provide(
      apiLayer(store, {
        conditions: {
          where: (_table, sql) => Effect.succeed({ sql, expression: null }),
          subset: (_table, _queryable, subset) => {
            params.push(subset)
            return Effect.succeed({
              where: subset.where === undefined ? undefined : { sql: subset.where, expression: null },
              orderBy: subset.orderBy,
              limit: subset.limit,
              offset: subset.offset
            })
          }
        },
        subsets: {
          read: (_shape, query) =>
            Effect.gen(function* () {
              yield* Effect.addFinalizer(() => Effect.sync(() => void closed++))
              queries.push(query)
              return {
                xmin: 751n,
                xmax: 18_446_744_073_709_551_615n,
                xipList: [752n],
                databaseLsn: 26_677_736n,
                snapshotMark: 7,
                ...rowsOf(row(1), `,${row(2)}`)
              }
            })
        },
        ...options
      })
    )
  )
}

const expected = {
  metadata: {
    xmin: "751",
    xmax: "18446744073709551615",
    xip_list: ["752"],
    database_lsn: "26677736",
    snapshot_mark: 7
  },
  data: [JSON.parse(row(1)), JSON.parse(row(2))]
}

const failing = (error: SubsetRefused | SubsetUnavailable | SubsetFailed) => ({
  subsets: { read: () => Effect.fail(error) }
})

describe("subsets", () => {
  it.effect("GET and POST give the same object and the same headers", () =>
    withSubsets(({ store, params, closed }) =>
      Effect.gen(function* () {
        const get = yield* ask(
          `${shape}&offset=-1&subset__where=qty%20%3E%20%241&subset__params=%7B%221%22%3A2%7D&subset__order_by=id&subset__limit=2&subset__offset=1`
        )
        const flat = yield* ask(`${shape}&offset=-1`, {
          method: "POST",
          body: '{"where":"qty > $1","params":{"1":2},"order_by":"id","limit":2,"offset":1,"where_expr":{"x":1}}'
        })
        const wrapped = yield* ask(`${shape}&subset__limit=9`, {
          method: "POST",
          body: '{"offset":"-1","subset":{"where":"qty > $1","params":"{\\"1\\":2}","order_by":"id","limit":"2","offset":1}}'
        })
        for (const received of [get, flat, wrapped]) {
          assert.strictEqual(received.status, 200, received.text)
          assert.deepStrictEqual(received.json(), expected)
          const headers = [
            "cache-control",
            "electric-snapshot",
            "electric-offset",
            "etag",
            "electric-has-data",
            "electric-up-to-date",
            "electric-cursor"
          ]
          assert.deepStrictEqual(headers.map(received.header), [
            "no-cache",
            "true",
            "0_0",
            undefined,
            undefined,
            undefined,
            undefined
          ])
          assert.isDefined(received.header("electric-handle"))
          assert.isDefined(received.header("electric-schema"))
        }
        for (const given of params) {
          assert.deepStrictEqual(
            { ...given, params: { ...given.params } },
            { where: "qty > $1", params: { 1: "2" }, orderBy: "id", limit: 2, offset: 1 }
          )
        }
        assert.strictEqual(params.length, 3)
        assert.strictEqual(store.created, 1)
        assert.strictEqual(closed(), 3, "the transaction ends with the response")
      })
    )
  )

  it.effect("any subset parameter asks for one, even a blank or an ignored one", () =>
    withSubsets(() =>
      Effect.gen(function* () {
        for (const query of ["subset__where=", "subset__where_expr=x", "subset__nonsense", "subset[where]="])
          assert.isDefined((yield* ask(`${shape}&offset=-1&${query}`)).header("electric-snapshot"), query)
        const empty = yield* ask(`${shape}&offset=-1`, { method: "POST", body: '{"subset":{}}' })
        assert.isDefined(empty.header("electric-snapshot"))
        const ordinary = yield* ask(`${shape}&offset=-1`, { method: "POST", body: "{}" })
        assert.isUndefined(ordinary.header("electric-snapshot"))
      })
    )
  )

  it.effect("the client's stream goes on where it was: never past what it has not received", () =>
    withSubsets(({ store }) =>
      Effect.gen(function* () {
        const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
        store.append(handle, 500n, ['{"headers":{}}'])
        const offset = (query: string) =>
          Effect.map(ask(`${shape}&subset__where=true&${query}`), (received) =>
            received.header("electric-offset")
          )
        assert.strictEqual(yield* offset(`handle=${handle}&offset=0_inf`), "0_inf")
        assert.strictEqual(yield* offset(`handle=${handle}&offset=500_0`), "500_0")
        assert.strictEqual(
          yield* offset(`handle=${handle}&offset=9000_0`),
          "9000_0",
          "out of bounds does not matter"
        )
        assert.strictEqual(yield* offset("offset=now"), "500_0")
        assert.strictEqual(yield* offset("offset=-1"), "0_0")
      })
    )
  )

  it.effect("live has no effect but to leave the schema out", () =>
    withSubsets(() =>
      Effect.gen(function* () {
        const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
        const received = yield* ask(
          `${shape}&handle=${handle}&offset=0_inf&live=true&live_sse=true&subset__where=true`
        )
        assert.deepStrictEqual(received.json(), expected)
        assert.isUndefined(received.header("electric-schema"))
        assert.isUndefined(received.header("electric-cursor"))
      })
    )
  )

  it.effect("a wrong handle is a 409 with the right one, without a query", () =>
    withSubsets(({ queries }) =>
      Effect.gen(function* () {
        const received = yield* ask(`${shape}&handle=1-1&offset=0_0&subset__where=true`)
        assert.strictEqual(received.status, 409)
        assert.isDefined(received.header("electric-handle"))
        assert.strictEqual(queries.length, 0)
      })
    )
  )

  it.effect("failures: the database's word on a condition, no connection, anything else", () => {
    const get = ask(`${shape}&offset=-1&subset__where=x`)
    return Effect.gen(function* () {
      yield* withSubsets(
        () =>
          Effect.gen(function* () {
            const received = yield* get
            assert.strictEqual(received.status, 400)
            assert.deepStrictEqual(received.json(), {
              message: "Invalid request",
              errors: { subset: { where: "bad enum" } }
            })
          }),
        failing(new SubsetRefused({ message: "bad enum" }))
      )
      yield* withSubsets(
        () =>
          Effect.gen(function* () {
            const received = yield* get
            assert.strictEqual(received.status, 503)
            assert.deepStrictEqual(received.json(), { message: "Database connection not available" })
            assert.isDefined(received.header("retry-after"))
          }),
        failing(new SubsetUnavailable({ message: "Database connection not available" }))
      )
      yield* withSubsets(
        () =>
          Effect.gen(function* () {
            const received = yield* get
            assert.strictEqual(received.status, 500)
            assert.notInclude(received.text, "/var/lib")
          }),
        failing(new SubsetFailed({ message: "/var/lib/secret", cause: "secret" }))
      )
    })
  })

  it.effect("without rows it is an object all the same, and HEAD ends the transaction", () => {
    let closed = 0
    return withSubsets(
      () =>
        Effect.gen(function* () {
          const received = yield* ask(`${shape}&offset=-1&subset__where=x`)
          assert.deepStrictEqual(received.json(), { ...expected, data: [] })
          const api = yield* ShapeApi
          assert.strictEqual(api.stats().initialRequests, 0)
          assert.strictEqual(closed, 1)
        }),
      {
        subsets: {
          read: () =>
            Effect.as(
              Effect.addFinalizer(() => Effect.sync(() => void closed++)),
              {
                xmin: 751n,
                xmax: 18_446_744_073_709_551_615n,
                xipList: [752n],
                databaseLsn: 26_677_736n,
                snapshotMark: 7,
                ...rowsOf()
              }
            )
        }
      }
    )
  })
})
