import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { type AuthorizeRequest, Refused } from "../../src/http/hook/Authorize.ts"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import type { ShapeSelection } from "../../src/http/request/ShapeParams.ts"
import { recordingLogger } from "../storage/support.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type HarnessOptions, secret } from "./support/harness.ts"
import { eventually, rawConnection } from "./support/rawHttp.ts"

const shape = "/v1/shape?table=items"
const conditions = {
  where: (_table: unknown, sql: string) => Effect.succeed({ sql, expression: null }),
  subset: () => Effect.succeed({ where: undefined, orderBy: undefined, limit: undefined, offset: undefined })
}

/** Users see their own rows; strangers and guests see nothing. */
const authorize =
  (seen: Array<AuthorizeRequest>) =>
  (request: AuthorizeRequest): Effect.Effect<ShapeSelection, Refused> => {
    seen.push(request)
    const user = request.headers["authorization"]
    if (user === undefined) return Effect.fail(Refused.because(401, "who are you"))
    if (user === "guest") return Effect.fail(new Refused({ status: 403, body: '{"not":"you"}' }))
    return Effect.succeed({ ...request.shape, where: `owner = '${user}'`, columns: "id,name" })
  }

const withHook = <E, R>(
  body: (store: FakeStore, seen: Array<AuthorizeRequest>) => Effect.Effect<void, E, R>,
  options: HarnessOptions = {}
) => {
  const store = new FakeStore()
  const seen: Array<AuthorizeRequest> = []
  return Effect.andThen(activate, body(store, seen)).pipe(
    Effect.provide(apiLayer(store, { conditions, authorize: authorize(seen), ...options }))
  )
}

const as = (user: string) => ({ headers: { authorization: user } })

