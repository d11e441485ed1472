import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { HttpRouter, HttpServer as EffectServer, HttpServerRequest } from "effect/http"
import express from "express"
import fastify from "fastify"
import { Hono } from "hono"
import { type FetchHandler, makeFetchHandler } from "../../src/http/mount/FetchHandler.ts"
import { givenBytes } from "../../src/http/request/GivenBytes.ts"
import { makeNodeHandler, type NodeHandler } from "../../src/http/node/NodeHandler.ts"
import { mountShapeApi } from "../../src/http/mount/RouterMount.ts"
import { recordingLogger } from "../storage/support.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer } from "./support/harness.ts"

const target = "/v1/shape?table=items&offset=-1"
/** Refused by what the body says, and by nothing else: so a service that answers this has read it. */
const body = '{"columns":["nothing"]}'
const wasRead = /must include all primary key columns, missing: id/

type Send = (init: RequestInit) => Promise<Response>

const post = (send: Send, text: string = body, type = "application/json") =>
  Effect.promise(async () => {
    const response = await send({ method: "POST", body: text, headers: { "content-type": type } })
    return { status: response.status, text: await response.text() }
  })

const assertRead = Effect.fnUntraced(function* (send: Send, type?: string) {
  const received = yield* post(send, body, type)
  assert.deepStrictEqual([received.status, wasRead.test(received.text)], [400, true], received.text)
  const empty = yield* Effect.promise(async () => {
    const response = await send({ method: "POST" })
    await response.text()
    return response.status
  })
  assert.strictEqual(empty, 200)
})

/** A body that is gone is a 500 that says where to look, and the log says what to do: once. */
const assertRefused = Effect.fnUntraced(function* (send: Send, log: ReadonlyArray<string>, advice: RegExp) {
  for (let i = 0; i < 3; i++) {
    const received = yield* post(send)
    assert.strictEqual(received.status, 500, received.text)
    assert.match(received.text, /The request body was read before it reached Baton/)
  }
  const said = log.filter((line) => line.includes("had been read before it reached Baton"))
  assert.strictEqual(said.length, 1)
  assert.match(said[0] ?? "", advice)
})

const inside = <E, R>(make: (log: ReadonlyArray<string>) => Effect.Effect<void, E, R>) => {
  const log: Array<string> = []
  return Effect.andThen(activate, make(log)).pipe(
    Effect.provide(apiLayer(new FakeStore())),
    Effect.provide(recordingLogger(log)),
    Effect.scoped
  )
}

const served = Effect.fnUntraced(function* (listener: Parameters<typeof createServer>[1], path = target) {
  const server = createServer(listener ?? (() => {}))
  yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`
  return (init: RequestInit) => fetch(url, init)
})

const drain = (request: IncomingMessage): Promise<string> =>
  new Promise((resolve) => {
    let text = ""
    request.on("data", (piece) => (text += String(piece))).on("end", () => resolve(text))
  })

/** What a framework does with the body before Baton is called. */
const ways: ReadonlyArray<readonly [string, (handler: NodeHandler) => Parameters<typeof createServer>[1]]> = [
  ["nobody else reads", (handler) => (request, response) => handler(request, response)],
  [
    "is handed over as text",
    (handler) => async (request, response) => handler(request, response, { body: await drain(request) })
  ],
  [
    "is handed over as bytes",
    (handler) => async (request, response) =>
      handler(request, response, { body: new TextEncoder().encode(await drain(request)) })
  ],
  [
    "is handed over parsed",
    (handler) => async (request, response) => {
      const text = await drain(request)
      handler(request, response, { body: text === "" ? undefined : (JSON.parse(text) as unknown) })
    }
  ],
  ["Express' parser leaves in `request.body`", (handler) => express().use(express.json(), handler)],
  [
    "Express' parser leaves there as bytes",
    (handler) => express().use(express.raw({ type: "*/*" }), handler)
  ],
  [
    "Express' parser leaves there as text",
    (handler) => express().use(express.text({ type: "*/*" }), handler)
  ],
  [
    "a parser did not touch, and left `{}` for it",
    (handler) => (request, response) => handler(Object.assign(request, { body: {} }), response)
  ]
]

const fetching = (make: (handler: FetchHandler) => (request: Request) => Response | Promise<Response>) =>
  Effect.map(makeFetchHandler(), (handler) => {
    const answer = make(handler)
    return async (init: RequestInit) => answer(new Request(`http://app.example${target}`, init))
  })

