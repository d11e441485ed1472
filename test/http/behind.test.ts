import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask } from "./support/harness.ts"

const change = (id: number) => `{"key":"k${id}","value":{"id":"${id}"},"headers":{"operation":"insert"}}`
const upToDate = (lsn: number) => `{"headers":{"control":"up-to-date","global_last_seen_lsn":"${lsn}"}}`
const shape = "/v1/shape?table=items"

/** A shape with an entry of 500, which has everything up to there, while 900 has been processed. */
const withLateShape = <E>(
  body: (
    store: FakeStore,
    url: string,
    handle: string
  ) => Effect.Effect<void, E, Effect.Services<ReturnType<typeof ask>>>
) => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
    store.append(handle, 500n, [change(1)])
    store.lastSeen = 900n
    store.behind = 500n
    yield* body(store, `${shape}&handle=${handle}`, handle)
  }).pipe(Effect.provide(apiLayer(store)))
}

const start = (url: string, headers: Record<string, string> = {}) =>
  Effect.forkChild(ask(url, { headers }), { startImmediately: true })

describe("while a shape is behind what has been processed", () => {
  const requests = [
    ["of its entries", "offset=0_inf", `[${change(1)},${change(2)},${upToDate(800)}]`],
    ["at its end", "offset=500_0", `[${change(2)},${upToDate(800)}]`],
    ["for where it is now", "offset=now", `[${upToDate(800)}]`]
  ] as const
  for (const [what, query, whole] of requests) {
    it.effect(`a request ${what} waits until it has that`, () =>
      withLateShape((store, url, handle) =>
        Effect.gen(function* () {
          const held = yield* start(`${url}&${query}`)
          yield* TestClock.adjust("900 millis")
          assert.isUndefined(held.pollUnsafe())
          store.append(handle, 700n, [change(2)])
          yield* TestClock.adjust("50 millis")
          assert.isUndefined(held.pollUnsafe())
          store.lastSeen = 800n
          store.catchUp()
          const { header, status, text } = yield* Fiber.join(held)
          assert.deepStrictEqual([status, text], [200, whole])
          assert.strictEqual(header("electric-offset"), "700_0")
          assert.strictEqual(header("electric-up-to-date"), "")
        })
      )
    )

    it.effect(`a request ${what} waits for a second, and is told as much as is true`, () =>
      withLateShape((store, url) =>
        Effect.gen(function* () {
          const held = yield* start(`${url}&${query}`)
          yield* TestClock.adjust("999 millis")
          assert.isUndefined(held.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          const { header, text } = yield* Fiber.join(held)
          assert.isTrue(text.endsWith(`${upToDate(500)}]`), text)
          assert.strictEqual(header("electric-offset"), "500_0")
          assert.strictEqual(store.behind, 500n)
        })
      )
    )
  }

  it.effect("a request that has its answer already gets a 304, as late", () =>
    withLateShape((store, url) =>
      Effect.gen(function* () {
        store.catchUp()
        const etag = (yield* ask(`${url}&offset=500_0`)).header("etag") ?? ""
        store.behind = 500n
        const held = yield* start(`${url}&offset=500_0`, { "if-none-match": etag })
        yield* TestClock.adjust("500 millis")
        assert.isUndefined(held.pollUnsafe())
        store.catchUp()
        assert.strictEqual((yield* Fiber.join(held)).status, 304)
      })
    )
  )

  it.effect("what is no end of the log waits for nothing", () =>
    withLateShape((_store, url) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* ask(`${url}&offset=-1`)).header("electric-offset"), "0_0")
      })
    )
  )

  it.effect("a live request is told at once of what comes, and at its time-out as much as is true", () =>
    withLateShape((store, url, handle) =>
      Effect.gen(function* () {
        const first = yield* start(`${url}&offset=500_0&live=true`)
        store.append(handle, 700n, [change(2)])
        assert.strictEqual((yield* Fiber.join(first)).text, `[${change(2)},${upToDate(700)}]`)
        store.behind = 750n
        const second = yield* start(`${url}&offset=700_0&live=true`)
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual((yield* Fiber.join(second)).text, `[${upToDate(750)}]`)
      })
    )
  )
})
