import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { SnapshotFailed } from "../../src/registry/ShapeRegistry.ts"
import { Admission } from "../../src/http/shape/Admission.ts"
import { wholeReply } from "../../src/http/shape/Answer.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, requestOf } from "./support/harness.ts"

const shape = "/v1/shape?table=items"
const running = Effect.map(ShapeApi, (api) => {
  const { initialRequests, existingRequests } = api.stats()
  return [initialRequests, existingRequests]
})
const start = (url: string) => Effect.forkChild(ask(url), { startImmediately: true })

const withApi = <E, R>(
  limits: { readonly initial: number; readonly existing: number },
  body: (store: FakeStore, handle: string) => Effect.Effect<void, E, R>
) => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
    yield* body(store, handle)
  }).pipe(Effect.provide(apiLayer(store, { config: { maxConcurrentRequests: limits } })))
}

it("a permit that is given back twice counts once", () => {
  const admission = new Admission({ initial: 2, existing: 2 })
  const first = admission.tryAcquire("initial")
  const second = admission.tryAcquire("initial")
  assert.isDefined(first)
  assert.isDefined(second)
  admission.release(first)
  admission.release(first)
  assert.strictEqual(admission.running("initial"), 1)
  admission.promote(first)
  assert.strictEqual(admission.running("existing"), 0, "and moves nowhere any more")
  admission.promote(second)
  admission.release(second)
  assert.deepStrictEqual([admission.running("initial"), admission.running("existing")], [0, 0])
})

