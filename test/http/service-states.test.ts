import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { HealthRef } from "../../src/health/HealthRef.ts"
import type { HealthEvent } from "../../src/health/HealthState.ts"
import { NotActive } from "../../src/registry/ShapeRegistry.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type Asked, type HarnessOptions } from "./support/harness.ts"

const shape = "/v1/shape?table=items"
const newShape = `${shape}&offset=-1&replica=full`
const notActive = new NotActive({ why: "waiting", message: "not active" })

const start = (url: string, asked?: Asked) => Effect.forkChild(ask(url, asked), { startImmediately: true })
const send = (...events: ReadonlyArray<HealthEvent>) =>
  Effect.gen(function* () {
    const health = yield* HealthRef
    for (const event of events) yield* health.send(event)
  })

/** An instance that has made one shape while it was active. */
const withShape = <E, R>(
  body: (store: FakeStore, handle: string) => Effect.Effect<void, E, R>,
  options: HarnessOptions = {}
) => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    const handle = (yield* ask(`${shape}&offset=-1`)).header("electric-handle") ?? ""
    yield* body(store, handle)
  }).pipe(Effect.provide(apiLayer(store, options)))
}

const serves = (handle: string) =>
  Effect.gen(function* () {
    assert.strictEqual((yield* ask(`${shape}&offset=-1`)).status, 200)
    assert.strictEqual((yield* ask(`${shape}&handle=${handle}&offset=0_0`)).status, 200)
    assert.strictEqual((yield* ask(`${shape}&offset=now`)).status, 200)
    assert.strictEqual((yield* ask(`${shape}&handle=1-1&offset=0_0`)).status, 409)
    assert.strictEqual((yield* ask("/v1/shape?offset=-1")).status, 400)
  })

describe("existing shapes are served", () => {
  const states: ReadonlyArray<readonly [string, ReadonlyArray<HealthEvent>, number, string]> = [
    ["active", [], 200, "active"],
    ["waiting, after the lock was lost", ["lockLost"], 202, "waiting"],
    ["taking over", ["lockLost", "lockGranted"], 202, "starting"],
    ["without the database", ["databaseDown"], 202, "waiting"],
    ["releasing the lock", ["shutdown"], 503, "stopping"],
    ["draining", ["shutdown", "lockReleased"], 503, "stopping"]
  ]
  for (const [name, events, status, text] of states)
    it.effect(name, () =>
      withShape((store, handle) =>
        Effect.gen(function* () {
          yield* send(...events)
          if (events.length > 0) store.creationFails = notActive
          yield* serves(handle)
          const health = yield* ask("/v1/health")
          assert.deepStrictEqual([health.status, health.json()], [status, { status: text }])
        })
      )
    )

  for (const [name, events] of states)
    it.effect(`${name}: a long poll that ends then claims no more than was read, and is gone on from`, () =>
      withShape((store, handle) =>
        Effect.gen(function* () {
          store.append(handle, 500n, ['{"headers":{"n":1}}'])
          const url = `${shape}&handle=${handle}&live=true&offset=`
          const held = yield* start(`${url}500_0`)
          yield* TestClock.adjust("19 seconds")
          yield* send(...events)
          assert.strictEqual(store.waiting, 1, "it waits on: somebody may write what it waits for")
          yield* TestClock.adjust("1 second")
          const { header, status, text } = yield* Fiber.join(held)
          assert.deepStrictEqual(
            [status, header("electric-offset"), text],
            [200, "500_0", '[{"headers":{"control":"up-to-date","global_last_seen_lsn":"500"}}]']
          )
          // Committed while nothing was read, and read from the successor's journal after that.
          store.append(handle, 600n, ['{"headers":{"n":2}}'])
          assert.include((yield* ask(`${url}500_0`)).text, '{"headers":{"n":2}}')
        })
      )
    )

  it.effect("when the catalogue cannot be asked, by what is stored with them", () => {
    const store = new FakeStore()
    return Effect.gen(function* () {
      yield* activate
      const handle = (yield* ask(`${shape}&offset=-1&columns=id,name`)).header("electric-handle") ?? ""
      store.catalogueDown = true
      // Another spelling, so that nothing remembered helps.
      const read = (query: string) => ask(`/v1/shape?table=public.items&handle=${handle}&offset=0_0${query}`)
      assert.strictEqual((yield* read("&columns=name,id")).status, 200)
      assert.strictEqual((yield* read('&columns="id",name&live=false')).status, 200)
      for (const query of [
        "",
        "&columns=id",
        "&columns=id,name&replica=full",
        "&columns=id,name&log=changes_only",
        "&columns=id,name&where=true"
      ]) {
        const received = yield* read(query)
        assert.strictEqual(received.status, 503, query)
        assert.strictEqual(received.header("retry-after"), "1")
        assert.deepStrictEqual(received.json(), {
          message: "Cannot connect to the database to verify the shape. Please try again later."
        })
      }
      assert.strictEqual((yield* ask(`/v1/shape?table=nopk&handle=${handle}&offset=0_0`)).status, 503)
      assert.strictEqual(
        (yield* ask(`/v1/shape?table=items&handle=${handle}&offset=0_0&columns=id,`)).status,
        400
      )
    }).pipe(Effect.provide(apiLayer(store)))
  })

  it.effect("what was resolved before is remembered while the catalogue cannot be asked", () =>
    withShape((store, handle) =>
      Effect.gen(function* () {
        store.catalogueDown = true
        store.creationFails = notActive
        yield* serves(handle)
      })
    )
  )
})

