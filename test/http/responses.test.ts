import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, References } from "effect"
import { TestClock } from "effect/testing"
import { SnapshotFailed } from "../../src/registry/ShapeRegistry.ts"
import { logBody } from "../../src/http/reply/LogBody.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import type { PieceSource } from "../../src/shared/Pieces.ts"
import { FakeStore } from "./support/FakeStore.ts"
import {
  activate,
  apiLayer,
  ask,
  type HarnessOptions,
  type Received,
  requestOf,
  secret,
  table
} from "./support/harness.ts"

const change = (id: number) => `{"key":"k${id}","value":{"id":"${id}"},"headers":{"operation":"insert"}}`

const withApi = <E>(
  body: (store: FakeStore) => Effect.Effect<void, E, Effect.Services<ReturnType<typeof ask>>>,
  options: HarnessOptions = {}
) => {
  const store = new FakeStore()
  return Effect.andThen(activate, body(store)).pipe(Effect.provide(apiLayer(store, options)))
}

/** The headers that differ from class to class. */
const classHeaders = (received: Received) => {
  const names = [
    "cache-control",
    "surrogate-control",
    "electric-handle",
    "electric-offset",
    "electric-schema",
    "electric-cursor",
    "electric-up-to-date",
    "electric-has-data",
    "electric-snapshot",
    "etag",
    "retry-after",
    "electric-internal-known-error"
  ]
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = received.header(name)
      return value === undefined ? [] : [[name, value]]
    })
  )
}

const schema =
  '{"id":{"type":"int8","pk_index":0,"not_null":true},"name":{"type":"text"},"qty":{"type":"text"}}'
const noPieces: PieceSource = async function* () {}
const shape = "/v1/shape?table=items"
const halfAnHour = "public, max-age=1800, s-maxage=1800, stale-while-revalidate=1800"

const idFor = (given: string) =>
  Effect.map(ask("/", { headers: { "x-request-id": given } }), (received) => received.header("x-request-id"))

const allowedHeaders = (requested?: string) =>
  Effect.map(
    ask("/v1/shape?x=%FF", {
      method: "OPTIONS",
      headers: requested === undefined ? {} : { "access-control-request-headers": requested }
    }),
    (received) => {
      assert.deepStrictEqual([received.status, received.text], [204, ""])
      assert.strictEqual(received.header("access-control-max-age"), "86400")
      return received.header("access-control-allow-headers")
    }
  )

describe("what every response carries", () => {
  it.effect("an id, who answers, how to cache it and who may read it", () =>
    withApi(() =>
      Effect.gen(function* () {
        const shapeMethods = "GET, POST, HEAD, DELETE, OPTIONS"
        for (const [method, target, methods] of [
          ["GET", `${shape}&offset=-1`, shapeMethods],
          ["GET", `${shape}&offset=abc`, shapeMethods],
          ["DELETE", shape, shapeMethods],
          ["PUT", shape, shapeMethods],
          ["OPTIONS", shape, shapeMethods],
          ["GET", "/v1/health", "GET, HEAD"],
          ["GET", "/v1/openapi.json", "GET, HEAD"],
          ["GET", "/", "GET, HEAD"],
          ["GET", "/nope", "GET, HEAD"]
        ] as const) {
          const received = yield* ask(target, { method, headers: { origin: "https://app.example" } })
          const label = `${method} ${target}`
          assert.match(received.header("x-request-id") ?? "", /^[\w-]{20}$/, label)
          assert.match(
            received.header("electric-server") ?? "",
            /^ElectricSQL\/\d+\.\d+\.\d+ Baton\/\S+$/,
            label
          )
          assert.strictEqual(received.header("access-control-allow-origin"), "*", label)
          assert.strictEqual(received.header("access-control-allow-methods"), methods, label)
          assert.strictEqual(
            received.header("access-control-expose-headers"),
            "electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,electric-snapshot,electric-up-to-date,electric-internal-known-error,electric-server,baton-where,baton-where-reason,x-request-id,retry-after",
            label
          )
          assert.strictEqual(
            received.header("vary"),
            method === "OPTIONS" ? undefined : "accept-encoding",
            label
          )
          assert.strictEqual(received.header("cache-control") === undefined, method === "OPTIONS", label)
        }
      })
    )
  )

  it.effect("x-request-id is the client's own, if it has a sensible length", () =>
    withApi(() =>
      Effect.gen(function* () {
        assert.strictEqual(yield* idFor("a".repeat(20)), "a".repeat(20))
        assert.strictEqual(yield* idFor("b".repeat(200)), "b".repeat(200))
        assert.notStrictEqual(yield* idFor("a".repeat(19)), "a".repeat(19))
        assert.notStrictEqual(yield* idFor("b".repeat(201)), "b".repeat(201))
        assert.notStrictEqual(yield* idFor("é".repeat(30)), "é".repeat(30))
        assert.notStrictEqual(yield* idFor(""), yield* idFor(""))
      })
    )
  )
})

