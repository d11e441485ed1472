import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { HttpRouter, HttpServer as EffectServer, HttpServerResponse } from "effect/http"
import { makeFetchHandler } from "../../src/http/mount/FetchHandler.ts"
import { makeNodeHandler } from "../../src/http/node/NodeHandler.ts"
import { mountShapeApi } from "../../src/http/mount/RouterMount.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer } from "./support/harness.ts"
import { eventually } from "./support/rawHttp.ts"

const change = '{"key":"k2","value":{"id":"2"},"headers":{"operation":"insert"}}'

const text = (response: Response) => Effect.promise(() => response.text())

/** What every way of mounting has to do: `send` is a client of it, `base` where the API is. */
const contract = Effect.fnUntraced(function* (
  store: FakeStore,
  base: string,
  send: (url: string, init?: RequestInit) => Promise<Response>
) {
  const api = yield* ShapeApi
  const shape = `${base}/v1/shape?table=items`
  const get = (url: string, init?: RequestInit) => Effect.promise(() => send(url, init))

  const initial = yield* get(`${shape}&offset=-1`)
  assert.strictEqual(initial.status, 200)
  assert.strictEqual(yield* text(initial), `[${store.snapshot[0]?.join(",")}]`)
  for (const name of [
    "electric-handle",
    "electric-offset",
    "electric-schema",
    "etag",
    "cache-control",
    "x-request-id"
  ])
    assert.isNotNull(initial.headers.get(name), name)
  assert.strictEqual(initial.headers.get("content-type"), "application/json; charset=utf-8")
  const handle = initial.headers.get("electric-handle") ?? ""

  const head = yield* get(`${shape}&offset=-1`, { method: "HEAD" })
  assert.deepStrictEqual(
    [head.status, yield* text(head), head.headers.get("electric-offset")],
    [200, "", "0_0"]
  )
  const unchanged = yield* get(`${shape}&offset=-1`, {
    headers: { "if-none-match": initial.headers.get("etag") ?? "" }
  })
  assert.deepStrictEqual([unchanged.status, yield* text(unchanged)], [304, ""])
  assert.strictEqual((yield* get(`${base}/v1/health`)).status, 200)
  assert.strictEqual((yield* get(`${base}/v1/nothing`)).status, 404)
  assert.strictEqual((yield* get(`${base}/v1/shape`, { method: "OPTIONS" })).status, 204)
  assert.strictEqual((yield* get(`${base}/v1/shape`, { method: "PUT" })).status, 404)
  const post = yield* get(`${shape}&offset=-1`, { method: "POST", body: "[]" })
  assert.deepStrictEqual(
    [post.status, yield* text(post)],
    [400, '{"error":"Request body must be a JSON object"}']
  )
  const large = yield* get(`${shape}&offset=-1`, { method: "POST", body: " ".repeat(8_000_001) })
  assert.strictEqual(large.status, 413)
  yield* text(large)

  for (const pieceBytes of [undefined, 300_000]) {
    store.pieceBytes = pieceBytes
    store.snapshot = [[`{"key":"${"x".repeat(2_000_000)}","headers":{}}`]]
    const whole = yield* get(`${shape}&offset=-1&replica=full`)
    assert.isTrue((yield* text(whole)) === `[${store.snapshot[0]?.join(",")}]`, "a large body arrives whole")
  }
  store.pieceBytes = undefined

  const live = `${shape}&handle=${handle}&offset=0_inf&live=true`
  const held = yield* Effect.forkChild(Effect.flatMap(get(live), text))
  yield* eventually(() => store.waiting === 1, "held")
  const leaving = new AbortController()
  const left = send(live, { signal: leaving.signal }).catch(() => undefined)
  yield* eventually(() => store.waiting === 2, "both held")
  leaving.abort()
  yield* Effect.promise(() => left)
  yield* eventually(() => store.waiting === 1, "the one that left is given up")

  const events = yield* get(`${live}&live_sse=true`)
  assert.strictEqual(events.headers.get("content-type"), "text/event-stream")
  const reader = events.body?.getReader()
  const received = { text: "" }
  const reading = async () => {
    for (;;) {
      const next = await reader?.read()
      if (next === undefined || next.done) return
      received.text += Buffer.from(next.value).toString()
    }
  }
  const done = reading().catch(() => {})
  yield* eventually(() => store.waiting === 2, "streaming")
  store.append(handle, 500n, [change])
  assert.include(yield* Fiber.join(held), change)
  yield* eventually(() => received.text.includes(`data: ${change}\n\n`), "the event")
  yield* Effect.promise(async () => reader?.cancel())
  yield* Effect.promise(() => done)
  yield* eventually(() => store.waiting === 0, "the stream that was cancelled is given up")
  yield* eventually(() => {
    const { initialRequests, existingRequests } = api.stats()
    return initialRequests + existingRequests === 0
  }, "all permits are back")
})