describe("a new shape", () => {
  it.effect("waits five seconds for activation, then 503", () =>
    withShape((store) =>
      Effect.gen(function* () {
        yield* send("lockLost")
        store.creationFails = notActive
        const held = yield* start(newShape)
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(held.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const received = yield* Fiber.join(held)
        assert.strictEqual(received.status, 503)
        assert.deepStrictEqual(received.json(), { message: "Timeout waiting for Postgres lock acquisition" })
        assert.strictEqual(received.header("retry-after"), "5")
        assert.strictEqual(received.header("cache-control"), "no-store")
        assert.isUndefined(received.header("electric-internal-known-error"))
      })
    )
  )

  const reasons: ReadonlyArray<
    readonly [string, ReadonlyArray<HealthEvent>, NotActive["why"], boolean, RegExp, string]
  > = [
    ["the lock", ["lockLost"], "waiting", false, /^Timeout waiting for Postgres lock acquisition$/, "5"],
    ["the database", ["databaseDown"], "waiting", false, /acquisition: the database is out of reach$/, "5"],
    [
      "the stream",
      ["lockLost", "lockGranted"],
      "waiting",
      false,
      /^Timeout waiting for replication client/,
      "5"
    ],
    ["storage", ["storageFailed"], "waiting", false, /^Storage cannot be written/, "10"],
    ["an operator", ["lockLost"], "waiting", true, /^This instance cannot become active.*the log says/, "10"],
    ["what another instance took", [], "notDurable", false, /^Another instance has taken over/, "1"],
    [
      "another one's first rows",
      ["lockLost"],
      "notReadable",
      false,
      /^Timeout waiting for the first rows/,
      "5"
    ],
    [
      "the main process",
      ["lockLost"],
      "silent",
      false,
      /^The process of this instance .* does not answer$/,
      "5"
    ]
  ]
  for (const [name, events, why, hasFailed, text, retryAfter] of reasons)
    it.effect(`that could not be made says what it waited for: ${name}`, () =>
      withShape(
        (store, handle) =>
          Effect.gen(function* () {
            yield* send(...events)
            if (hasFailed) yield* (yield* HealthRef).setFailure("a secret of the operator")
            store.creationFails = new NotActive({ why, message: "not for clients" })
            const asked = [
              yield* start(newShape),
              yield* start(`/v1/shape?handle=${handle}`, { method: "DELETE" })
            ]
            yield* TestClock.adjust("6 seconds")
            for (const one of asked) {
              const { header, json, status } = yield* Fiber.join(one)
              assert.strictEqual(status, 503)
              // Deleting waits for the state alone, and is not even tried before.
              if (one !== asked[0] && events.length > 0 && why !== "waiting") continue
              assert.match((json() as { message: string }).message, text)
              assert.strictEqual(header("retry-after"), retryAfter)
            }
          }),
        { config: { allowShapeDeletion: true } }
      )
    )

  it.effect("is made as soon as the instance is active", () =>
    withShape((store) =>
      Effect.gen(function* () {
        yield* send("lockLost")
        store.creationFails = notActive
        const held = yield* start(newShape)
        yield* TestClock.adjust("2 seconds")
        store.creationFails = undefined
        yield* send("lockGranted", "streamStarted")
        assert.strictEqual((yield* Fiber.join(held)).status, 200)
      })
    )
  )

  it.effect("is served when another instance made it meanwhile", () =>
    withShape((store, handle) =>
      Effect.gen(function* () {
        yield* send("lockLost")
        store.creationFails = notActive
        const held = yield* start(newShape)
        const definition = store.shapes.get(handle)?.shape.definition
        assert.isDefined(definition)
        store.create({ ...definition, replica: "full" })
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* Fiber.join(held)).status, 200)
      })
    )
  )

  it.effect("is waited for while its first rows are not readable yet", () =>
    withShape((store, handle) =>
      Effect.gen(function* () {
        const stored = store.shapes.get(handle)
        assert.isDefined(stored)
        stored.readable = false
        store.creationFails = notActive
        yield* send("lockLost")
        const held = yield* start(`${shape}&offset=-1`)
        yield* TestClock.adjust("1 seconds")
        assert.isUndefined(held.pollUnsafe())
        stored.readable = true
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* Fiber.join(held)).header("electric-handle"), handle)
      })
    )
  )

  it.effect("is sent elsewhere at once by an instance that is shutting down", () =>
    withShape((store) =>
      Effect.gen(function* () {
        yield* send("shutdown", "lockReleased")
        store.creationFails = notActive
        const received = yield* ask(newShape)
        assert.strictEqual(received.status, 503)
        assert.strictEqual(received.header("retry-after"), "1")
      })
    )
  )
})