describe("each class of response", () => {
  it.effect("offset=-1", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const received = yield* ask(`${shape}&offset=-1`)
        const handle = received.header("electric-handle") ?? ""
        assert.strictEqual(received.status, 200)
        assert.deepStrictEqual(classHeaders(received), {
          "cache-control": halfAnHour,
          etag: `"${handle}:-1:0_0"`,
          "electric-handle": handle,
          "electric-schema": schema,
          "electric-has-data": "true",
          "electric-offset": "0_0"
        })
        assert.deepStrictEqual(received.json(), JSON.parse(`[${store.snapshot[0]?.join(",")}]`))
        // An old shape with a long log still begins with its snapshot.
        store.append(handle, 500n, [change(2)])
        assert.strictEqual((yield* ask(`${shape}&offset=-1`)).header("electric-offset"), "0_0")
        assert.strictEqual(store.created, 1)
      })
    )
  )

  it.effect("catch-up: next snapshot chunk, end of the snapshot, and the log", () =>
    withApi((store) =>
      Effect.gen(function* () {
        store.snapshot = [[change(1)], [change(2)]]
        const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
        const catchUp = "public, max-age=60, stale-while-revalidate=300"
        const at = (offset: string) => ask(`${shape}&handle=${handle}&offset=${offset}`)
        const headers = (requested: string, next: string) => ({
          "cache-control": catchUp,
          etag: `"${handle}:${requested}:${next}"`,
          "electric-handle": handle,
          "electric-schema": schema,
          "electric-has-data": "true",
          "electric-offset": next
        })
        const second = yield* at("0_0")
        assert.deepStrictEqual(classHeaders(second), headers("0_0", "0_1"))
        assert.strictEqual(second.text, `[${change(2)}]`)
        const end = yield* at("0_1")
        assert.deepStrictEqual(classHeaders(end), { ...headers("0_1", "0_inf"), "electric-up-to-date": "" })
        assert.strictEqual(end.text, '[{"headers":{"control":"up-to-date","global_last_seen_lsn":"100"}}]')
        assert.strictEqual((yield* at("0_7")).header("electric-offset"), "0_inf")
        store.append(handle, 500n, [change(3), change(4)])
        const log = yield* at("0_02")
        assert.deepStrictEqual(classHeaders(log), { ...headers("0_2", "500_2"), "electric-up-to-date": "" })
        assert.strictEqual(
          log.text,
          `[${change(3)},${change(4)},{"headers":{"control":"up-to-date","global_last_seen_lsn":"500"}}]`
        )
        // An offset between entries means everything after it.
        assert.strictEqual((yield* at("500_0")).text.includes(change(3)), false)
        assert.strictEqual((yield* at("499_inf")).text.includes(change(3)), true)
        // The claim of an up-to-date answer is what the whole service has seen.
        store.lastSeen = 900n
        assert.include((yield* at("500_2")).text, '"global_last_seen_lsn":"900"')
      })
    )
  )

  it.effect("offset=now, with a handle that does not matter", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const first = yield* ask(`${shape}&offset=now&handle=wrong`)
        const handle = first.header("electric-handle") ?? ""
        const { etag, ...rest } = classHeaders(first)
        assert.match(etag ?? "", new RegExp(`^"${handle}:now:0_inf:\\d+"$`))
        assert.deepStrictEqual(rest, {
          "cache-control": "public, max-age=60, stale-while-revalidate=300",
          "electric-handle": handle,
          "electric-schema": schema,
          "electric-up-to-date": "",
          "electric-has-data": "false",
          "electric-offset": "0_inf"
        })
        store.append(handle, 700n, [change(1)])
        const second = yield* ask(`${shape}&offset=now`)
        assert.strictEqual(second.header("electric-offset"), "700_0")
        assert.strictEqual(second.text, '[{"headers":{"control":"up-to-date","global_last_seen_lsn":"700"}}]')
        assert.notStrictEqual(second.header("etag"), (yield* ask(`${shape}&offset=now`)).header("etag"))
      })
    )
  )

  it.effect("log=changes_only is a shape of its own", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const full = yield* ask(`${shape}&offset=-1`)
        store.snapshot = [['{"headers":{"control":"snapshot-end"}}']]
        const changes = yield* ask(`${shape}&offset=now&log=changes_only`)
        assert.notStrictEqual(changes.header("electric-handle"), full.header("electric-handle"))
        assert.strictEqual(changes.header("electric-offset"), "0_inf")
      })
    )
  )

  it.effect("live with data", () =>
    withApi((store) =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.parse("2026-11-23T10:33:37Z"))
        const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
        store.append(handle, 500n, [change(2)])
        store.lastSeen = 900n
        const received = yield* ask(`${shape}&handle=${handle}&offset=0_inf&live=true&cursor=`)
        assert.deepStrictEqual(classHeaders(received), {
          "cache-control": "public, max-age=5, stale-while-revalidate=5",
          "electric-cursor": "66998020",
          etag: `"${handle}:0_inf:500_0"`,
          "electric-handle": handle,
          "electric-up-to-date": "",
          "electric-has-data": "true",
          "electric-offset": "500_0"
        })
        assert.include(
          received.text,
          '"global_last_seen_lsn":"500"',
          "a live answer claims no more than it delivers"
        )
      })
    )
  )

  it.effect("304, with the headers of the 200 but no schema", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const first = yield* ask(`${shape}&offset=-1`)
        const handle = first.header("electric-handle") ?? ""
        const again = yield* ask(`${shape}&offset=-1`, {
          headers: { "if-none-match": `"x", ${first.header("etag")}` }
        })
        assert.strictEqual(again.status, 304)
        assert.strictEqual(again.text, "")
        assert.deepStrictEqual(classHeaders(again), {
          "cache-control": halfAnHour,
          etag: `"${handle}:-1:0_0"`,
          "electric-handle": handle,
          "electric-has-data": "true",
          "electric-offset": "0_0"
        })
        store.append(handle, 500n, [change(2)])
        const live = yield* ask(`${shape}&handle=${handle}&offset=0_inf&live=true`, {
          headers: { "if-none-match": `"${handle}:0_inf:500_0"` }
        })
        assert.strictEqual(live.status, 304)
        assert.isDefined(live.header("electric-cursor"))
        assert.strictEqual(live.header("electric-up-to-date"), "")
        const weak = yield* ask(`${shape}&offset=-1`, {
          headers: { "if-none-match": `W/${first.header("etag")}` }
        })
        assert.strictEqual(weak.status, 200)
      })
    )
  )

  it.effect("409 with a handle: an unknown one, one of another shape; never the one that was sent", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const items = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
        const other = (yield* ask(`${shape}&offset=-1&replica=full`)).header("electric-handle") ?? ""
        for (const [query, expected] of [
          ["&handle=1-1&offset=0_0", items],
          ["&handle=1-1&offset=0_0&live=true", items],
          [`&handle=${other}&offset=0_0`, items],
          [`&handle=${items}&offset=0_0&replica=full`, other]
        ] as const) {
          const received = yield* ask(shape + query)
          assert.strictEqual(received.status, 409, query)
          assert.deepStrictEqual(
            classHeaders(received),
            {
              "cache-control": "public, max-age=60, must-revalidate",
              etag: `"${expected}::"`,
              "electric-handle": expected
            },
            query
          )
          assert.strictEqual(received.text, '[{"headers":{"control":"must-refetch"}}]')
        }
        store.drop(items)
        const rotated = yield* ask(`${shape}&handle=${items}&offset=0_0`)
        assert.strictEqual(rotated.status, 409)
        assert.notStrictEqual(rotated.header("electric-handle"), items)
        assert.strictEqual(
          (yield* ask(`${shape}&handle=${rotated.header("electric-handle")}&offset=0_0`)).status,
          200
        )
      })
    )
  )

  it.effect("409 without a handle is stored nowhere", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
        const waiting = yield* Effect.forkChild(ask(`${shape}&handle=${handle}&offset=0_inf&live=true`), {
          startImmediately: true
        })
        store.drop(handle)
        const received = yield* Fiber.join(waiting)
        assert.strictEqual(received.status, 409)
        assert.deepStrictEqual(classHeaders(received), {
          "cache-control": "no-store",
          "surrogate-control": "no-store"
        })
        assert.isUndefined(received.header("electric-handle"))
        assert.isUndefined(received.header("etag"))
      })
    )
  )

  it.effect("a condition that Postgres cannot evaluate for the rows is refused in its words, for now", () =>
    withApi((store) =>
      Effect.gen(function* () {
        store.creationFails = new SnapshotFailed({ kind: "conditionFailed", message: "division by zero" })
        const answer = yield* ask(`${shape}&offset=-1`)
        assert.strictEqual(answer.status, 400)
        assert.deepStrictEqual(answer.json(), {
          message: "Invalid request",
          errors: { where: ["division by zero"] }
        })
        assert.deepStrictEqual(classHeaders(answer), {
          "cache-control": "no-store",
          "surrogate-control": "no-store"
        })
      })
    )
  )

  it.effect("snapshots that fail: 503 for what passes, 500 for what is not understood", () =>
    withApi((store) =>
      Effect.gen(function* () {
        store.creationFails = new SnapshotFailed({
          kind: "unavailable",
          message: "permission denied for table items"
        })
        const known = yield* ask(`${shape}&offset=-1`)
        assert.strictEqual(known.status, 503)
        assert.deepStrictEqual(known.json(), { message: "permission denied for table items" })
        assert.deepStrictEqual(classHeaders(known), {
          "cache-control": "no-store",
          "surrogate-control": "no-store",
          "retry-after": "10",
          "electric-internal-known-error": "true"
        })
        store.creationFails = new SnapshotFailed({ kind: "unexpected", message: "strange" })
        const unknown = yield* ask(`${shape}&offset=-1`)
        assert.strictEqual(unknown.status, 500)
        assert.deepStrictEqual(unknown.json(), {
          message: "Unexpected error while creating snapshot: strange"
        })
        assert.deepStrictEqual(classHeaders(unknown), {
          "cache-control": "no-store",
          "surrogate-control": "no-store"
        })
      })
    )
  )

  it.effect("POST without a subset is the ordinary log, uncached", () =>
    withApi(() =>
      Effect.gen(function* () {
        for (const body of ["", "{}"]) {
          const received = yield* ask(`${shape}&offset=-1`, { method: "POST", body })
          assert.strictEqual(received.status, 200)
          assert.strictEqual(received.header("cache-control"), "no-cache")
          assert.isDefined(received.header("etag"))
        }
        const handle = "1-1"
        const conflict = yield* ask(`${shape}&offset=0_0&handle=${handle}`, { method: "POST" })
        assert.strictEqual(conflict.status, 409)
        assert.strictEqual(conflict.header("cache-control"), "no-cache")
      })
    )
  )

  it.effect("root, health and unknown routes", () =>
    withApi(() =>
      Effect.gen(function* () {
        const plain = "max-age=0, private, must-revalidate"
        const root = yield* ask("/")
        assert.deepStrictEqual([root.status, root.text, root.header("content-type")], [200, "", undefined])
        assert.strictEqual(root.header("cache-control"), plain)
        const page = yield* ask("/", { headers: { accept: "text/html,*/*;q=0.8" } })
        assert.deepStrictEqual([page.status, page.header("content-type")], [200, "text/html; charset=utf-8"])
        assert.include(page.text, "This instance is <strong>active</strong>")
        assert.strictEqual(page.header("cache-control"), plain)
        const unknown = yield* ask("/v1/nothing")
        assert.deepStrictEqual(
          [unknown.status, unknown.text, unknown.header("content-type")],
          [404, "Not found", undefined]
        )
        assert.strictEqual(unknown.header("cache-control"), plain)
        const health = yield* ask("/v1/health")
        assert.deepStrictEqual([health.status, health.text], [200, '{"status":"active"}'])
        assert.strictEqual(health.header("cache-control"), "no-cache, no-store, must-revalidate")
        assert.strictEqual(health.header("content-type"), "application/json; charset=utf-8")
      })
    )
  )

  it.effect("preflight allows lists of headers, and nothing that is no header name", () =>
    withApi(() =>
      Effect.gen(function* () {
        assert.isUndefined(yield* allowedHeaders())
        assert.strictEqual(yield* allowedHeaders("If-None-Match"), "If-None-Match")
        assert.strictEqual(
          yield* allowedHeaders("content-type, authorization"),
          "content-type, authorization"
        )
        assert.isUndefined(yield* allowedHeaders("a b"))
        assert.isUndefined(yield* allowedHeaders("a,"))
        assert.isUndefined(yield* allowedHeaders("a\r\nx: y"))
      })
    )
  )

  it.effect("an error inside the service tells the client nothing", () =>
    withApi((store) =>
      Effect.gen(function* () {
        Object.assign(store.registry, { getOrCreate: () => Effect.die(new Error("secret detail")) })
        const received = yield* ask(`${shape}&offset=-1`)
        assert.strictEqual(received.status, 500)
        assert.strictEqual(received.text, '{"error":"Internal server error"}')
        assert.strictEqual(received.header("content-type"), "application/json; charset=utf-8")
        assert.isTrue(received.reply.closeConnection)
      })
    )
  )

  it.effect("a large answer is put together without copying, a streamed one in its pieces", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const big = `{"key":"${"x".repeat(600_000)}","headers":{}}`
        store.snapshot = [[big]]
        const whole = yield* ask(`${shape}&offset=-1`)
        assert.strictEqual(whole.text, `[${big}]`)
        const { body } = whole.reply
        assert.isTrue(body._tag === "Bytes" && body.pieces.length > 3)
        store.pieceBytes = 100_000
        assert.strictEqual((yield* ask(`${shape}&offset=-1`)).text, `[${big}]`)
        const handle = whole.header("electric-handle") ?? ""
        store.append(handle, 500n, [big, change(1)])
        const log = yield* ask(`${shape}&handle=${handle}&offset=0_inf`)
        assert.strictEqual(
          log.text,
          `[${big},${change(1)},{"headers":{"control":"up-to-date","global_last_seen_lsn":"500"}}]`
        )
      })
    )
  )

  it.effect("a streamed body without entries is still an array", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
        const found = yield* store.logs.read(store.shapes.get(handle)!.shape, { tx: 0n, op: 0 })
        const empty = { ...found, _tag: "Slice", upToDate: true, next: { tx: 5n, op: 0 }, body: noPieces }
        Object.assign(store.logs, { readNow: () => undefined, read: () => Effect.succeed(empty) })
        const received = yield* ask(`${shape}&handle=${handle}&offset=0_0`)
        assert.strictEqual(
          received.text,
          '[{"headers":{"control":"up-to-date","global_last_seen_lsn":"100"}}]'
        )
      })
    )
  )

  it.effect("a table that changed is another table at once", () =>
    withApi((store) =>
      Effect.gen(function* () {
        const before = yield* ask(`${shape}&offset=-1`)
        store.tables.set("public.items", table("items", ["id", "name", "qty", "added"], ["id"]))
        const after = yield* ask(`${shape}&offset=-1`)
        assert.notStrictEqual(after.header("electric-handle"), before.header("electric-handle"))
        assert.include(after.header("electric-schema"), "added")
        store.tables.delete("public.items")
        assert.strictEqual((yield* ask(`${shape}&offset=-1`)).status, 400)
      })
    )
  )

  it("one slice with two claims is two bodies", () => {
    const slice = {
      _tag: "Slice",
      next: { tx: 5n, op: 0 },
      upToDate: true,
      body: Buffer.from(change(1))
    } as const
    const text = (lsn: bigint | undefined) => {
      const body = logBody(slice, lsn)
      return body._tag === "Text" ? body.text : undefined
    }
    assert.include(text(7n), '"7"')
    assert.include(text(8n), '"8"')
    assert.strictEqual(text(undefined), `[${change(1)}]`)
    assert.strictEqual(logBody(slice, 8n) === logBody(slice, 8n), true, "and the same claim is the same body")
  })

  it.effect("the cache times are configurable", () =>
    withApi(
      () =>
        Effect.gen(function* () {
          const received = yield* ask(`${shape}&offset=now`)
          assert.strictEqual(received.header("cache-control"), "public, max-age=7, stale-while-revalidate=9")
        }),
      { config: { cacheMaxAgeSeconds: 7, cacheStaleAgeSeconds: 9 } }
    )
  )
})

