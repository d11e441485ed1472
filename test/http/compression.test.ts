import { randomBytes } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { acceptsGzip } from "../../src/http/reply/AcceptEncoding.ts"
import { CompressedChunks } from "../../src/http/reply/CompressedChunks.ts"
import { snapshotChunk } from "../../src/shapes/LogOffset.ts"
import { ShapeReadError, type LogSlice, type ShapeHandle } from "../../src/storage/ShapeLogs.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type Received } from "./support/harness.ts"

const shape = "/v1/shape?table=items"
const gzip = { "accept-encoding": "br, gzip" }
const rows = (count: number, text: string) =>
  Array.from({ length: count }, (_, i) => `{"key":"k${i}","value":{"id":"${i}","name":"${text}"}}`)

const bytesOf = ({ reply }: Received): Buffer =>
  reply.body._tag === "Bytes" ? Buffer.concat(reply.body.pieces) : Buffer.alloc(0)

const handleOf = (store: FakeStore) => [...store.shapes.keys()][0]

const withApi = <E>(
  body: (store: FakeStore) => Effect.Effect<void, E, Effect.Services<ReturnType<typeof ask>>>
) => {
  const store = new FakeStore()
  store.snapshot = [rows(100, "first"), rows(100_000, "second"), ["{}"]]
  return Effect.andThen(activate, body(store)).pipe(Effect.provide(apiLayer(store)))
}

const anyShape: ShapeHandle = {
  id: 1,
  handle: "1-1",
  definition: {} as ShapeHandle["definition"],
  dropped: false
}
const slice = (body: LogSlice["body"], finishedBytes: number): LogSlice => ({
  _tag: "Slice",
  next: snapshotChunk(0),
  upToDate: false,
  body,
  finishedBytes
})

/** A chunk whose bytes never come. */
const unread = (index: number): LogSlice => ({ ...slice(never, 10_000), next: snapshotChunk(index) })
const gone: LogSlice["body"] = () => {
  throw new ShapeReadError({ handle: "1-1", message: "gone" })
}
const never: LogSlice["body"] = async function* () {
  yield await new Promise<never>(() => {})
}

describe("compression", () => {
  it("is what the client has to accept", () => {
    for (const line of ["gzip", "br, GZIP;q=0.5", "*", "x-gzip", "deflate, gzip;q=1.0", "*;q=0, gzip"])
      assert.isTrue(acceptsGzip(line), line)
    for (const line of [undefined, "", "br", "gzip;q=0", "gzip; q=0.000, *", "identity", "*;q=0", "gzipped"])
      assert.isFalse(acceptsGzip(line), line)
  })

  it.live("finished snapshot chunks are sent compressed to those who accept it, with the same content", () =>
    withApi((store) =>
      Effect.gen(function* () {
        for (const pieceBytes of [undefined, 100_000]) {
          store.pieceBytes = pieceBytes
          for (const [offset, next, index] of [
            ["-1", "0_0", 0],
            ["0_0", "0_1", 1]
          ] as const) {
            const handle = handleOf(store)
            const url = `${shape}&offset=${offset}${handle === undefined ? "" : `&handle=${handle}`}`
            const plain = yield* ask(url)
            assert.isUndefined(plain.header("content-encoding"))
            const answer = yield* ask(url, { headers: gzip })
            assert.strictEqual(answer.header("content-encoding"), "gzip")
            assert.strictEqual(answer.header("electric-offset"), next)
            assert.include(answer.header("vary"), "accept-encoding")
            const body = bytesOf(answer)
            assert.isBelow(body.length * 3, plain.text.length)
            assert.isTrue(gunzipSync(body).toString() === plain.text)
            assert.strictEqual(plain.text, `[${store.snapshot[index]?.join(",")}]`)
            if (answer.reply.body._tag === "Bytes")
              for (const piece of answer.reply.body.pieces) assert.isAtMost(piece.length, 256 * 1024)
          }
        }
      })
    )
  )

  it.live("both tags validate, and each form is answered with its own", () =>
    withApi(() =>
      Effect.gen(function* () {
        const url = `${shape}&offset=-1`
        const compressed = (yield* ask(url, { headers: gzip })).header("etag") ?? ""
        const plain = (yield* ask(url)).header("etag") ?? ""
        assert.match(plain, /^"[^"]+:-1:0_0"$/)
        assert.strictEqual(compressed, `${plain.slice(0, -1)};gzip"`)
        for (const tag of [plain, compressed])
          for (const headers of [{}, gzip]) {
            const answer = yield* ask(url, { headers: { ...headers, "if-none-match": tag } })
            assert.strictEqual(answer.status, 304)
            assert.strictEqual(answer.header("etag"), tag)
            assert.isUndefined(answer.header("content-encoding"))
            assert.strictEqual(answer.reply.body._tag, "Empty")
          }
        assert.strictEqual((yield* ask(url, { headers: { "if-none-match": '"other;gzip"' } })).status, 200)
      })
    )
  )

  it.live("small chunks, live answers and answers from the log are not compressed", () =>
    withApi((store) =>
      Effect.gen(function* () {
        yield* ask(`${shape}&offset=-1`)
        const handle = handleOf(store) ?? ""
        store.append(handle, 500n, [`{"key":"${"x".repeat(5000)}"}`])
        for (const rest of ["offset=0_1", "offset=0_inf", "offset=0_inf&live=true"]) {
          const answer = yield* ask(`${shape}&handle=${handle}&${rest}`, { headers: gzip })
          assert.strictEqual(answer.status, 200)
          assert.isUndefined(answer.header("content-encoding"), rest)
          assert.doesNotThrow(() => JSON.parse(answer.text))
        }
      })
    )
  )

  it.live("many readers at once make one compression", () =>
    Effect.gen(function* () {
      const chunks = new CompressedChunks()
      let runs = 0
      const body: LogSlice["body"] = async function* () {
        runs++
        yield Buffer.alloc(100_000, "a")
      }
      yield* Effect.all(
        Array.from({ length: 20 }, () => chunks.prepare(anyShape, slice(body, 100_000))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(runs, 1)
      const found = chunks.find(anyShape, slice(body, 100_000))
      assert.strictEqual(gunzipSync(found ?? Buffer.alloc(0)).length, 100_002)
    })
  )

  it.live(
    "no more than a few chunks are compressed at a time; the others are sent as they are, at once",
    () =>
      Effect.gen(function* () {
        const chunks = new CompressedChunks()
        for (let i = 0; i < 8; i++)
          yield* Effect.forkChild(chunks.prepare(anyShape, unread(i)), { startImmediately: true })
        yield* chunks.prepare(anyShape, unread(8))
        assert.isTrue(chunks.isMissing(anyShape, unread(8)))
        assert.isUndefined(chunks.find(anyShape, unread(8)))
      })
  )

  it.live("what does not get smaller is sent as it is, and not tried again", () =>
    Effect.gen(function* () {
      const chunks = new CompressedChunks()
      const noise = randomBytes(200_000)
      const given = slice(noise, noise.length)
      assert.isTrue(chunks.isMissing(anyShape, given))
      yield* chunks.prepare(anyShape, given)
      assert.isFalse(chunks.isMissing(anyShape, given))
      assert.isUndefined(chunks.find(anyShape, given))
    })
  )

  it.live("a chunk that cannot be read is not compressed, and nobody waits for it", () =>
    Effect.gen(function* () {
      const chunks = new CompressedChunks()
      yield* chunks.prepare(anyShape, slice(gone, 5000))
      assert.isTrue(chunks.isMissing(anyShape, slice(gone, 5000)))
    })
  )
})
