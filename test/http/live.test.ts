import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { HealthRef } from "../../src/health/HealthRef.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type HarnessOptions } from "./support/harness.ts"

const change = (id: number) => `{"key":"k${id}","value":{"id":"${id}"},"headers":{"operation":"insert"}}`
const shape = "/v1/shape?table=items"

const withShape = <E>(
  body: (
    store: FakeStore,
    url: string
  ) => Effect.Effect<void, E, Effect.Services<ReturnType<typeof ask>> | HealthRef>,
  options: HarnessOptions = {}
) => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
    yield* body(store, `${shape}&handle=${handle}`)
  }).pipe(Effect.provide(apiLayer(store, options)))
}

const handleOf = (url: string) => url.split("handle=")[1] ?? ""
const start = (url: string, method = "GET") =>
  Effect.forkChild(ask(url, { method }), { startImmediately: true })

describe("long polls", () => {
  it.effect("are held until their time is over, not a millisecond less", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const held = yield* start(`${url}&offset=0_0&live=true&cursor=`)
        yield* TestClock.adjust("19999 millis")
        assert.isUndefined(held.pollUnsafe())
        assert.strictEqual(store.waiting, 1)
        store.lastSeen = 777n
        yield* TestClock.adjust("1 millis")
        const received = yield* Fiber.join(held)
        assert.strictEqual(received.status, 200)
        assert.strictEqual(
          received.text,
          '[{"headers":{"control":"up-to-date","global_last_seen_lsn":"777"}}]'
        )
        assert.strictEqual(received.header("electric-has-data"), "false")
        assert.strictEqual(received.header("electric-up-to-date"), "")
        assert.strictEqual(received.header("electric-offset"), "0_inf")
        assert.isDefined(received.header("electric-cursor"))
        assert.isUndefined(received.header("electric-schema"))
        assert.match(received.header("etag") ?? "", new RegExp(`^"${handleOf(url)}:0_0:0_inf:\\d+"$`))
        assert.strictEqual(store.waiting, 0)
      })
    )
  )

  it.effect("last as long as the configuration says", () =>
    withShape(
      (_store, url) =>
        Effect.gen(function* () {
          const held = yield* start(`${url}&offset=0_inf&live=true`)
          yield* TestClock.adjust("3 seconds")
          assert.strictEqual((yield* Fiber.join(held)).status, 200)
        }),
      { config: { longPollTimeoutMillis: 3000 } }
    )
  )

  it.effect("answer with all that came, in one body that all of them share", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const held = yield* Effect.forEach([1, 2, 3], () => start(`${url}&offset=0_inf&live=true`))
        store.append(handleOf(url), 500n, [change(1), change(2)])
        const received = yield* Effect.forEach(held, (fiber) => Fiber.join(fiber))
        for (const { text, header } of received) {
          assert.strictEqual(
            text,
            `[${change(1)},${change(2)},{"headers":{"control":"up-to-date","global_last_seen_lsn":"500"}}]`
          )
          assert.strictEqual(header("electric-offset"), "500_2")
          assert.strictEqual(header("electric-has-data"), "true")
        }
      })
    )
  )

  it.effect("are not woken by what happens elsewhere", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const other = (yield* ask(`${shape}&offset=-1&replica=full`)).header("electric-handle") ?? ""
        const held = yield* start(`${url}&offset=0_inf&live=true`)
        store.append(other, 500n, [change(1)])
        yield* TestClock.adjust("10 seconds")
        assert.isUndefined(held.pollUnsafe())
      })
    )
  )

  it.effect("end with a 409 without handle when their shape is dropped", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const held = yield* start(`${url}&offset=0_inf&live=true`)
        store.drop(handleOf(url))
        const received = yield* Fiber.join(held)
        assert.strictEqual(received.status, 409)
        assert.isUndefined(received.header("electric-handle"))
      })
    )
  )

  it.effect("are sent away for a moment when it had to make room: there may be none for another one", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const held = yield* start(`${url}&offset=0_inf&live=true`)
        store.drop(handleOf(url), "forRoom")
        const received = yield* Fiber.join(held)
        assert.strictEqual(received.status, 503)
        assert.isDefined(received.header("retry-after"))
        assert.match(received.text, /BATON_MAX_STORAGE/)
        const again = yield* start(`${url}&offset=0_inf&live=true`)
        const next = yield* Fiber.join(again)
        assert.strictEqual(next.status, 409)
        assert.isDefined(next.header("electric-handle"))
      })
    )
  )

  it.effect("of a client that goes away cost nothing any more", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const held = yield* start(`${url}&offset=0_inf&live=true`)
        assert.strictEqual(store.waiting, 1)
        yield* Fiber.interrupt(held)
        assert.strictEqual(store.waiting, 0)
      })
    )
  )

  it.effect("answer at once when there is something, even if it is a snapshot chunk", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const stored = store.shapes.get(handleOf(url))
        stored?.chunks.push(change(9))
        const chunk = yield* ask(`${url}&offset=0_0&live=true`)
        assert.strictEqual(chunk.text, `[${change(9)}]`)
        assert.isUndefined(chunk.header("electric-up-to-date"))
        assert.isDefined(chunk.header("electric-cursor"))
      })
    )
  )

  it.effect("a client that follows and looks once gets another cursor with what is not all", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const stored = store.shapes.get(handleOf(url))
        stored?.chunks.push(change(9))
        for (const cursor of ["", "66998020"]) {
          const part = yield* ask(`${url}&offset=0_0&cursor=${cursor}`)
          assert.isUndefined(part.header("electric-up-to-date"))
          assert.notStrictEqual(part.header("electric-cursor") ?? cursor, cursor)
          const all = yield* ask(`${url}&offset=0_inf&cursor=${cursor}`)
          assert.strictEqual(all.header("electric-up-to-date"), "")
          assert.isUndefined(all.header("electric-cursor"))
        }
        assert.isUndefined((yield* ask(`${url}&offset=0_0`)).header("electric-cursor"))
      })
    )
  )

  it.effect("a HEAD request waits like a GET", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const held = yield* start(`${url}&offset=0_inf&live=true`, "HEAD")
        assert.isUndefined(held.pollUnsafe())
        store.append(handleOf(url), 500n, [change(1)])
        assert.strictEqual((yield* Fiber.join(held)).header("electric-offset"), "500_0")
      })
    )
  )
})