describe("while storage is being loaded", () => {
  it.effect("requests wait up to five seconds", () => {
    const store = new FakeStore()
    return Effect.gen(function* () {
      const held = yield* start(`${shape}&offset=-1`)
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(held.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const received = yield* Fiber.join(held)
      assert.strictEqual(received.status, 503)
      assert.deepStrictEqual(received.json(), { message: "Timeout waiting for shape metadata to be loaded" })
      assert.strictEqual(received.header("retry-after"), "5")
      const second = yield* start(`${shape}&offset=-1`)
      yield* activate
      assert.strictEqual((yield* Fiber.join(second)).status, 200)
      assert.strictEqual((yield* ask("/v1/health")).status, 200)
    }).pipe(Effect.provide(apiLayer(store)))
  })
})

describe("an instance asleep", () => {
  it.effect("is woken by a request, and serves what it has when the database does not come back", () =>
    withShape(() =>
      Effect.gen(function* () {
        yield* send("slept")
        assert.strictEqual((yield* ask("/v1/health")).status, 200)
        const held = yield* start(`${shape}&offset=-1`)
        const health = yield* HealthRef
        assert.strictEqual(health.current(), "waiting")
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(held)).status, 200)
      })
    )
  )
})

const remove = (query: string) => ask(`/v1/shape?${query}`, { method: "DELETE" })

describe("DELETE", () => {
  const mismatch = {
    message:
      "The specified shape definition and handle do not match. Please ensure the shape definition is correct or omit the shape handle from the request to obtain a new one."
  }
  it.effect("is not allowed unless the configuration says so", () =>
    withShape((store, handle) =>
      Effect.gen(function* () {
        const received = yield* remove(`handle=${handle}`)
        assert.strictEqual(received.status, 405)
        assert.deepStrictEqual(received.json(), { message: "DELETE not allowed" })
        assert.strictEqual(received.header("cache-control"), "no-cache")
        assert.strictEqual(store.shapes.size, 1)
      })
    )
  )

  it.effect("drops by definition, by handle, and by both", () =>
    withShape(
      (store, handle) =>
        Effect.gen(function* () {
          const other = (yield* ask(newShape)).header("electric-handle") ?? ""
          for (const [query, status, body] of [
            [
              "",
              400,
              {
                message: "Invalid request",
                errors: { handle: ["can't be blank when shape definition is missing"] }
              }
            ],
            ["table=nope", 400, undefined],
            [
              `table=items&handle=${handle}&live=banana`,
              400,
              { message: "Invalid request", errors: { live: ["is invalid"] } }
            ],
            [`table=items&handle=${other}`, 400, mismatch],
            ["table=items&handle=1-1", 400, mismatch],
            [`table=nopk&handle=${handle}`, 404, { message: "No existing shape found" }],
            [`table=items&columns=id&handle=${handle}`, 404, { message: "No existing shape found" }],
            ["handle=1-1", 404, { message: "No existing shape found" }],
            ["table=nopk", 404, { message: "No existing shape found" }]
          ] as const) {
            const received = yield* remove(query)
            assert.strictEqual(received.status, status, query)
            if (body !== undefined) assert.deepStrictEqual(received.json(), body)
          }
          assert.strictEqual(store.shapes.size, 2)
          const done = yield* remove(`table=items&handle=${handle}`)
          assert.deepStrictEqual(
            [done.status, done.text, done.header("electric-has-data")],
            [202, "", "true"]
          )
          assert.strictEqual(done.header("cache-control"), "no-cache")
          assert.strictEqual((yield* remove(`handle=${other}`)).status, 202)
          assert.strictEqual((yield* remove("table=items")).status, 404)
          assert.strictEqual(store.shapes.size, 0)
          assert.strictEqual((yield* ask(`${shape}&handle=${handle}&offset=0_0`)).status, 409)
        }),
      { config: { allowShapeDeletion: true } }
    )
  )

  it.effect("waits for activation like a new shape", () =>
    withShape(
      (_store, handle) =>
        Effect.gen(function* () {
          yield* send("lockLost")
          const held = yield* start(`/v1/shape?handle=${handle}`, { method: "DELETE" })
          yield* TestClock.adjust("5 seconds")
          const received = yield* Fiber.join(held)
          assert.strictEqual(received.status, 503)
          assert.strictEqual(received.header("cache-control"), "no-cache")
          assert.strictEqual(received.header("retry-after"), "5")
        }),
      { config: { allowShapeDeletion: true } }
    )
  )
})