describe("the debug log", () => {
  it.effect("has a line for each request, and no secret in it", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return withApi(
      () =>
        Effect.gen(function* () {
          yield* ask(`${shape}&offset=-1&secret=s3cret`)
          yield* ask(`${shape}&offset=-1&api_secret=wrong`)
          const requests = lines.filter((line) => line.startsWith("GET"))
          assert.match(
            requests[0] ?? "",
            /^GET \/v1\/shape\?table=items&offset=-1&secret=\[REDACTED\] answered with 200 after \d+ ms/
          )
          assert.match(requests[1] ?? "", /api_secret=\[REDACTED\] answered with 401/)
          assert.notInclude(lines.join(), "s3cret")
        }),
      { config: { secret: secret("s3cret"), logLevel: "debug" } }
    ).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(References.MinimumLogLevel, "Debug"))
  })
})

describe("the secret", () => {
  const paths = [
    "/v1/shape",
    "/v1/shape/",
    "/v1//shape",
    "//v1/shape",
    "/v1/%73hape",
    "/%76%31/shape",
    "http://x/v1/shape"
  ]
  const wrongQueries = [
    "",
    "secret=",
    "secret=wrong",
    "secret=s3cre",
    "secret=s3cret1",
    "secret=S3CRET",
    "secret[]=s3cret",
    "secret[a]=s3cret",
    "api_secret=wrong",
    "secret=&api_secret=s3cret",
    "secret=wrong&api_secret=s3cret",
    "secret=s3cret&secret=wrong",
    "SECRET=s3cret",
    "secret%00=s3cret",
    "secret=s3cret%00",
    "secret=%FF",
    "token=s3cret",
    "subset__secret=s3cret"
  ]
  const rightQueries = [
    "secret=s3cret",
    "api_secret=s3cret",
    "secret=wrong&secret=s3cret",
    "%73ecret=s3cre%74"
  ]

  const refusesStrangers = (store: FakeStore) =>
    Effect.gen(function* () {
      const { created, lookups } = store
      for (const path of paths)
        for (const query of wrongQueries)
          for (const method of ["GET", "HEAD", "POST", "DELETE"]) {
            const received = yield* ask(`${path}?table=items&offset=-1&${query}`, {
              method,
              headers: { authorization: "Bearer s3cret", cookie: "secret=s3cret" },
              body: '{"secret":"s3cret"}'
            })
            assert.strictEqual(received.status, 401, `${method} ${path}?${query}`)
            assert.strictEqual(received.text, '{"message":"Unauthorized - Invalid API secret"}')
            assert.strictEqual(received.header("content-type"), "application/json; charset=utf-8")
            assert.strictEqual(received.header("access-control-allow-origin"), "*")
          }
      assert.strictEqual(store.created, created)
      assert.strictEqual(store.lookups, lookups, "a stranger's request looks nothing up")
    })

  it.effect("is asked for on every spelling of the shape route, before anything else", () =>
    withApi(refusesStrangers, { config: { secret: secret("s3cret") } })
  )

  it.effect("is asked for as well where the answer is there at once", () =>
    withApi(
      (store) =>
        Effect.gen(function* () {
          const api = yield* ShapeApi
          const target = "/v1/shape?table=items&offset=-1&secret=s3cret"
          yield* ask(target)
          const known = api.handle(requestOf(target))
          assert.isFalse("_tag" in known, "it is")
          yield* refusesStrangers(store)
          const handle = [...store.shapes.keys()].join()
          for (const rest of [
            "offset=-1",
            "offset=0_0",
            "offset=0_inf&live=true",
            "offset=0_inf&live_sse=true&live=true"
          ])
            assert.strictEqual(
              (yield* ask(`/v1/shape?table=items&handle=${handle}&${rest}&secret=s3cre`)).status,
              401,
              rest
            )
        }),
      { config: { secret: secret("s3cret") } }
    )
  )

  it.effect("opens the route, and is not asked for elsewhere", () =>
    withApi(
      () =>
        Effect.gen(function* () {
          for (const query of rightQueries)
            assert.strictEqual((yield* ask(`/v1/shape?table=items&offset=-1&${query}`)).status, 200, query)
          for (const [method, target, status] of [
            ["OPTIONS", "/v1/shape", 204],
            ["PUT", "/v1/shape", 404],
            ["GET", "/", 200],
            ["GET", "/v1/health", 200],
            ["GET", "/v1/openapi.json", 200],
            ["GET", "/v1%2Fshape?table=items&offset=-1", 404]
          ] as const)
            assert.strictEqual((yield* ask(target, { method })).status, status, `${method} ${target}`)
        }),
      { config: { secret: secret("s3cret") } }
    )
  )
})