describe("an offset beyond the end of the log", () => {
  for (const live of ["", "&live=true"])
    it.effect(`is held for half a long poll, then refused (${live === "" ? "catch-up" : "live"})`, () =>
      withShape((_store, url) =>
        Effect.gen(function* () {
          const held = yield* start(`${url}&offset=999_0${live}`)
          yield* TestClock.adjust("9999 millis")
          assert.isUndefined(held.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          const received = yield* Fiber.join(held)
          assert.strictEqual(received.status, 400)
          assert.deepStrictEqual(received.json(), {
            message: "Invalid request",
            errors: { offset: ["out of bounds for this shape"] }
          })
        })
      )
    )

  for (const live of ["", "&live=true"])
    it.effect(
      `is no reason to send a client away for good where another instance writes the log (${live === "" ? "catch-up" : "live"})`,
      () =>
        withShape((_store, url) =>
          Effect.gen(function* () {
            const health = yield* HealthRef
            yield* health.send("lockLost")
            const held = yield* start(`${url}&offset=999_0${live}`)
            yield* TestClock.adjust("10 seconds")
            const received = yield* Fiber.join(held)
            assert.strictEqual(received.status, 503)
            assert.strictEqual(received.header("retry-after"), "1")
          })
        )
    )

  it.effect(
    "is none either where the stream is still to bring what the active instance before has told",
    () =>
      withShape((store, url) =>
        Effect.gen(function* () {
          store.knowsAllTold = false
          const held = yield* start(`${url}&offset=999_0`)
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual((yield* Fiber.join(held)).status, 503)
        })
      )
  )

  it.effect("becomes an ordinary request as soon as the log has caught up", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const exact = yield* start(`${url}&offset=999_0`)
        const before = yield* start(`${url}&offset=998_0`)
        const live = yield* start(`${url}&offset=999_0&live=true`)
        store.append(handleOf(url), 500n, [change(1)])
        yield* TestClock.adjust("5 seconds")
        assert.isUndefined(exact.pollUnsafe())
        store.append(handleOf(url), 999n, [change(2)])
        assert.strictEqual((yield* Fiber.join(exact)).header("electric-offset"), "999_0")
        assert.include((yield* Fiber.join(before)).text, change(2))
        // The live one now waits for what comes after, and its long poll began with the request.
        yield* TestClock.adjust("14 seconds")
        assert.isUndefined(live.pollUnsafe())
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* Fiber.join(live)).header("electric-has-data"), "false")
      })
    )
  )

  it.effect("ends with a 409 when the shape is dropped meanwhile", () =>
    withShape((store, url) =>
      Effect.gen(function* () {
        const held = yield* start(`${url}&offset=999_0`)
        store.drop(handleOf(url))
        assert.strictEqual((yield* Fiber.join(held)).status, 409)
      })
    )
  )
})
