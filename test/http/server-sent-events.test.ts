import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Effect, Fiber, Scope, Exit, Stream } from "effect"
import { TestClock } from "effect/testing"
import { EventFramer } from "../../src/http/shape/EventFramer.ts"
import { replyHeader } from "../../src/http/reply/ApiReply.ts"
import { eventStream } from "../../src/http/mount/ReplyStream.ts"
import { wholeReply } from "../../src/http/shape/Answer.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import { eventually } from "../../testing/Eventually.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, requestOf } from "./support/harness.ts"

const change = (id: number, text = "") =>
  `{"key":"k${id}","value":{"id":"${id}","t":${JSON.stringify(text)}},"headers":{"operation":"insert"}}`
const event = (json: string) => `data: ${json}\n\n`
const upToDate = (lsn: string) =>
  event(`{"headers":{"control":"up-to-date","global_last_seen_lsn":"${lsn}"}}`)

/** Opens a stream; `text` is what has arrived, `fiber` ends with the stream. */
const open = Effect.fnUntraced(function* (url: string) {
  const api = yield* ShapeApi
  const scope = yield* Scope.make()
  const made = yield* wholeReply(api.handle(requestOf(url))).pipe(Effect.provideService(Scope.Scope, scope))
  if (!("_tag" in made)) throw new Error(`no stream: ${made.status}`)
  const reply = made.takeReply()
  const pieces: Array<Uint8Array> = []
  const received = {
    get text() {
      return Buffer.concat(pieces).toString("utf8")
    }
  }
  const fiber = yield* Effect.forkChild(
    Stream.runForEach(eventStream(made), (piece) => Effect.sync(() => pieces.push(piece))).pipe(
      Effect.ensuring(Scope.close(scope, Exit.void))
    ),
    { startImmediately: true }
  )
  return {
    reply,
    received,
    fiber,
    header: (name: string) => replyHeader(reply, name)
  }
})

const withShape = <E, R>(
  body: (store: FakeStore, handle: string, url: string) => Effect.Effect<void, E, R>,
  logLevel: "info" | "debug" = "info"
) => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    const handle = (yield* ask("/v1/shape?table=items&offset=-1")).header("electric-handle") ?? ""
    yield* body(store, handle, `/v1/shape?table=items&handle=${handle}&live=true&live_sse=true`)
  }).pipe(Effect.provide(apiLayer(store, { config: { logLevel } })))
}