const listening = Effect.fnUntraced(function* (server: ReturnType<typeof createServer>) {
  yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

describe("mounted", () => {
  it.live("as a plain handler under a prefix, beside other routes", () => {
    const store = new FakeStore()
    return Effect.gen(function* () {
      yield* activate
      const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000, prefix: "/sync/" })
      const url = yield* listening(
        createServer((request, response) =>
          request.url?.startsWith("/sync/") === true ? handler(request, response) : response.end("mine")
        )
      )
      yield* contract(store, `${url}/sync`, fetch)
      assert.strictEqual(yield* Effect.promise(async () => (await fetch(`${url}/x`)).text()), "mine")
    }).pipe(Effect.provide(apiLayer(store)), Effect.scoped)
  })

  it.live("as a plain handler behind a body parser", () => {
    const store = new FakeStore()
    return Effect.gen(function* () {
      yield* activate
      const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000 })
      const url = yield* listening(
        createServer((request, response) => {
          let body = ""
          request.on("data", (piece) => (body += String(piece)))
          request.on("end", () => handler(Object.assign(request, { body: JSON.parse(body) }), response))
        })
      )
      const response = yield* Effect.promise(() =>
        fetch(`${url}/v1/shape?table=items`, { method: "POST", body: '{"subset":{},"offset":"abc"}' })
      )
      assert.deepStrictEqual(yield* Effect.promise(() => response.json()), {
        message: "Invalid request",
        errors: { offset: ["has invalid format"] }
      })
    }).pipe(Effect.provide(apiLayer(store)), Effect.scoped)
  })

  it.live("as a Fetch handler", () => {
    const store = new FakeStore()
    return Effect.gen(function* () {
      yield* activate
      const handler = yield* makeFetchHandler({ prefix: "sync" })
      yield* contract(store, "http://app.example/sync", (url, init) => handler(new Request(url, init)))
      const outside = yield* Effect.promise(() => handler(new Request("http://app.example/v1/health")))
      assert.strictEqual(outside.status, 404)
    }).pipe(Effect.provide(apiLayer(store)), Effect.scoped)
  })

  for (const prefix of [undefined, "/app/sync"] as const)
    it.live(`in an Effect router ${prefix === undefined ? "" : "under a prefix"}`, () => {
      const store = new FakeStore()
      const routes = Layer.mergeAll(
        HttpRouter.add("GET", "/mine", HttpServerResponse.text("mine")),
        mountShapeApi(prefix === undefined ? {} : { prefix })
      )
      const layer = HttpRouter.serve(routes, { disableLogger: true }).pipe(
        Layer.provideMerge(
          NodeHttpServer.layer(() => createServer(), { port: 0, gracefulShutdownTimeout: 100 })
        ),
        Layer.provideMerge(apiLayer(store))
      )
      return Effect.gen(function* () {
        yield* activate
        const { address } = yield* EffectServer.HttpServer
        const port = "port" in address ? address.port : 0
        const url = `http://127.0.0.1:${port}`
        yield* contract(store, `${url}${prefix ?? ""}`, fetch)
        assert.strictEqual(yield* Effect.promise(async () => (await fetch(`${url}/mine`)).text()), "mine")
      }).pipe(Effect.provide(layer), Effect.scoped)
    })
})
