import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { BucketConfig } from "../../src/config/BucketConfig.ts"
import { HealthRef } from "../../src/health/HealthRef.ts"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { notActive } from "../../src/registry/ShapeRegistry.ts"
import { eventually } from "../../testing/Eventually.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { apiLayer, type HarnessOptions } from "./support/harness.ts"
import { rawConnection } from "./support/rawHttp.ts"

const bucket: BucketConfig = {
  place: { _tag: "Directory", path: "/nowhere" },
  flushMillis: 250,
  patienceMillis: undefined,
  cacheBytes: 1,
  forwards: true,
  advertiseUrl: undefined,
  tailSecret: undefined
}

const started = Effect.fnUntraced(function* (
  store: FakeStore,
  events: ReadonlyArray<"storageLoaded" | "databaseUp" | "lockGranted" | "streamStarted" | "replicates">,
  options: HarnessOptions
) {
  const context = yield* Layer.build(HttpServer.layer.pipe(Layer.provideMerge(apiLayer(store, options))))
  for (const event of events) yield* Context.get(context, HealthRef).send(event)
  return Context.get(context, HttpServer)
})

const startWriter = (store: FakeStore, options: HarnessOptions = {}) =>
  started(store, ["storageLoaded", "databaseUp", "lockGranted", "streamStarted"], options)

const startReplica = Effect.fnUntraced(function* (
  writerUrl: () => string | undefined,
  settings: Partial<BucketConfig> = {},
  options: HarnessOptions = {}
) {
  const store = new FakeStore()
  store.creationFails = notActive("waiting")
  const server = yield* started(store, ["replicates"], {
    ...options,
    config: {
      role: "replica",
      bucket: { ...bucket, ...settings },
      allowShapeDeletion: true,
      ...options.config
    },
    writerUrl
  })
  return { store, server, url: `${server.url}/v1/shape` }
})