describe("server-sent events", () => {
  it.effect("headers go out at once, then nothing but comments until something happens", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        const stream = yield* open(`${url}&offset=0_inf`)
        assert.strictEqual(stream.reply.status, 200)
        assert.strictEqual(stream.header("content-type"), "text/event-stream")
        assert.strictEqual(stream.header("cache-control"), "public, max-age=59")
        assert.strictEqual(stream.header("electric-offset"), "0_inf")
        assert.strictEqual(stream.header("electric-up-to-date"), "")
        assert.strictEqual(stream.header("electric-has-data"), "true")
        assert.strictEqual(stream.header("etag"), `"${handle}:0_inf:0_inf"`)
        assert.isDefined(stream.header("electric-cursor"))
        assert.isUndefined(stream.header("electric-schema"))
        yield* TestClock.adjust("20999 millis")
        assert.strictEqual(stream.received.text, "")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(stream.received.text, ": keep-alive\n\n")
        store.append(handle, 500n, [change(1), change(2)])
        yield* TestClock.adjust("0 millis")
        assert.strictEqual(
          stream.received.text,
          `: keep-alive\n\n${event(change(1))}${event(change(2))}${upToDate("500")}`
        )
      })
    )
  )

  it.effect("a backlog is sent, and the stream stays open for what comes after", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        store.append(handle, 500n, [change(1)])
        const stream = yield* open(`${url}&offset=0_inf`)
        assert.strictEqual(stream.header("electric-offset"), "500_0")
        const first = event(change(1)) + upToDate("500")
        assert.strictEqual(stream.received.text, first)
        assert.isUndefined(stream.fiber.pollUnsafe())
        store.append(handle, 600n, [change(2)])
        yield* TestClock.adjust("0 millis")
        assert.strictEqual(stream.received.text, first + event(change(2)) + upToDate("600"))
      })
    )
  )

  it.effect("keep-alives count from the last output", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        const stream = yield* open(`${url}&offset=0_inf`)
        yield* TestClock.adjust("15 seconds")
        store.append(handle, 500n, [change(1)])
        yield* TestClock.adjust("15 seconds")
        assert.notInclude(stream.received.text, "keep-alive")
        yield* TestClock.adjust("6 seconds")
        assert.isTrue(stream.received.text.endsWith(": keep-alive\n\n"))
      })
    )
  )

  it.effect("the stream ends after a minute, whatever happened, without a word", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        const stream = yield* open(`${url}&offset=0_inf`)
        yield* TestClock.adjust("50 seconds")
        store.append(handle, 500n, [change(1)])
        yield* TestClock.adjust("9999 millis")
        assert.isUndefined(stream.fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(stream.fiber)
        assert.isTrue(stream.received.text.endsWith(upToDate("500")))
        const api = yield* ShapeApi
        assert.strictEqual(api.stats().existingRequests, 0)
      })
    )
  )

  for (const logLevel of ["info", "debug"] as const)
    it.effect(`one that is kept has its place until it is over (log level ${logLevel})`, () =>
      withShape(
        (_store, _handle, url) =>
          Effect.gen(function* () {
            const api = yield* ShapeApi
            const made = yield* Effect.scoped(
              Effect.map(wholeReply(api.handle(requestOf(`${url}&offset=0_inf`))), (answer) => {
                if (!("_tag" in answer)) return assert.fail("no stream")
                answer.keep()
                return answer
              })
            )
            assert.strictEqual(api.stats().existingRequests, 1)
            made.release()
            assert.strictEqual(api.stats().existingRequests, 0)
          }),
        logLevel
      )
    )

  it.effect("a dropped shape ends it; the next request learns why", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        const stream = yield* open(`${url}&offset=0_inf`)
        store.drop(handle)
        yield* Fiber.join(stream.fiber)
        assert.strictEqual(stream.received.text, "")
        assert.strictEqual((yield* ask(`${url}&offset=0_inf`)).status, 409)
      })
    )
  )

  it.effect("an offset beyond the end waits inside the stream, and ends it after half a long poll", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        const lost = yield* open(`${url}&offset=999_0`)
        assert.strictEqual(lost.reply.status, 200)
        assert.strictEqual(lost.header("electric-offset"), "999_0")
        assert.isUndefined(lost.header("electric-up-to-date"))
        const patient = yield* open(`${url}&offset=500_0`)
        yield* TestClock.adjust("4 seconds")
        store.append(handle, 600n, [change(1)])
        yield* TestClock.adjust("6 seconds")
        yield* Fiber.join(lost.fiber)
        assert.strictEqual(lost.received.text, "")
        assert.strictEqual(patient.received.text, event(change(1)) + upToDate("600"))
      })
    )
  )

  it.effect("it can be resumed from the transaction that its last up-to-date event named", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        store.append(handle, 500n, [change(1), change(2)])
        const again = yield* open(`${url}&offset=500_0`)
        assert.strictEqual(again.received.text, event(change(2)) + upToDate("500"))
      })
    )
  )

  it.effect("the deprecated parameter works, and only with its successor absent", () =>
    withShape((_store, _handle, url) =>
      Effect.gen(function* () {
        const old = url.replace("&live_sse=true", "&experimental_live_sse=true")
        assert.strictEqual((yield* open(`${old}&offset=0_inf`)).header("content-type"), "text/event-stream")
        const polling = yield* Effect.forkChild(ask(`${old}&live_sse=false&offset=0_inf`), {
          startImmediately: true
        })
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual(
          (yield* Fiber.join(polling)).header("content-type"),
          "application/json; charset=utf-8"
        )
      })
    )
  )

  it.effect("errors that are known before are ordinary answers", () =>
    withShape((_store, _handle, url) =>
      Effect.gen(function* () {
        const received = yield* ask(`${url.replace("table=items", "table=nope")}&offset=0_inf`)
        assert.strictEqual(received.status, 400)
        assert.strictEqual(received.header("content-type"), "application/json; charset=utf-8")
      })
    )
  )

  it.effect("a slice that comes in pieces is framed across them", () =>
    withShape((store, handle, url) =>
      Effect.gen(function* () {
        const texts = ['a"b', "c\\", "{},[", "é\u2028\n"]
        store.pieceBytes = 7
        store.append(
          handle,
          500n,
          texts.map((text, i) => change(i, text))
        )
        const stream = yield* open(`${url}&offset=0_inf`)
        const whole = texts.map((text, i) => event(change(i, text))).join("") + upToDate("500")
        yield* Effect.promise(() =>
          eventually("all events", () => stream.received.text.length >= whole.length)
        )
        assert.strictEqual(stream.received.text, whole)
      })
    )
  )
})

describe("framing", () => {
  it("gives every message once, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue())),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
        (messages, sizes) => {
          const texts = messages.map((message) => JSON.stringify(message))
          const bytes = Buffer.from(texts.join(","))
          // In memory of their own, and in a buffer that is used again, and sometimes too small.
          for (const into of [undefined, Buffer.alloc(16)]) {
            const framer = new EventFramer()
            const pieces: Array<Buffer> = []
            for (let at = 0, i = 0; at < bytes.length; i++) {
              const size = sizes[i % sizes.length] ?? 1
              pieces.push(Buffer.from(framer.frame(bytes.subarray(at, at + size), into)))
              at += size
            }
            assert.strictEqual(Buffer.concat(pieces).toString("utf8"), texts.map(event).join(""))
          }
        }
      )
    )
  })
})
