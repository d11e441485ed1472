import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import cors from "cors"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServer as EffectServer } from "effect/http"
import express from "express"
import { Hono } from "hono"
import { cors as honoCors } from "hono/cors"
import type { Cors } from "../../src/http/reply/Cors.ts"
import { makeFetchHandler } from "../../src/http/mount/FetchHandler.ts"
import { makeNodeHandler } from "../../src/http/node/NodeHandler.ts"
import { mountShapeApi } from "../../src/http/mount/RouterMount.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask } from "./support/harness.ts"

const app = "https://app.example"
const stranger = "https://stranger.example"
const target = "/v1/shape?table=items&offset=-1"

const from = (origin: string | undefined, method = "GET") => ({
  method,
  headers: {
    ...(origin === undefined ? {} : { origin }),
    ...(method === "OPTIONS" ? { "access-control-request-headers": "content-type, x-team" } : {})
  }
})

const asked = (options: { readonly cors?: Cors }, origin: string | undefined, url = target, method = "GET") =>
  Effect.gen(function* () {
    yield* activate
    const { header } = yield* ask(url, from(origin, method))
    return {
      origin: header("access-control-allow-origin"),
      credentials: header("access-control-allow-credentials"),
      methods: header("access-control-allow-methods"),
      headers: header("access-control-allow-headers"),
      exposed: header("access-control-expose-headers")?.split(",").includes("electric-handle"),
      vary: header("vary")
    }
  }).pipe(Effect.provide(apiLayer(new FakeStore(), options)))

describe("the origins that may read", () => {
  const methods = "GET, POST, HEAD, DELETE, OPTIONS"
  const open = { methods, headers: undefined, exposed: true }

  it.effect("are all of them, without cookies, unless the host says otherwise", () =>
    Effect.gen(function* () {
      for (const options of [{}, { cors: "everybody" as const }])
        for (const origin of [app, undefined])
          assert.deepStrictEqual(yield* asked(options, origin), {
            ...open,
            origin: "*",
            credentials: undefined,
            vary: "accept-encoding"
          })
    })
  )

  it.effect("are those that the host names, with cookies if it says so", () =>
    Effect.gen(function* () {
      const vary = "accept-encoding, origin"
      const known = { ...open, origin: app, credentials: "true", vary }
      const unknown = { ...open, origin: undefined, credentials: undefined, vary }
      for (const origins of [["https://other.example", app], (origin: string) => origin === app]) {
        const options = { cors: { origins, credentials: true } }
        for (const url of [target, "/v1/shape?table=nothing&offset=-1", "/v1/shape?table=items&offset=bad"]) {
          assert.deepStrictEqual(yield* asked(options, app, url), known)
          assert.deepStrictEqual(yield* asked(options, stranger, url), unknown)
          assert.deepStrictEqual(yield* asked(options, undefined, url), unknown)
        }
        const preflight = yield* asked(options, app, target, "OPTIONS")
        assert.deepStrictEqual(preflight, { ...known, headers: "content-type, x-team", vary: "origin" })
        assert.isUndefined((yield* asked(options, stranger, target, "OPTIONS")).origin)
        const health = yield* asked(options, app, "/v1/health")
        assert.deepStrictEqual(health, { ...known, methods: "GET, HEAD" })
      }
      const without = yield* asked({ cors: { origins: [app] } }, app)
      assert.deepStrictEqual([without.origin, without.credentials], [app, undefined])
      const failing = { cors: { origins: () => assert.fail("no list today") } }
      assert.isUndefined((yield* asked(failing, app)).origin)
    })
  )

  it.effect("are the host's business with `false`: Baton only names what pages may see", () =>
    Effect.gen(function* () {
      for (const method of ["GET", "OPTIONS"]) {
        const { exposed, ...rest } = yield* asked({ cors: false }, app, target, method)
        assert.isTrue(exposed)
        assert.deepStrictEqual(
          [rest.origin, rest.credentials, rest.methods],
          [undefined, undefined, undefined]
        )
      }
    })
  )

  it.effect("cannot be what no browser sends: that would let nobody in, without a word", () =>
    Effect.gen(function* () {
      for (const origin of ["https://app.example/", "app.example", "*", "https://app.example:443"]) {
        const exit = yield* Effect.exit(asked({ cors: { origins: [origin] } }, app))
        assert.include(String(exit), "is no origin")
      }
    })
  )
})

/** What a browser needs to give a page of `app` the answer to a request with cookies. */
const assertReadableWithCookies = (response: Response) => {
  assert.strictEqual(response.status, 200)
  assert.strictEqual(response.headers.get("access-control-allow-origin"), app)
  assert.strictEqual(response.headers.get("access-control-allow-credentials"), "true")
  const exposed = response.headers.get("access-control-expose-headers")?.split(/, ?/) ?? []
  for (const name of ["electric-handle", "electric-offset", "electric-schema"]) assert.include(exposed, name)
  const vary = (response.headers.get("vary") ?? "").toLowerCase().split(/, ?/)
  assert.includeMembers(vary, ["origin", "accept-encoding"])
  assert.strictEqual(new Set(vary).size, vary.length)
}

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

