import { createServer, type IncomingMessage } from "node:http"
import { duplexPair } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fc from "fast-check"
import { standardLimits } from "../../src/config/Limits.ts"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { readHead } from "../../src/http/simple/RequestHead.ts"
import { SimpleRequest } from "../../src/http/simple/SimpleRequest.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask } from "./support/harness.ts"
import { eventually, rawConnection } from "./support/rawHttp.ts"

const good = "GET /v1/shape?table=items HTTP/1.1\r\nHost: test\r\n\r\n"

const others: ReadonlyArray<readonly [string, string]> = [
  ["another method", good.replace("GET", "HEAD")],
  ["another path", good.replace("/v1/shape?", "/v1/health?")],
  ["another version", good.replace("1.1", "1.0")],
  ["no host", good.replace("Host: test\r\n", "")],
  ["an empty host", good.replace("Host: test", "Host: ")],
  ["two hosts", good.replace("\r\n\r\n", "\r\nhost: other\r\n\r\n")],
  ["a header twice", good.replace("\r\n\r\n", "\r\na: 1\r\nA: 2\r\n\r\n")],
  ["a part of a head", good.slice(0, -1)],
  ["a body behind it", `${good}x`],
  ["a request behind it", good + good],
  ["a length", good.replace("\r\n\r\n", "\r\ncontent-length: 0\r\n\r\n")],
  ["a coding", good.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n")],
  ["an upgrade", good.replace("\r\n\r\n", "\r\nupgrade: h2c\r\n\r\n")],
  ["an expectation", good.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n")],
  ["a last request", good.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")],
  ["a proxy's word", good.replace("\r\n\r\n", "\r\nproxy-connection: keep-alive\r\n\r\n")],
  ["a line that goes on", good.replace("\r\n\r\n", "\r\na: 1\r\n b\r\n\r\n")],
  ["a space before the colon", good.replace("Host:", "Host :")],
  ["a header without a name", good.replace("\r\n\r\n", "\r\n: 1\r\n\r\n")],
  ["lines that end in LF alone", good.replaceAll("\r\n", "\n")],
  ["a CR in a value", good.replace("test", "te\rst")],
  ["a NUL in a value", good.replace("test", "te\0st")],
  ["a byte above 127 in a value", good.replace("test", "t\xe9st")],
  ["a byte above 127 in the target", good.replace("items", "it\xe9ms")],
  ["a space in the target", good.replace("items", "it ems")],
  ["no target to its end", good.replace(" HTTP/1.1", "")],
  [
    "51 headers",
    good.replace("\r\n\r\n", `\r\n${Array.from({ length: 50 }, (_, i) => `a${i}: b\r\n`).join("")}\r\n`)
  ],
  ["more than 8 kB", good.replace("items", "x".repeat(8192))]
]

/** What Node's own parser makes of bytes: the requests in them, or nothing if it refuses them. */
const parsedByNode = (bytes: Buffer): Promise<ReadonlyArray<IncomingMessage> | undefined> =>
  new Promise((resolve) => {
    const found: Array<IncomingMessage> = []
    const server = createServer((request, response) => {
      found.push(request)
      response.end()
    })
    server.on("clientError", () => resolve(undefined))
    const [inner, outer] = duplexPair()
    server.emit("connection", inner)
    outer.resume()
    outer.write(bytes)
    setImmediate(() => setImmediate(() => resolve(found)))
  })

describe("the head of a simple request", () => {
  it("is read with its parts", () => {
    const head = readHead(
      Buffer.from(
        "GET /v1/shape?table=a%20b&x HTTP/1.1\r\nHOST:test\r\nX-Request-Id: \t abc \t\r\nempty:\r\nConnection: Keep-Alive\r\n\r\n"
      )
    )
    assert.isDefined(head)
    if (head === undefined) return
    const request = new SimpleRequest(head)
    assert.strictEqual(request.target, "/v1/shape?table=a%20b&x")
    assert.strictEqual(request.header("x-request-id"), "abc")
    assert.strictEqual(request.header("empty"), "")
    assert.isUndefined(request.header("x-request"))
    assert.deepStrictEqual(
      { ...request.headers() },
      { host: "test", "x-request-id": "abc", empty: "", connection: "Keep-Alive" }
    )
  })

  for (const [name, bytes] of others)
    it(`is not: ${name}`, () => assert.isUndefined(readHead(Buffer.from(bytes, "latin1"))))

  it("means the same as to Node's parser, whatever the bytes", async () => {
    const line = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constantFrom(
          "a: b",
          "Accept: */*",
          "cookie: x=y; z",
          'if-none-match: "a"',
          "x-y:\t1 ",
          "Host: h"
        )
      },
      fc.constantFrom(
        "content-length: 3",
        "transfer-encoding: chunked",
        "a : b",
        " a: b",
        "connection: close",
        "upgrade: x",
        ":",
        ""
      ),
      fc.string({ maxLength: 12 }),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString("latin1"))
    )
    const request = fc
      .record({
        method: fc.oneof(
          { weight: 8, arbitrary: fc.constant("GET ") },
          fc.constantFrom("GET", "get ", "POST ")
        ),
        target: fc.oneof(
          fc.constant("table=x"),
          fc.string({ maxLength: 12 }),
          fc.constant("a b"),
          fc.constant("a#b")
        ),
        version: fc.oneof(
          { weight: 8, arbitrary: fc.constant(" HTTP/1.1\r\n") },
          fc.constantFrom(" HTTP/1.0\r\n", "\r\n", " HTTP/1.1\n")
        ),
        lines: fc.array(line, { maxLength: 5 }),
        end: fc.oneof({ weight: 8, arbitrary: fc.constant("\r\n") }, fc.constantFrom("", "\n", "\r\nx", "\r"))
      })
      .map(({ end, lines, method, target, version }) =>
        Buffer.from(
          `${method}/v1/shape?${target}${version}Host: test\r\n${lines.map((text) => `${text}\r\n`).join("")}${end}`,
          "latin1"
        )
      )
    let simple = 0
    await fc.assert(
      fc.asyncProperty(request, async (bytes) => {
        const head = readHead(bytes)
        if (head === undefined) return
        simple++
        const found = await parsedByNode(bytes)
        assert.strictEqual(found?.length, 1)
        const [theirs] = found ?? []
        const ours = new SimpleRequest(head)
        assert.strictEqual(ours.target, theirs?.url)
        assert.deepStrictEqual({ ...ours.headers() }, { ...theirs?.headers })
        assert.isTrue(theirs?.complete)
      }),
      { numRuns: 2000 }
    )
    assert.isAbove(simple, 100)
  })
})

