import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2"
import { request } from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask } from "./support/harness.ts"
import { eventually } from "./support/rawHttp.ts"
import { certificate, privateKey } from "./support/testCertificate.ts"

const shape = "/v1/shape?table=items"
const change = '{"key":"k2","value":{"id":"2"},"headers":{"operation":"insert"}}'

const secureFiles = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = mkdtempSync(join(tmpdir(), "baton-tls-"))
    const files = { tlsCertFile: join(directory, "cert.pem"), tlsKeyFile: join(directory, "key.pem") }
    writeFileSync(files.tlsCertFile, certificate)
    writeFileSync(files.tlsKeyFile, privateKey)
    return { directory, files }
  }),
  ({ directory }) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

const withServer = <E, R>(
  body: (context: {
    readonly store: FakeStore
    readonly url: string
    readonly handle: string
    readonly server: HttpServer["Service"]
    readonly api: ShapeApi["Service"]
  }) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function* () {
    const { files } = yield* secureFiles
    const store = new FakeStore()
    yield* Effect.gen(function* () {
      yield* activate
      const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
      yield* body({
        store,
        handle,
        url: `${shape}&handle=${handle}`,
        server: yield* HttpServer,
        api: yield* ShapeApi
      })
    }).pipe(Effect.provide(HttpServer.layer.pipe(Layer.provideMerge(apiLayer(store, { config: files })))))
  }).pipe(Effect.scoped)

const session = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const client = connect(url, { ca: certificate })
      client.on("error", () => {})
      return client
    }),
    (client) => Effect.sync(() => client.destroy())
  )

interface Answer {
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

const read = (client: ClientHttp2Session, path: string, method = "GET"): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const stream = client.request({ ":path": path, ":method": method })
    let headers: IncomingHttpHeaders = {}
    let text = ""
    stream.setEncoding("utf8")
    stream.on("response", (received) => (headers = received))
    stream.on("data", (piece: string) => (text += piece))
    stream.on("end", () => resolve({ headers, text }))
    stream.on("error", reject)
    stream.on("close", () => reject(new Error("closed")))
    stream.end()
  })

describe("HTTP/2", () => {
  it.live("one connection carries many held requests, and all are answered", () =>
    withServer(({ server, store, handle, url }) =>
      Effect.gen(function* () {
        assert.match(server.url, /^https:/)
        const client = yield* session(server.url)
        const initial = yield* Effect.promise(() => read(client, `${shape}&offset=-1`))
        assert.strictEqual(Number(initial.headers[":status"]), 200)
        assert.strictEqual(initial.headers["electric-offset"], "0_0")
        assert.strictEqual(initial.text, `[${store.snapshot[0]?.join(",")}]`)
        const held = Array.from({ length: 20 }, () => read(client, `${url}&offset=0_inf&live=true`))
        yield* eventually(() => store.waiting === 20, "all held")
        store.append(handle, 500n, [change])
        for (const answer of yield* Effect.promise(() => Promise.all(held)))
          assert.strictEqual(answer.headers["electric-offset"], "500_0")
        const head = yield* Effect.promise(() => read(client, `${shape}&offset=-1`, "HEAD"))
        assert.strictEqual(head.text, "")
        assert.strictEqual(head.headers["electric-offset"], "0_0")
        yield* eventually(() => server.running() === 0, "none running")
      })
    )
  )

  it.live("large and streamed bodies arrive whole", () =>
    withServer(({ server, store }) =>
      Effect.gen(function* () {
        const client = yield* session(server.url)
        store.snapshot = [[`{"key":"${"x".repeat(3_000_000)}","headers":{}}`]]
        store.drop([...store.shapes.keys()][0] ?? "")
        for (const pieceBytes of [undefined, 200_000]) {
          store.pieceBytes = pieceBytes
          const answer = yield* Effect.promise(() => read(client, `${shape}&offset=-1`))
          assert.isTrue(answer.text === `[${store.snapshot[0]?.join(",")}]`)
        }
      })
    )
  )

  it.live("megabytes of query are refused, and others are served", () =>
    withServer(({ server, api }) =>
      Effect.gen(function* () {
        for (const length of [20_000, 60_000, 1_000_000, 10_000_000]) {
          const client = yield* session(server.url)
          const answer = yield* Effect.promise(() =>
            read(client, `${shape}&offset=-1&where=${"x".repeat(length)}`).catch(() => undefined)
          )
          const status = answer?.headers[":status"]
          assert.isTrue(
            status === undefined || [400, 414, 431].includes(Number(status)),
            `${length}: ${status}`
          )
        }
        const other = yield* session(server.url)
        const answer = yield* Effect.promise(() => read(other, `${shape}&offset=-1`))
        assert.strictEqual(Number(answer.headers[":status"]), 200)
        yield* eventually(() => server.running() === 0, "none running")
        assert.strictEqual(api.stats().initialRequests, 0)
      })
    )
  )

  it.live("a stream that is given up ends its request", () =>
    withServer(({ server, store, url, api }) =>
      Effect.gen(function* () {
        const client = yield* session(server.url)
        for (const query of ["", "&live_sse=true"]) {
          const stream = client.request({ ":path": `${url}&offset=0_inf&live=true${query}` })
          stream.on("error", () => {})
          yield* eventually(() => store.waiting === 1, "held")
          stream.close(8)
          yield* eventually(() => store.waiting === 0 && server.running() === 0, "given up")
        }
        assert.strictEqual(api.stats().existingRequests, 0)
      })
    )
  )

  it.live("a shutdown tells its clients to connect elsewhere, and lets held requests finish", () =>
    withServer(({ server, store, handle, url }) =>
      Effect.gen(function* () {
        const client = yield* session(server.url)
        let goneAway = false
        client.on("goaway", () => (goneAway = true))
        const held = read(client, `${url}&offset=0_inf&live=true`)
        yield* eventually(() => store.waiting === 1, "held")
        yield* server.beginDrain
        yield* eventually(() => goneAway, "told to go away")
        store.append(handle, 500n, [change])
        const answer = yield* Effect.promise(() => held)
        assert.strictEqual(answer.headers["electric-offset"], "500_0")
        assert.isUndefined(answer.headers["connection"])
        yield* server.awaitIdle
      })
    )
  )

  it.live("clients without HTTP/2 are served over HTTP/1.1 on the same port", () =>
    withServer(({ server }) =>
      Effect.gen(function* () {
        const answer = yield* Effect.promise(
          () =>
            new Promise<readonly [string, number | undefined]>((resolve, reject) => {
              const sent = request(`${server.url}/v1/health`, { ca: certificate }, (response) => {
                response.resume()
                resolve([response.httpVersion, response.statusCode])
              })
              sent.on("error", reject)
              sent.end()
            })
        )
        assert.deepStrictEqual(answer, ["1.1", 200])
      })
    )
  )

  it.effect("a certificate that cannot be read says which variables to look at", () =>
    Effect.gen(function* () {
      const config = { tlsCertFile: "/nonexistent/cert.pem", tlsKeyFile: "/nonexistent/key.pem" }
      const failed = yield* Effect.flip(
        Layer.build(HttpServer.layer.pipe(Layer.provide(apiLayer(new FakeStore(), { config }))))
      )
      assert.include(failed.message, "BATON_TLS_CERT_FILE")
    }).pipe(Effect.scoped)
  )
})
