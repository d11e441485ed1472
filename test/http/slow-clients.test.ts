import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fc from "fast-check"
import { type Limits, standardLimits } from "../../src/config/Limits.ts"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { OpenBodies } from "../../src/http/reply/OpenBodies.ts"
import { connectionLimit } from "../../src/http/node/OpenFiles.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, testConfig } from "./support/harness.ts"
import { eventually, rawConnection } from "./support/rawHttp.ts"

const shape = "/v1/shape?table=items"

const withServer = <E, R>(
  limits: Partial<Limits>,
  body: (context: {
    readonly store: FakeStore
    readonly handle: string
    readonly server: HttpServer["Service"]
    readonly api: ShapeApi["Service"]
  }) => Effect.Effect<void, E, R>,
  maxConcurrentRequests = { initial: 300, existing: 10_000 }
) => {
  const store = new FakeStore()
  const config = { limits: { ...standardLimits, ...limits }, maxConcurrentRequests }
  return Effect.gen(function* () {
    yield* activate
    const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
    yield* body({ store, handle, server: yield* HttpServer, api: yield* ShapeApi })
  }).pipe(
    Effect.provide(HttpServer.layer.pipe(Layer.provideMerge(apiLayer(store, { config })))),
    Effect.scoped
  )
}

const post = (length: number) =>
  `POST ${shape}&offset=-1 HTTP/1.1\r\nhost: test\r\ncontent-length: ${length}\r\n\r\n`

const held = (handle: string) =>
  `GET ${shape}&handle=${handle}&offset=0_inf&live=true HTTP/1.1\r\nhost: test\r\n\r\n`

const status = (url: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const response = await fetch(url, init)
    await response.arrayBuffer()
    return response.status
  })

describe("bodies on their way", () => {
  it.live("take no request's place", () =>
    withServer(
      {},
      ({ server, api }) =>
        Effect.gen(function* () {
          const slow = yield* Effect.all(Array.from({ length: 50 }, () => rawConnection(server.port)))
          for (const connection of slow) connection.send(`${post(1000)}{`)
          yield* eventually(() => server.running() === 50, "all bodies have begun")
          assert.strictEqual(api.stats().initialRequests, 0)
          assert.strictEqual(yield* status(`${server.url}${shape}&offset=-1`), 200)
          const init = { method: "POST", body: "{}" }
          assert.strictEqual(yield* status(`${server.url}${shape}&offset=-1`, init), 200)
        }),
      { initial: 2, existing: 2 }
    )
  )

  it.live("are refused at once while there is no place for them", () =>
    withServer(
      {},
      ({ server }) =>
        Effect.gen(function* () {
          const connection = yield* rawConnection(server.port)
          connection.send(`${post(1000)}{`)
          const answer = yield* Effect.promise(() => connection.response())
          assert.strictEqual(answer.status, 503)
          assert.include(answer.body, "concurrent_request_limit_exceeded")
        }),
      { initial: 0, existing: 0 }
    )
  )

  it.live("that take too long end with 408, and their connection with them", () =>
    withServer({ bodyMillis: 200 }, ({ server }) =>
      Effect.gen(function* () {
        const connection = yield* rawConnection(server.port)
        connection.send(`${post(1000)}{`)
        const answer = yield* Effect.promise(() => connection.response())
        assert.strictEqual(answer.status, 408)
        assert.include(answer.body, "BATON_MAX_BODY_TIME")
        yield* eventually(() => connection.ended, "the connection is closed")
        yield* eventually(() => server.running() === 0, "nothing is left")
      })
    )
  )

  it.live("give way when there are too many, the oldest first", () =>
    withServer({ openBodies: 3 }, ({ server }) =>
      Effect.gen(function* () {
        const connections = yield* Effect.all(Array.from({ length: 5 }, () => rawConnection(server.port)))
        for (const [i, connection] of connections.entries()) {
          connection.send(`${post(100)}{`)
          yield* eventually(() => server.running() === Math.min(i + 1, 3), "it is being received")
        }
        const refused = yield* Effect.promise(() =>
          Promise.all(connections.slice(0, 2).map((connection) => connection.response()))
        )
        for (const answer of refused) {
          assert.strictEqual(answer.status, 503)
          assert.include(answer.body, "BATON_MAX_OPEN_BODIES")
          assert.isDefined(answer.headers["retry-after"])
        }
        assert.isTrue(connections.slice(2).every(({ text, ended }) => text === "" && !ended))
      })
    )
  )

  it.live("are bounded in number and size, whatever arrives of which, and the small ones stay", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 4000 })), { maxLength: 200 }),
          async (arrivals) => {
            const bodies = new OpenBodies({ ...standardLimits, openBodies: 8, openBodyBytes: 10_000 })
            const arrived = new Map<number, (bytes: number) => void>()
            const ends: Array<() => void> = []
            const outcomes: Array<Promise<unknown>> = []
            for (const [id, bytes] of arrivals) {
              let tell = arrived.get(id)
              if (tell === undefined) {
                const received = bodies.read<number, never>((grown) => {
                  arrived.set(id, grown)
                  return Effect.callback((resume) => void ends.push(() => resume(Effect.succeed(id))))
                })
                outcomes.push(Effect.runPromise(Effect.flip(Effect.flip(Effect.exit(received)))))
                tell = arrived.get(id)
              }
              tell?.(bytes)
              assert.isAtMost(bodies.held().bodies, 8)
              assert.isAtMost(bodies.held().bytes, 10_000)
            }
            for (const end of ends) end()
            await Promise.all(outcomes)
            assert.deepStrictEqual(bodies.held(), { bodies: 0, bytes: 0 })
          }
        ),
        { numRuns: 100 }
      )
    )
  )
})

