import { createServer, type IncomingMessage, request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { JournalTail, makeJournalTail } from "../../src/http/node/JournalTail.ts"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { makeNodeHandler } from "../../src/http/node/NodeHandler.ts"
import { eventually } from "../../testing/Eventually.ts"
import { FakeWriter } from "../storage/tail/support.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer } from "./support/harness.ts"

const query = "epoch=1&segment=1&position=0"
const authorized = { authorization: "Bearer between instances" }

/** The API, and beside it the journal of a made-up writer. */
const layerOf = (writer: FakeWriter) =>
  Layer.mergeAll(
    apiLayer(new FakeStore(), { cors: { origins: ["https://app.example"] } }),
    Layer.effect(JournalTail, makeJournalTail(writer, Redacted.make("between instances")))
  )

const connect = (url: string) =>
  Effect.acquireRelease(
    Effect.callback<IncomingMessage>((resume) => {
      httpRequest(url, { headers: { ...authorized, origin: "https://app.example" } }, (response) =>
        resume(Effect.succeed(response))
      ).end()
    }),
    (response) => Effect.sync(() => void response.destroy())
  )

const refusal = (url: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const response = await fetch(url, init)
    const { reason } = (await response.json()) as { readonly reason?: string }
    return [response.status, reason] as const
  })

describe("the route of the tail", () => {
  it.live(
    "is no request of the API: it is not counted, nor drained, and has no headers of caches or CORS",
    () =>
      Effect.gen(function* () {
        const writer = new FakeWriter(1, 1)
        const context = yield* Layer.build(HttpServer.layer.pipe(Layer.provideMerge(layerOf(writer))))
        yield* Effect.provideContext(activate, context)
        const server = Context.get(context, HttpServer)
        const tail = Context.get(context, JournalTail)
        const response = yield* connect(`${server.url}/baton/journal?${query}`)
        let isOver = false
        response.on("end", () => (isOver = true)).resume()
        assert.strictEqual(response.statusCode, 200)
        assert.strictEqual(response.headers["cache-control"], "no-store")
        assert.isUndefined(response.headers["access-control-allow-origin"])
        assert.strictEqual(server.running(), 0)
        assert.strictEqual(tail.mirrors(), 1)
        yield* server.beginDrain
        yield* server.awaitIdle
        assert.isFalse(isOver)
        writer.isWriter = false
        writer.tellMoved()
        yield* Effect.promise(() => eventually("its end", () => isOver))
        assert.strictEqual(tail.mirrors(), 0)
      }).pipe(Effect.scoped)
  )

  it.live("says why it sends nothing", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      const context = yield* Layer.build(HttpServer.layer.pipe(Layer.provideMerge(layerOf(writer))))
      const url = `${Context.get(context, HttpServer).url}/baton/journal`
      const wrong = { headers: { authorization: "Bearer guessed" } }
      const right = { headers: authorized }
      assert.deepStrictEqual(yield* refusal(`${url}?${query}`), [401, "wrongSecret"])
      assert.deepStrictEqual(yield* refusal(`${url}?${query}`, wrong), [401, "wrongSecret"])
      assert.deepStrictEqual(yield* refusal(`${url}?${query}&secret=between%20instances`), [
        401,
        "wrongSecret"
      ])
      for (const malformed of [
        "epoch=1&segment=1",
        "epoch=1&segment=1&position=-1",
        "epoch=x&segment=1&position=0"
      ])
        assert.deepStrictEqual(yield* refusal(`${url}?${malformed}`, right), [400, "malformed"])
      assert.deepStrictEqual(yield* refusal(`${url}?epoch=2&segment=1&position=0`, right), [
        409,
        "otherEpoch"
      ])
      assert.deepStrictEqual(yield* refusal(`${url}?epoch=1&segment=0&position=0`, right), [409, "gone"])
      assert.deepStrictEqual(yield* refusal(`${url}?epoch=1&segment=1&position=9`, right), [409, "ahead"])
      writer.isWriter = false
      assert.deepStrictEqual(yield* refusal(`${url}?${query}`, right), [503, "notWriter"])
      const posted = yield* Effect.promise(() => fetch(`${url}?${query}`, { ...right, method: "POST" }))
      assert.strictEqual(posted.status, 404)
    }).pipe(Effect.scoped)
  )

  it.live("stands below the prefix of a program that mounts the API", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(layerOf(new FakeWriter(1, 1)))
      const handler = yield* Effect.provideContext(
        makeNodeHandler({ sendTimeoutMillis: 5000, prefix: "/sync" }),
        context
      )
      const server = createServer(handler)
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => (server.close(), server.closeAllConnections()))
      )
      const { port } = server.address() as AddressInfo
      const response = yield* connect(`http://127.0.0.1:${port}/sync/baton/journal?${query}`)
      assert.strictEqual(response.statusCode, 200)
      const elsewhere = yield* connect(`http://127.0.0.1:${port}/baton/journal?${query}`)
      assert.strictEqual(elsewhere.statusCode, 404)
    }).pipe(Effect.scoped)
  )
})