const withServer = (
  body: (context: {
    readonly store: FakeStore
    readonly server: HttpServer["Service"]
    readonly live: string
    readonly handle: string
  }) => Effect.Effect<void, unknown, HttpServer | import("effect").Scope.Scope>,
  config = {}
) => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    const server = yield* HttpServer
    const handle = (yield* ask("/v1/shape?table=items&offset=-1")).header("electric-handle") ?? ""
    yield* body({
      store,
      server,
      handle,
      live: `/v1/shape?table=items&handle=${handle}&offset=0_inf&live=true`
    })
  }).pipe(
    Effect.provide(HttpServer.layer.pipe(Layer.provideMerge(apiLayer(store, { config })))),
    Effect.scoped
  )
}
const requestOf = (target: string, method = "GET") => `${method} ${target} HTTP/1.1\r\nhost: test\r\n\r\n`

describe("a connection of simple requests", () => {
  it.live("answers what comes after them as well, whatever it is", () =>
    withServer(({ server, live, handle }) =>
      Effect.gen(function* () {
        const now = `/v1/shape?table=items&handle=${handle}&offset=0_inf`
        const connection = yield* rawConnection(server.port)
        const simple = yield* Effect.promise(() => connection.get(now))
        assert.strictEqual(simple.status, 200)
        // In two parts, as a slow line brings it.
        const text = requestOf(now)
        connection.send(text.slice(0, 30))
        // Who is answered after it came later: by then the first part has been read.
        const later = yield* rawConnection(server.port)
        yield* Effect.promise(() => later.get("/v1/health"))
        connection.send(text.slice(30))
        const whole = yield* Effect.promise(() => connection.response())
        assert.deepStrictEqual(Object.keys(whole.headers).toSorted(), Object.keys(simple.headers).toSorted())
        assert.strictEqual(whole.body, simple.body)
        const head = yield* rawConnection(server.port)
        yield* Effect.promise(() => head.get(now))
        head.send(requestOf(now, "HEAD"))
        assert.strictEqual((yield* Effect.promise(() => head.response(true))).status, 200)
        const held = yield* rawConnection(server.port)
        held.send(requestOf(live))
        yield* eventually(() => server.running() === 1, "it is held")
        held.send(requestOf("/v1/health"))
        yield* server.expireHeld
        assert.include((yield* Effect.promise(() => held.response())).body, "up-to-date")
        assert.include((yield* Effect.promise(() => held.response())).body, "active")
      })
    )
  )

  it.live("ends with its client, also while that has sent more, and when it sends too much", () =>
    withServer(
      ({ server, live }) =>
        Effect.gen(function* () {
          for (const more of ["", requestOf("/v1/health")]) {
            const connection = yield* rawConnection(server.port)
            connection.send(requestOf(live))
            yield* eventually(() => server.running() === 1, "it is held")
            connection.send(more)
            connection.socket.end()
            yield* eventually(() => server.running() === 0, "it is over")
          }
          const many = yield* rawConnection(server.port)
          many.send(requestOf(live))
          yield* eventually(() => server.running() === 1, "it is held")
          many.send(requestOf("/v1/health").repeat(11))
          yield* eventually(() => many.ended && server.running() === 0, "it is cut")
        }),
      { limits: { ...standardLimits, pipelinedRequests: 10 } }
    )
  )

  it.live("is told when it has asked for nothing, and closed when it asks for nothing more", () =>
    withServer(
      ({ server, handle }) =>
        Effect.gen(function* () {
          const silent = yield* rawConnection(server.port)
          assert.strictEqual((yield* Effect.promise(() => silent.response())).status, 408)
          const used = yield* rawConnection(server.port)
          yield* Effect.promise(() => used.get(`/v1/shape?table=items&handle=${handle}&offset=0_inf`))
          yield* eventually(() => used.ended, "the connection is closed")
        }),
      { tcpReadTimeoutMillis: 200 }
    )
  )
})