describe("a body that", () => {
  for (const [name, listener] of ways)
    it.live(`${name} is read`, () =>
      inside(() =>
        Effect.gen(function* () {
          const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000 })
          yield* assertRead(yield* served(listener(handler)))
        })
      )
    )

  it.live("Fastify has read is handed over with its request, whatever its parser made of it", () =>
    inside(() =>
      Effect.gen(function* () {
        const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000 })
        const server = fastify()
        server.all("/sync/*", (request, reply) => {
          reply.hijack()
          request.raw.url = request.raw.url?.slice("/sync".length) ?? ""
          handler(request.raw, reply.raw, request)
        })
        yield* Effect.promise(() => server.ready())
        yield* Effect.addFinalizer(() => Effect.promise(() => server.close()))
        const send = yield* served((request, response) => server.routing(request, response), `/sync${target}`)
        yield* assertRead(send)
        yield* assertRead(send, "text/plain")
      })
    )
  )

  it.live("is gone is never an empty one", () =>
    inside((log) =>
      Effect.gen(function* () {
        const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000 })
        const send = yield* served(async (request, response) => {
          await drain(request)
          handler(request, response)
        })
        yield* assertRefused(send, log, /baton\.handler\(request, response, \{ body \}\)/)
        const response = yield* Effect.promise(() => send({ method: "POST" }))
        assert.strictEqual(response.status, 200, "without a body none can be gone")
        yield* Effect.promise(() => response.text())
      })
    )
  )

  it.live("was read in part is gone as well, and so is one that cannot be written down", () =>
    inside((log) =>
      Effect.gen(function* () {
        const handler = yield* makeNodeHandler({ sendTimeoutMillis: 5000 })
        const send = yield* served((request, response) => {
          request.once("data", () => {
            request.pause()
            handler(request, response)
          })
        })
        yield* assertRefused(send, log, /Call baton\.handler before anything that reads bodies/)
        const stream = yield* served((request, response) =>
          handler(request, response, { body: new FormData() })
        )
        assert.strictEqual((yield* post(stream)).status, 500)
      })
    )
  )

  it.live("a Fetch host has read is handed over", () =>
    inside(() =>
      Effect.gen(function* () {
        for (const make of [
          (handler: FetchHandler) => (request: Request) => handler(request),
          (handler: FetchHandler) => async (request: Request) =>
            handler(request, { body: await request.text() }),
          (handler: FetchHandler) => async (request: Request) =>
            handler(request, { body: await request.arrayBuffer() }),
          (handler: FetchHandler) => (request: Request) =>
            new Hono()
              .use(async (context, next) => {
                await context.req.text()
                await next()
              })
              .all("*", async (context) => handler(context.req.raw, { body: await context.req.text() }))
              .fetch(request)
        ])
          yield* assertRead(yield* fetching(make))
      })
    )
  )

  it.live("a Fetch host has read and keeps is never an empty one", () =>
    inside((log) =>
      Effect.gen(function* () {
        const send = yield* fetching((handler) => async (request) => {
          await request.text()
          return handler(request)
        })
        yield* assertRefused(send, log, /baton\.fetch\(request, \{ body \}\)/)
      })
    )
  )

  for (const [how, read, refuses] of [
    ["its methods", (request: HttpServerRequest.HttpServerRequest) => request.text, false],
    ["its stream", (request: HttpServerRequest.HttpServerRequest) => Stream.runDrain(request.stream), true]
  ] as const)
    it.live(`middleware of an Effect server has read with ${how} is ${refuses ? "gone" : "read"}`, () => {
      const log: Array<string> = []
      const reading = HttpRouter.middleware(
        (answer) =>
          Effect.gen(function* () {
            yield* Effect.ignore(read(yield* HttpServerRequest.HttpServerRequest))
            return yield* answer
          }),
        { global: true }
      )
      const layer = HttpRouter.serve(Layer.mergeAll(mountShapeApi(), reading), { disableLogger: true }).pipe(
        Layer.provideMerge(
          NodeHttpServer.layer(() => createServer(), { port: 0, gracefulShutdownTimeout: 100 })
        ),
        Layer.provideMerge(apiLayer(new FakeStore())),
        Layer.provide(recordingLogger(log))
      )
      return Effect.gen(function* () {
        yield* activate
        const { address } = yield* EffectServer.HttpServer
        const url = `http://127.0.0.1:${"port" in address ? address.port : 0}${target}`
        const send = (init: RequestInit) => fetch(url, init)
        if (refuses) yield* assertRefused(send, log, /before anything that reads bodies/)
        else yield* assertRead(send)
      }).pipe(Effect.provide(layer), Effect.scoped)
    })
})

describe("a Fetch request that is given up", () => {
  it.live("rejects with the reason of its signal, before, while and after it is held", () =>
    inside(() =>
      Effect.gen(function* () {
        const handler = yield* makeFetchHandler()
        const first = yield* Effect.promise(() => handler(new Request(`http://app.example${target}`)))
        yield* Effect.promise(() => first.text())
        const live = `http://app.example${target.replace("offset=-1", "offset=0_inf")}&live=true&handle=${first.headers.get("electric-handle")}`
        const giveUp = (reason?: unknown, when: "before" | "later" = "later") =>
          Effect.promise(async () => {
            const controller = new AbortController()
            if (when === "before") controller.abort(reason)
            const asked = handler(new Request(live, { signal: controller.signal }))
            setTimeout(() => controller.abort(reason), 20)
            return asked.then(
              () => assert.fail("it was answered"),
              (error: unknown) => error
            )
          })
        for (const when of ["before", "later"] as const) {
          const aborted = yield* giveUp(undefined, when)
          assert.instanceOf(aborted, DOMException)
          assert.strictEqual((aborted as DOMException).name, "AbortError")
          const own = new Error("the host's own")
          assert.strictEqual(yield* giveUp(own, when), own)
        }
        assert.strictEqual(handler.running(), 0)
      })
    )
  )
})

const text = (value: unknown) => {
  const bytes = givenBytes(value)
  return bytes === undefined ? undefined : Buffer.from(bytes).toString()
}

describe("givenBytes", () => {
  it("writes what parsers make, and nothing that would come out as something else", () => {
    assert.strictEqual(text('{"a":1}'), '{"a":1}')
    assert.strictEqual(text(Buffer.from("ab")), "ab")
    assert.strictEqual(text(new Uint8Array([97, 98]).subarray(1)), "b")
    assert.strictEqual(text(new Uint8Array([97, 98]).buffer), "ab")
    assert.strictEqual(text({ a: [1, null] }), '{"a":[1,null]}')
    assert.strictEqual(text(Object.assign(Object.create(null) as object, { a: 1 })), '{"a":1}')
    assert.strictEqual(text([1]), "[1]")
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    for (const value of [
      new FormData(),
      new Map(),
      new URLSearchParams("a=1"),
      () => {},
      Symbol("a"),
      circular,
      { a: 1n }
    ])
      assert.isUndefined(text(value))
  })
})