describe("admission", () => {
  it.effect("lets exactly the limit run, and refuses the next without any effect", () =>
    withApi({ initial: 1, existing: 2 }, (store, handle) =>
      Effect.gen(function* () {
        const live = `${shape}&handle=${handle}&offset=0_inf&live=true`
        yield* start(live)
        yield* start(live)
        assert.deepStrictEqual(yield* running, [0, 2])
        const refused = yield* ask(live)
        assert.strictEqual(refused.status, 503)
        assert.deepStrictEqual(refused.json(), {
          code: "concurrent_request_limit_exceeded",
          message: "Concurrent existing request limit exceeded (limit: 2), please retry"
        })
        const headers = ["cache-control", "surrogate-control", "electric-internal-known-error"].map(
          refused.header
        )
        assert.deepStrictEqual(headers, ["no-store", "no-store", "true"])
        const seconds = new Set<number>()
        for (let i = 0; i < 100; i++) seconds.add(Number((yield* ask(live)).header("retry-after")))
        assert.deepStrictEqual(
          [...seconds].toSorted((a, b) => a - b),
          [6, 7, 8, 9, 10]
        )

        const catchingUp = yield* start(`${shape}&handle=unknown&offset=99_0&replica=full`)
        assert.strictEqual((yield* Fiber.join(catchingUp)).status, 409, "an unknown handle counts as initial")
        const created = store.created
        // A long read that counts as initial: nothing may be promoted, existing is full.
        const out = yield* start(`${shape}&offset=-1&handle=x`)
        assert.strictEqual((yield* Fiber.join(out)).status, 200)
        assert.strictEqual(store.created, created)
      })
    )
  )

  it.effect("refuses in a full house also what could be answered, or held, at once", () =>
    withApi({ initial: 2, existing: 1 }, (store, handle) =>
      Effect.gen(function* () {
        const api = yield* ShapeApi
        const known = `${shape}&handle=${handle}`
        const answered = api.handle(requestOf(`${known}&offset=-1`))
        assert.isFalse("_tag" in answered, "it can be answered at once")
        yield* start(`${known}&offset=0_inf&live=true`)
        const { touched } = store
        for (const target of [
          "offset=-1",
          "offset=0_0",
          "offset=0_inf&live=true",
          "offset=0_inf&live=true&live_sse=true"
        ])
          assert.strictEqual((yield* ask(`${known}&${target}`)).status, 503, target)
        assert.deepStrictEqual(api.stats().rejected, { initial: 0, existing: 4 })
        assert.strictEqual(store.touched, touched, "a refused request does not keep a shape alive")
        assert.deepStrictEqual(yield* running, [0, 1])
      })
    )
  )

  it.effect("refuses a POST with the cache rule of a POST", () => {
    const store = new FakeStore()
    return Effect.gen(function* () {
      yield* activate
      const refused = yield* ask(`${shape}&offset=-1`, { method: "POST", body: "{}" })
      assert.strictEqual(refused.status, 503)
      assert.deepStrictEqual(["cache-control", "surrogate-control"].map(refused.header), [
        "no-cache",
        "no-store"
      ])
      assert.strictEqual(store.created, 0)
    }).pipe(
      Effect.provide(apiLayer(store, { config: { maxConcurrentRequests: { initial: 0, existing: 0 } } }))
    )
  })

  it.effect("moves an initial request to the others once its shape is there", () =>
    withApi({ initial: 1, existing: 1 }, (_store, handle) =>
      Effect.gen(function* () {
        const api = yield* ShapeApi
        // HEAD takes the long way; what is answered at once is over at once.
        const first = yield* Scope.make()
        yield* wholeReply(api.handle(requestOf(`${shape}&offset=-1`, { method: "HEAD" }))).pipe(
          Effect.provideService(Scope.Scope, first)
        )
        assert.deepStrictEqual(yield* running, [0, 1], "held until its response is over")
        const second = yield* Scope.make()
        yield* wholeReply(api.handle(requestOf(`${shape}&offset=-1`, { method: "HEAD" }))).pipe(
          Effect.provideService(Scope.Scope, second)
        )
        assert.deepStrictEqual(yield* running, [1, 1], "stays initial when the others are full")
        assert.strictEqual((yield* ask(`${shape}&offset=-1`)).status, 503)
        assert.strictEqual((yield* ask(`${shape}&handle=${handle}&offset=0_0`)).status, 503)
        yield* Scope.close(first, Exit.void)
        yield* Scope.close(second, Exit.void)
        assert.deepStrictEqual(yield* running, [0, 0])
        assert.strictEqual((yield* ask(`${shape}&offset=-1`)).status, 200)
      })
    )
  )

  it.effect("gives every permit back: answers, errors, crashes, time-outs, clients that leave", () =>
    withApi({ initial: 5, existing: 5 }, (store, handle) =>
      Effect.gen(function* () {
        const known = `${shape}&handle=${handle}`
        for (const url of [
          `${shape}&offset=-1`,
          `${shape}&offset=now`,
          `${known}&offset=0_0`,
          `${known}&offset=abc`,
          `${shape}&handle=1-1&offset=0_0`,
          "/v1/shape",
          "/v1/shape?table=nope&offset=-1",
          `${shape}&offset=-1&subset__limit=1`,
          `${shape}&offset=-1&subset__where=`,
          `${shape}&offset=-1&where=x`,
          "/v1/shape?a=%FF"
        ]) {
          yield* ask(url)
          yield* ask(url, { method: "HEAD" })
          yield* ask(url, { method: "POST", body: "{" })
          yield* ask(url, { method: "POST", body: "{}" })
          assert.deepStrictEqual(yield* running, [0, 0], url)
        }
        yield* ask(`${shape}&offset=-1`, { method: "POST", body: " ".repeat(8_000_001) })
        assert.deepStrictEqual(yield* running, [0, 0], "body too large")

        store.creationFails = new SnapshotFailed({ kind: "unexpected", message: "x" })
        yield* ask(`${shape}&offset=-1&replica=full`)
        const { getOrCreate } = store.registry
        Object.assign(store.registry, { getOrCreate: () => Effect.die(new Error("bug")) })
        assert.strictEqual((yield* ask(`${shape}&offset=-1&replica=full`)).status, 500)
        Object.assign(store.registry, { getOrCreate: () => Effect.never })
        const creating = yield* start(`${shape}&offset=-1&replica=full`)
        assert.deepStrictEqual(yield* running, [1, 0])
        yield* Fiber.interrupt(creating)
        assert.deepStrictEqual(yield* running, [0, 0], "left while the shape was made")
        Object.assign(store.registry, { getOrCreate })

        const leaving = yield* start(`${known}&offset=0_inf&live=true`)
        assert.deepStrictEqual(yield* running, [0, 1])
        yield* Fiber.interrupt(leaving)
        assert.deepStrictEqual(yield* running, [0, 0], "left while held")
        const held = yield* start(`${known}&offset=0_inf&live=true`)
        yield* TestClock.adjust("20 seconds")
        yield* Fiber.join(held)
        const ahead = yield* start(`${known}&offset=999_0`)
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(ahead)
        const dropped = yield* start(`${known}&offset=0_inf&live=true`)
        store.drop(handle)
        yield* Fiber.join(dropped)
        assert.deepStrictEqual(yield* running, [0, 0])
      })
    )
  )

  it.effect("does not count health, preflights and unknown routes", () =>
    withApi({ initial: 1, existing: 1 }, () =>
      Effect.gen(function* () {
        const api = yield* ShapeApi
        const scope = yield* Scope.make()
        for (const [method, target] of [
          ["GET", "/v1/health"],
          ["OPTIONS", "/v1/shape"],
          ["PUT", "/v1/shape"],
          ["DELETE", "/v1/shape?handle=x"]
        ] as const)
          yield* wholeReply(api.handle(requestOf(target, { method }))).pipe(
            Effect.provideService(Scope.Scope, scope)
          )
        assert.deepStrictEqual(yield* running, [0, 0])
      })
    )
  )
})