/** Something else in the place of an active instance. */
const other = (answer: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<ReturnType<typeof createServer>>((resume) => {
        const server = createServer(answer)
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )

const ask = (url: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const response = await fetch(url, init)
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

const shape = "table=items&offset=-1"

describe("a replica", () => {
  it.live("hands on what only the active instance can answer, and answers everything else by itself", () =>
    Effect.gen(function* () {
      const writerStore = new FakeStore()
      const writer = yield* startWriter(writerStore, { config: { allowShapeDeletion: true } })
      const { store, server, url } = yield* startReplica(() => writer.url)
      const health = yield* ask(`${server.url}/v1/health`)
      assert.deepStrictEqual([health.status, health.text], [200, '{"status":"replica"}'])

      const made = yield* ask(`${url}?${shape}`, { headers: { "x-request-id": "a request of a client" } })
      assert.strictEqual(made.status, 200)
      assert.include(made.text, '"key":"k1"')
      assert.strictEqual(made.headers.get("x-request-id"), "a request of a client")
      assert.strictEqual(writerStore.created, 1)
      const handle = made.headers.get("electric-handle") ?? ""

      // It does not know the handle yet.
      const next = yield* ask(`${url}?table=items&offset=0_0&handle=${handle}`)
      assert.strictEqual(next.status, 200)
      assert.strictEqual(next.headers.get("electric-handle"), handle)

      // Now it does.
      const [stored] = writerStore.shapes.values()
      if (stored !== undefined) store.shapes.set(handle, stored)
      const lookups = writerStore.lookups
      const local = yield* ask(`${url}?table=items&offset=0_0&handle=${handle}`)
      assert.strictEqual(local.status, 200)
      assert.strictEqual(writerStore.lookups, lookups)

      const gone = yield* ask(`${url}?table=items&offset=0_0&handle=1-1`)
      assert.strictEqual(gone.status, 409)
      assert.strictEqual(gone.headers.get("electric-handle"), handle)
      const deleted = yield* ask(`${url}?table=items&handle=${handle}`, { method: "DELETE" })
      assert.strictEqual(deleted.status, 202)
      assert.strictEqual(writerStore.shapes.size, 0)
    }).pipe(Effect.scoped)
  )

  it.live("hands on method, headers and body as they are, and the answer as it comes", () =>
    Effect.gen(function* () {
      const seen: Array<{ readonly request: IncomingMessage; readonly body: string }> = []
      let answering: ServerResponse | undefined
      const writerUrl = yield* other((request, response) => {
        let body = ""
        request.on("data", (piece) => (body += String(piece)))
        request.on("end", () => {
          seen.push({ request, body })
          response.writeHead(200, {
            "content-type": "application/json",
            "electric-handle": "1-2",
            "x-other": "1"
          })
          response.write("[1,")
          answering = response
        })
      })
      const { url } = yield* startReplica(() => writerUrl)
      const response = yield* Effect.promise(() =>
        fetch(`${url}?table=items&offset=-1`, {
          method: "POST",
          headers: { authorization: "Bearer of-the-client", cookie: "a=b" },
          body: '{"columns":"id,name"}'
        })
      )
      const reader = response.body?.getReader()
      const first = yield* Effect.promise(async () => reader?.read())
      assert.strictEqual(Buffer.from(first?.value ?? []).toString(), "[1,")
      answering?.end("2]")
      const second = yield* Effect.promise(async () => reader?.read())
      assert.strictEqual(Buffer.from(second?.value ?? []).toString(), "2]")
      assert.strictEqual(response.headers.get("electric-handle"), "1-2")
      assert.strictEqual(response.headers.get("x-other"), "1")
      const [{ body, request } = assert.fail("nobody was asked")] = seen
      assert.strictEqual(request.method, "POST")
      assert.strictEqual(request.url, "/v1/shape?table=items&offset=-1")
      assert.strictEqual(body, '{"columns":"id,name"}')
      assert.strictEqual(request.headers.authorization, "Bearer of-the-client")
      assert.strictEqual(request.headers.cookie, "a=b")
      assert.isString(request.headers["baton-forwarded-by"])
    }).pipe(Effect.scoped)
  )

  it.live("asks nobody but the active instance, below its path, whatever form the target has", () =>
    Effect.gen(function* () {
      const asked: Array<string | undefined> = []
      const writerUrl = yield* other((request, response) => {
        asked.push(request.url)
        response.end("[]")
      })
      const { server } = yield* startReplica(() => `${writerUrl}/below`)
      const connection = yield* rawConnection(server.port)
      for (const target of [
        `/v1/shape?${shape}`,
        `http://evil.example:1/v1/shape?${shape}`,
        `//v1/shape?${shape}&x=%2F`
      ]) {
        const { status } = yield* Effect.promise(() => connection.get(target))
        assert.strictEqual(status, 200)
      }
      assert.deepStrictEqual(asked, [
        `/below/v1/shape?${shape}`,
        `/below/v1/shape?${shape}`,
        `/below//v1/shape?${shape}&x=%2F`
      ])
    }).pipe(Effect.scoped)
  )

  it.live("gives its own request up with its client's", () =>
    Effect.gen(function* () {
      let isOpen = 0
      let isClosed = 0
      const writerUrl = yield* other((_request, response) => {
        isOpen++
        response.on("close", () => isClosed++)
      })
      const { server, url } = yield* startReplica(() => writerUrl)
      const client = httpRequest(`${url}?${shape}`)
      client.on("error", () => {})
      client.end()
      yield* Effect.promise(() => eventually("the request", () => isOpen === 1))
      client.destroy()
      yield* Effect.promise(() => eventually("its end", () => isClosed === 1 && server.running() === 0))
    }).pipe(Effect.scoped)
  )

  it.live("says 503, and when to ask again, where nobody can be asked", () =>
    Effect.gen(function* () {
      const silent = yield* other(() => {})
      const hangsUp = yield* other((request) => request.socket.destroy())
      const nobody = [
        yield* startReplica(() => undefined),
        yield* startReplica(() => "http://127.0.0.1:9"),
        yield* startReplica(() => hangsUp),
        yield* startReplica(() => silent, { forwards: false })
      ]
      for (const { url } of nobody) {
        const { headers, status, text } = yield* ask(`${url}?${shape}`)
        assert.strictEqual(status, 503)
        assert.strictEqual(headers.get("retry-after"), "5")
        assert.include(text, "This instance is a replica")
      }
    }).pipe(Effect.scoped)
  )

  it.live("hands nothing on that was handed on to it", () =>
    Effect.gen(function* () {
      let second: string | undefined
      const first = yield* startReplica(() => second)
      second = (yield* startReplica(() => first.server.url)).server.url
      const { status } = yield* ask(`${first.url}?${shape}`)
      assert.strictEqual(status, 503)
    }).pipe(Effect.scoped)
  )

  it.live("cuts an answer that the active instance does not bring to its end", () =>
    Effect.gen(function* () {
      const writerUrl = yield* other((_request, response) => {
        response.writeHead(200, { "content-type": "application/json" })
        response.write("[1,", () => response.destroy())
      })
      const { url } = yield* startReplica(() => writerUrl)
      const outcome = yield* Effect.promise(() =>
        fetch(`${url}?${shape}`)
          .then((response) => response.text())
          .then(
            () => "whole",
            () => "cut"
          )
      )
      assert.strictEqual(outcome, "cut")
    }).pipe(Effect.scoped)
  )

  it.live("refuses what is wrong by itself", () =>
    Effect.gen(function* () {
      const writerUrl = yield* other(() => assert.fail("it asks"))
      const { url } = yield* startReplica(() => writerUrl)
      assert.strictEqual((yield* ask(`${url}?table=nothing&offset=-1`)).status, 400)
    }).pipe(Effect.scoped)
  )
})