describe("authorize", () => {
  it.effect("a refused request gets the host's status and body, and looks nothing up", () =>
    withHook((store) =>
      Effect.gen(function* () {
        for (const [asked, status, text] of [
          [{}, 401, '{"message":"who are you"}'],
          [as("guest"), 403, '{"not":"you"}']
        ] as const)
          for (const query of [
            "&offset=-1",
            "&offset=0_0&handle=x",
            "&offset=0_0&handle=x&live=true",
            "&offset=now&subset__where=x"
          ]) {
            const received = yield* ask(shape + query, asked)
            assert.deepStrictEqual([received.status, received.text], [status, text])
            assert.strictEqual(received.header("cache-control"), "no-store")
          }
        assert.strictEqual(store.lookups, 0)
        assert.strictEqual(store.created, 0)
      })
    )
  )

  it.effect("it decides the shape: users with different answers read different shapes by the same URL", () =>
    withHook((store) =>
      Effect.gen(function* () {
        const ada = yield* ask(`${shape}&offset=-1`, as("ada"))
        const bob = yield* ask(`${shape}&offset=-1&where=true&columns=id,name,qty`, as("bob"))
        assert.notStrictEqual(ada.header("electric-handle"), bob.header("electric-handle"))
        const definition = store.shapes.get(ada.header("electric-handle") ?? "")?.shape.definition
        assert.strictEqual(definition?.where?.sql, "owner = 'ada'")
        assert.deepStrictEqual(definition?.columns, ["id", "name"])
        // Somebody else's handle opens nothing, not even a long poll.
        for (const query of ["&offset=0_0", "&offset=0_inf&live=true", "&offset=0_0&subset__where=x"]) {
          const stolen = yield* ask(`${shape}&handle=${ada.header("electric-handle")}${query}`, as("bob"))
          assert.strictEqual(stolen.status, 409)
          assert.strictEqual(stolen.header("electric-handle"), bob.header("electric-handle"))
        }
        assert.strictEqual(
          (yield* ask(`${shape}&offset=-1`, as("ada"))).header("electric-handle"),
          ada.header("electric-handle")
        )
      })
    )
  )

  it.effect("it sees what the body asks for, so a body cannot widen what was allowed", () =>
    withHook((_store, seen) =>
      Effect.gen(function* () {
        yield* ask(`${shape}&offset=-1&custom=1`, {
          method: "POST",
          headers: { authorization: "ada" },
          body: '{"subset":{"where":"true"},"table":"nopk","columns":["a","b","c"]}'
        })
        const [request] = seen
        assert.strictEqual(request?.shape.table, "nopk")
        assert.deepStrictEqual(request?.shape.columns, ["a", "b", "c"])
        assert.strictEqual(request?.parameters["custom"], "1")
        assert.isTrue(request?.subset)
        assert.strictEqual(request?.method, "POST")
      })
    )
  )

  it.effect("what depends on who asks is used by nobody's cache without asking again", () =>
    withHook(() =>
      Effect.gen(function* () {
        const initial = yield* ask(`${shape}&offset=-1`, as("ada"))
        const now = yield* ask(`${shape}&offset=now`, as("ada"))
        const conflict = yield* ask(`${shape}&offset=0_0&handle=x`, as("ada"))
        for (const received of [initial, now, conflict]) {
          assert.strictEqual(received.header("cache-control"), "private, no-cache")
          assert.strictEqual(received.header("vary"), "accept-encoding, authorization, cookie")
        }
        // What a browser then does: the hook is asked again, and the tag of one user's shape is not that of another's.
        const headers = { "if-none-match": initial.header("etag") ?? "" }
        const asked = (user: string) =>
          ask(`${shape}&offset=-1`, { headers: { ...as(user).headers, ...headers } })
        assert.strictEqual((yield* asked("ada")).status, 304)
        assert.strictEqual((yield* asked("bob")).status, 200)
      })
    )
  )

  it.effect("or is kept by the client's own, when the host says which headers decide", () =>
    withHook(
      () =>
        Effect.gen(function* () {
          const initial = yield* ask(`${shape}&offset=-1`, as("ada"))
          assert.strictEqual(
            initial.header("cache-control"),
            "private, max-age=1800, stale-while-revalidate=1800"
          )
          assert.strictEqual(initial.header("vary"), "accept-encoding, x-api-key, authorization")
          const now = yield* ask(`${shape}&offset=now`, as("ada"))
          assert.strictEqual(now.header("cache-control"), "private, max-age=60, stale-while-revalidate=300")
          const conflict = yield* ask(`${shape}&offset=0_0&handle=x`, as("ada"))
          assert.strictEqual(conflict.header("cache-control"), "private, max-age=60, must-revalidate")
        }),
      { decidesBy: ["X-Api-Key", "authorization"] }
    )
  )

  it.effect("unless the host says that the URL decides", () =>
    withHook(
      () =>
        Effect.gen(function* () {
          const received = yield* ask(`${shape}&offset=now`, as("ada"))
          assert.strictEqual(
            received.header("cache-control"),
            "public, max-age=60, stale-while-revalidate=300"
          )
          assert.strictEqual(received.header("vary"), "accept-encoding")
        }),
      { sharedCaching: true }
    )
  )

  it.effect("the secret comes first, a DELETE asks too, and live requests are held as ever", () =>
    withHook(
      (store, seen) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* ask(`${shape}&offset=-1`, as("ada"))).status, 401)
          assert.strictEqual(seen.length, 0)
          const created = yield* ask(`${shape}&offset=-1&secret=s`, as("ada"))
          const handle = created.header("electric-handle") ?? ""
          assert.strictEqual(
            (yield* ask(`/v1/shape?handle=${handle}&secret=s`, { method: "DELETE" })).status,
            401
          )
          const held = yield* Effect.forkChild(
            ask(`${shape}&handle=${handle}&offset=0_inf&live=true&secret=s`, as("ada")),
            {
              startImmediately: true
            }
          )
          store.append(handle, 500n, ['{"headers":{}}'])
          assert.strictEqual((yield* Fiber.join(held)).header("electric-offset"), "500_0")
          const other = yield* ask(`/v1/shape?table=items&handle=${handle}&secret=s`, {
            method: "DELETE",
            ...as("bob")
          })
          assert.strictEqual(other.status, 404, "a handle of another user's shape")
          assert.strictEqual(
            (yield* ask(`/v1/shape?table=items&handle=${handle}&secret=s`, {
              method: "DELETE",
              ...as("ada")
            })).status,
            202
          )
        }),
      { config: { secret: secret("s"), allowShapeDeletion: true } }
    )
  )

  it.effect("a DELETE ends only what the hook allows, and needs the table for that", () =>
    withHook(
      (store) =>
        Effect.gen(function* () {
          const made = yield* ask(`${shape}&offset=-1`, as("ada"))
          const handle = made.header("electric-handle") ?? ""
          const remove = (query: string, user: string) =>
            ask(`/v1/shape?${query}`, { method: "DELETE", ...as(user) })
          assert.strictEqual((yield* remove(`table=items&handle=${handle}`, "guest")).status, 403)
          for (const user of ["bob", "ada"]) {
            const byHandle = yield* remove(`handle=${handle}`, user)
            assert.deepStrictEqual(
              [byHandle.status, byHandle.json()],
              [400, { message: "Invalid request", errors: { table: ["can't be blank"] } }]
            )
          }
          assert.strictEqual((yield* remove(`table=items&handle=${handle}`, "bob")).status, 404)
          assert.strictEqual((yield* remove("table=items", "bob")).status, 404, "Bob has none")
          assert.isTrue(store.shapes.has(handle))
          assert.strictEqual((yield* remove("table=items", "ada")).status, 202)
          assert.isFalse(store.shapes.has(handle))
        }),
      { config: { allowShapeDeletion: true } }
    )
  )

  const failures: ReadonlyArray<readonly [string, () => unknown]> = [
    ["throws", () => assert.fail("of the host's database")],
    ["dies", () => Effect.die(new Error("of the host's database"))],
    ["fails with something else", () => Effect.fail({ status: 200, body: "of the host's database" })],
    ["returns nothing", () => Effect.succeed(undefined)],
    ["returns parameters that are no values", () => Effect.succeed({ table: "items", params: { 1: {} } })],
    ["returns a table that is no text", () => Effect.succeed({ table: ["items"] })]
  ]
  for (const [name, hook] of failures)
    it.effect(`a hook that ${name} is a 500 that tells nothing, and the log says whose fault it is`, () => {
      const store = new FakeStore()
      const said: Array<string> = []
      return Effect.gen(function* () {
        yield* activate
        for (const asked of [{}, { method: "DELETE" }, { method: "POST", body: "{}" }, { method: "HEAD" }]) {
          said.length = 0
          const received = yield* ask(`${shape}&offset=-1`, asked)
          assert.strictEqual(received.status, 500)
          assert.notInclude(received.text, "host")
          assert.strictEqual(said.length, 1)
          assert.match(
            said[0] ?? "",
            /^The authorize hook of this program failed for a (GET|DELETE|POST|HEAD)/
          )
        }
        assert.strictEqual(store.lookups, 0)
      }).pipe(
        Effect.provide(
          apiLayer(store, {
            conditions,
            config: { allowShapeDeletion: true },
            // As a program in JavaScript may have it.
            authorize: hook as (request: AuthorizeRequest) => Effect.Effect<ShapeSelection, Refused>
          })
        ),
        Effect.provide(recordingLogger(said))
      )
    })

  it.effect("it may use services of the host", () => {
    class Sessions extends Context.Service<
      Sessions,
      { readonly user: (token: string) => string | undefined }
    >()("test/Sessions") {}
    const store = new FakeStore()
    const layer = apiLayer<Sessions>(store, {
      conditions,
      authorize: (request) =>
        Effect.flatMap(Sessions, ({ user }) =>
          user(request.headers["authorization"] ?? "") === undefined
            ? Effect.fail(Refused.because(401, "no"))
            : Effect.succeed(request.shape)
        )
    }).pipe(Layer.provide(Layer.succeed(Sessions, { user: (token) => (token === "t1" ? "ada" : undefined) })))
    return Effect.gen(function* () {
      yield* activate
      assert.strictEqual((yield* ask(`${shape}&offset=-1`, as("t1"))).status, 200)
      assert.strictEqual((yield* ask(`${shape}&offset=-1`, as("t2"))).status, 401)
    }).pipe(Effect.provide(layer))
  })

  it.live("a request that is held is held by nothing, keeps its place, and asks the hook once", () =>
    withHook((store, seen) =>
      Effect.gen(function* () {
        const server = yield* HttpServer
        const { stats } = yield* ShapeApi
        const handle = (yield* ask(`${shape}&offset=-1`, as("ada"))).header("electric-handle") ?? ""
        const get = (more = "") =>
          `GET ${shape}&handle=${handle}&live=true${more} HTTP/1.1\r\nhost: test\r\nauthorization: ada\r\n\r\n`
        let offset = "0_inf"
        // The second answer has to be read from disk, and its way is another one.
        for (const pieceBytes of [undefined, 5]) {
          const connection = yield* rawConnection(server.port)
          const asked = seen.length
          connection.send(get(`&offset=${offset}`))
          yield* eventually(() => store.waiting === 1, "held")
          assert.strictEqual(stats().existingRequests, 1)
          store.pieceBytes = pieceBytes
          store.append(handle, pieceBytes === undefined ? 500n : 600n, ['{"headers":{}}'])
          const response = yield* Effect.promise(() => connection.response())
          assert.strictEqual(response.status, 200)
          assert.include(response.body, '{"headers":{}}')
          offset = response.headers["electric-offset"] ?? ""
          assert.strictEqual(seen.length, asked + 1)
          yield* eventually(() => stats().existingRequests === 0, "its place is free")
          assert.strictEqual(server.running(), 0)
          store.pieceBytes = undefined
        }
        for (const more of ["", "&live_sse=true"]) {
          const leaving = yield* rawConnection(server.port)
          leaving.send(get(`&offset=${offset}${more}`))
          yield* eventually(() => store.waiting === 1, "held")
          assert.strictEqual(stats().existingRequests, 1)
          leaving.socket.destroy()
          yield* eventually(() => store.waiting === 0 && stats().existingRequests === 0, "given up")
          assert.strictEqual(server.running(), 0)
        }
        const events = yield* rawConnection(server.port)
        events.send(get(`&offset=${offset}&live_sse=true`))
        yield* eventually(() => store.waiting === 1, "held")
        store.append(handle, 700n, ['{"headers":{"n":"7"}}'])
        yield* Effect.promise(() => events.until(() => events.text.includes('"n":"7"'), "the event"))
      }).pipe(Effect.provide(HttpServer.layer))
    )
  )
})