const read = (url: string, init: RequestInit = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, { ...init, headers: { origin: app, ...init.headers } })
    await response.text()
    return response
  })

/** A request, a live one that is answered at once, an error, and a preflight. */
const contract = Effect.fnUntraced(function* (base: string) {
  const first = yield* read(`${base}${target}`)
  assertReadableWithCookies(first)
  assertReadableWithCookies(yield* read(`${base}${target}`))
  assertReadableWithCookies(yield* read(`${base}/v1/health`))
  const refused = yield* read(`${base}/v1/shape?table=items&offset=bad`)
  assert.strictEqual(refused.status, 400)
  assert.strictEqual(refused.headers.get("access-control-allow-origin"), app)
  const preflight = yield* read(`${base}${target}`, {
    method: "OPTIONS",
    headers: { "access-control-request-method": "POST", "access-control-request-headers": "content-type" }
  })
  assert.strictEqual(preflight.status, 204)
  assert.strictEqual(preflight.headers.get("access-control-allow-origin"), app)
  assert.strictEqual(preflight.headers.get("access-control-allow-headers"), "content-type")
})

describe("headers that the host has set", () => {
  const credentials = { origin: [app], credentials: true }

  it.live("stay with Express and its own middleware", () =>
    Effect.gen(function* () {
      yield* activate
      const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000 })
      const server = express().use(cors(credentials)).use("/sync", handler)
      yield* contract(`${yield* listening(createServer(server))}/sync`)
    }).pipe(Effect.provide(apiLayer(new FakeStore())), Effect.scoped)
  )

  it.live(
    "stay with a plain server, its request's id among them, while content and caching are Baton's",
    () =>
      Effect.gen(function* () {
        yield* activate
        const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000 })
        const server = createServer((request, response) => {
          response.setHeader("Access-Control-Allow-Origin", app)
          response.setHeader("Access-Control-Allow-Credentials", "true")
          response.setHeader("Access-Control-Expose-Headers", "X-Mine, Electric-Handle")
          response.setHeader("Vary", ["Origin", "Accept-Encoding"])
          response.setHeader("X-Request-Id", "of the host")
          response.setHeader("Cache-Control", "public, max-age=100000")
          response.setHeader("X-Mine", "1")
          handler(request, response)
        })
        const response = yield* read(`${yield* listening(server)}/v1/shape?table=items&offset=now`)
        assertReadableWithCookies({
          status: response.status,
          headers: new Headers(
            [...response.headers].map(([name, value]) => [name, value.toLowerCase()] as const)
          )
        } as Response)
        assert.strictEqual(response.headers.get("x-request-id"), "of the host")
        assert.strictEqual(response.headers.get("x-mine"), "1")
        assert.strictEqual(
          response.headers.get("cache-control"),
          "public, max-age=60, stale-while-revalidate=300"
        )
      }).pipe(Effect.provide(apiLayer(new FakeStore())), Effect.scoped)
  )

  it.live("stay with Hono and its own middleware", () =>
    Effect.gen(function* () {
      yield* activate
      const handler = yield* makeFetchHandler({ prefix: "/sync" })
      const server = new Hono()
        .use(honoCors(credentials))
        .all("/sync/*", (context) => handler(context.req.raw))
      const send = async (url: string, init: RequestInit = {}) =>
        server.request(url, { ...init, headers: { origin: app, ...init.headers } })
      const shape = yield* Effect.promise(() => send(`http://api.example/sync${target}`))
      assertReadableWithCookies(shape)
      yield* Effect.promise(() => shape.text())
    }).pipe(Effect.provide(apiLayer(new FakeStore())), Effect.scoped)
  )

  it.live("stay in an Effect router with its own middleware", () => {
    const routes = mountShapeApi({ prefix: "/sync" })
    const layer = HttpRouter.serve(
      Layer.mergeAll(routes, HttpRouter.cors({ allowedOrigins: [app], credentials: true })),
      { disableLogger: true }
    ).pipe(
      Layer.provideMerge(
        NodeHttpServer.layer(() => createServer(), { port: 0, gracefulShutdownTimeout: 100 })
      ),
      Layer.provideMerge(apiLayer(new FakeStore()))
    )
    return Effect.gen(function* () {
      yield* activate
      const { address } = yield* EffectServer.HttpServer
      const port = "port" in address ? address.port : 0
      const shape = yield* read(`http://127.0.0.1:${port}/sync${target}`)
      assertReadableWithCookies(shape)
    }).pipe(Effect.provide(layer), Effect.scoped)
  })
})