describe("requests that are sent without waiting for answers", () => {
  it.live("are worked on one at a time, and answered in turn", () =>
    withServer({}, ({ server, store, handle, api }) =>
      Effect.gen(function* () {
        const connection = yield* rawConnection(server.port)
        const quick = "GET /v1/health HTTP/1.1\r\nhost: test\r\n\r\n"
        connection.send(held(handle) + quick + held(handle) + post(2) + "{}" + quick)
        yield* eventually(() => api.stats().existingRequests === 1, "the first is held")
        assert.strictEqual(server.running(), 1, "and the others wait")
        store.append(handle, 500n, ['{"headers":{}}'])
        const answers = []
        for (let i = 0; i < 5; i++) answers.push(yield* Effect.promise(() => connection.response()))
        assert.deepStrictEqual(
          answers.map((answer) => answer.status),
          [200, 200, 200, 200, 200]
        )
        assert.deepStrictEqual(
          answers.map((answer) => "electric-offset" in answer.headers),
          [true, false, true, true, false]
        )
        yield* eventually(() => server.running() === 0, "nothing is left")
      })
    )
  )

  it.live("cost nothing while the client reads no answer, and end with it", () =>
    withServer({}, ({ server, handle, api }) =>
      Effect.gen(function* () {
        const connections = yield* Effect.all(Array.from({ length: 20 }, () => rawConnection(server.port)))
        for (const connection of connections) connection.send(held(handle).repeat(50))
        yield* eventually(() => api.stats().existingRequests === 20, "one is held for each")
        assert.strictEqual(server.running(), 20)
        for (const { socket } of connections) socket.destroy()
        yield* eventually(() => server.running() === 0, "nothing is left")
        assert.strictEqual(api.stats().existingRequests, 0)
      })
    )
  )

  it.live("too many of them end the connection", () =>
    withServer({ pipelinedRequests: 10 }, ({ server, handle }) =>
      Effect.gen(function* () {
        const connection = yield* rawConnection(server.port)
        connection.send(held(handle).repeat(12))
        yield* eventually(() => connection.ended, "it is cut")
        yield* eventually(() => server.running() === 0, "nothing is left")
        assert.strictEqual(yield* status(`${server.url}/v1/health`), 200)
      })
    )
  )
})

describe("connections", () => {
  it.live("above the limit are closed at once, and others go on", () =>
    withServer({ connections: 3 }, ({ server }) =>
      Effect.gen(function* () {
        const connections = yield* Effect.all(Array.from({ length: 3 }, () => rawConnection(server.port)))
        for (const connection of connections)
          assert.strictEqual((yield* Effect.promise(() => connection.get("/v1/health"))).status, 200)
        const another = yield* rawConnection(server.port)
        yield* eventually(() => another.ended, "it is closed")
        const [first] = connections
        if (first === undefined) return
        assert.strictEqual((yield* Effect.promise(() => first.get("/v1/health"))).status, 200)
      })
    )
  )

  it("leave files for storage, and the operator is told when there are too few", () => {
    const config = testConfig()
    assert.deepStrictEqual(connectionLimit(config, undefined), { connections: 20_000, problem: undefined })
    assert.deepStrictEqual(connectionLimit(config, 1_048_576), { connections: 20_000, problem: undefined })
    assert.deepStrictEqual(connectionLimit(config, 20_000), { connections: 9900, problem: undefined })
    const few = connectionLimit(config, 1024)
    assert.strictEqual(few.connections, 412)
    assert.match(few.problem ?? "", /1024 files open.*412 connections.*Allow at least 20800 files/)
    assert.strictEqual(connectionLimit(config, 10).connections, 16)
  })
})
