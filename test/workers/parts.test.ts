import { assert, describe, it } from "@effect/vitest"
import { createServer, type AddressInfo, type Server } from "node:net"
import { Deferred, Effect, Exit, Fiber, Logger, Redacted, SubscriptionRef } from "effect"
import { TestClock } from "effect/testing"
import { afterEach, beforeEach, vi } from "vitest"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import { shareSnapshotPool } from "../../src/postgres/connection/Pools.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { StorageUnusable } from "../../src/storage/StorageUnusable.ts"
import { loadPatiently } from "../../src/workers/LoadPatiently.ts"
import { unreadableMillis } from "../../src/workers/WorkerTimings.ts"
import { MainLink } from "../../src/workers/MainLink.ts"
import { configOfPlain, plainConfig } from "../../src/workers/PlainConfig.ts"
import type { ToMain } from "../../src/workers/WorkerProtocol.ts"
import { portIsFree } from "../../src/workers/PortIsFree.ts"
import { restartDelayMillis } from "../../src/workers/RestartPolicy.ts"
import { makeFreshLook } from "../../src/shared/Coalesce.ts"

const configOf = (env: Readonly<Record<string, string>>) => {
  const parsed = parseConfig({
    DATABASE_URL: "postgresql://me:hunter2@db/x",
    ELECTRIC_SECRET: "s3cr3t",
    ...env
  })
  if (parsed._tag !== "Success" || parsed.success._tag !== "Complete") return assert.fail("does not parse")
  return parsed.success.config
}

describe("storage that a worker cannot read", () => {
  it.effect("is tried again, each time with a word about it, until it can be read", () => {
    const said: Array<string> = []
    const logger = Logger.make<unknown, void>(
      ({ logLevel, message }) => void said.push(`${logLevel} ${String(message)}`)
    )
    let asked = 0
    const load = Effect.suspend(() =>
      ++asked < 4
        ? Effect.fail(
            new StorageUnusable({
              reason: "cannotRead",
              cause: undefined,
              message: `Cannot read it (${asked}).`
            })
          )
        : Effect.void
    )
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(loadPatiently(load), { startImmediately: true })
      for (let times = 1; times <= 3; times++) {
        assert.strictEqual(asked, times)
        assert.lengthOf(said, times)
        assert.include(
          said[times - 1],
          `Error Cannot read it (${times}). This HTTP worker answers nothing until then`
        )
        yield* TestClock.adjust(unreadableMillis - 1)
        assert.strictEqual(asked, times, "not sooner")
        yield* TestClock.adjust(1)
      }
      yield* Fiber.join(fiber)
      assert.strictEqual(asked, 4)
      assert.lengthOf(said, 3)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })
})

describe("the configuration of a worker", () => {
  it("is that of the main process, secrets included, and survives the way there", () => {
    const config = configOf({ ELECTRIC_POOLED_DATABASE_URL: "postgresql://me:hunter3@pool/x" })
    const received = configOfPlain(
      structuredClone(plainConfig(config, 4711, storagePaths("/data", "default")))
    )
    assert.deepStrictEqual({ ...received, port: config.port }, config)
    assert.strictEqual(received.port, 4711)
    assert.strictEqual(received.database.password && Redacted.value(received.database.password), "hunter2")
    assert.notMatch(JSON.stringify(received), /hunter|s3cr3t/)
  })

  it("names the directory that the main process keeps its memory in, which is not the worker's to remove", () => {
    const paths = storagePaths("/dev/shm/baton-x", "default")
    const config = configOf({ ELECTRIC_STORAGE: "MEMORY", ELECTRIC_SHAPE_DB_STORAGE_DIR: "/elsewhere" })
    const received = configOfPlain(plainConfig(config, 1, paths))
    assert.strictEqual(received.storage, "file")
    assert.deepStrictEqual(storagePaths(received.storageDir, received.replicationStreamId), paths)
    assert.isUndefined(received.shapeDbStorageDir)
  })

  it("names the directory that the main process has taken for itself, beside a bucket", () => {
    const paths = storagePaths("/data", "default", undefined, undefined, "mirror-3")
    const received = configOfPlain(plainConfig(configOf({ ELECTRIC_STORAGE_DIR: "/data" }), 1, paths))
    const { replicationStreamId, storageDir, storageMirror } = received
    assert.strictEqual(paths.root, "/data/default/mirror-3/v2")
    assert.deepStrictEqual(
      storagePaths(storageDir, replicationStreamId, undefined, undefined, storageMirror),
      paths
    )
  })

  it("leaves the main process at least half of the connections for snapshots, and exceeds nothing", () => {
    assert.deepStrictEqual(shareSnapshotPool(20, 0), { main: 16, worker: 0 })
    for (const total of [4, 8, 20, 100])
      for (const workers of [1, 2, 4]) {
        const { snapshot } = { snapshot: shareSnapshotPool(total, 0).main }
        const { main, worker } = shareSnapshotPool(total, workers)
        assert.isAtLeast(worker, 1)
        if (snapshot >= 2 * workers) {
          assert.isAtMost(main + worker * workers, snapshot)
          assert.isAtLeast(main, snapshot / 2)
        }
      }
  })
})

const listen = (port: number, reusePort: boolean) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer()
      server.listen({ port, host: "127.0.0.1", reusePort }, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )
const check = (port: number) =>
  portIsFree({ ...configOf({}), listenHost: "127.0.0.1", port }, 200).pipe(
    Effect.match({ onFailure: ({ message }) => message, onSuccess: () => "free" })
  )
const portOf = (server: Server) => (server.address() as AddressInfo).port

describe("a port that is to be shared", () => {
  it.live("is not one that another service listens on, even if that one shares it too", () =>
    Effect.gen(function* () {
      for (const reusePort of [false, true]) {
        const port = portOf(yield* listen(0, reusePort))
        assert.match(yield* check(port), /another process listens there already/)
      }
      assert.strictEqual(yield* check(0), "free")
    })
  )

  it.live("may be left by the processes of a service that was killed, a moment later", () =>
    Effect.gen(function* () {
      const server = yield* listen(0, true)
      const asked = yield* Effect.forkChild(check(portOf(server)), { startImmediately: true })
      yield* Effect.sleep(60)
      server.close()
      assert.strictEqual(yield* Fiber.join(asked), "free")
    })
  )
})

describe("a worker that ends", () => {
  it("is started again soon, and later each time that it ends soon", () => {
    const delays: Array<number> = []
    let delay = 0
    for (let i = 0; i < 10; i++) delays.push((delay = restartDelayMillis(delay, 50)))
    assert.deepStrictEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000])
    assert.strictEqual(restartDelayMillis(10_000, 60_000), 100)
  })
})

describe("what many clients have settled", () => {
  it.effect("one at a time; a caller gets one that began after it asked, shared with others", () =>
    Effect.gen(function* () {
      const rounds: Array<Deferred.Deferred<void>> = []
      const ask = makeFreshLook(
        Effect.suspend(() => {
          const round = Deferred.makeUnsafe<void>()
          rounds.push(round)
          return Deferred.await(round)
        })
      )
      const start = () => Effect.forkChild(ask, { startImmediately: true })
      const end = (i: number) => Deferred.succeed(rounds[i] ?? assert.fail(), undefined)
      const first = yield* start()
      const second = yield* start()
      const third = yield* start()
      assert.lengthOf(rounds, 1)
      // A client that goes away leaves the round to the others.
      yield* Fiber.interrupt(second)
      yield* end(0)
      yield* Fiber.join(first)
      yield* Effect.yieldNow
      assert.lengthOf(rounds, 2)
      assert.isUndefined(third.pollUnsafe())
      yield* end(1)
      yield* Fiber.join(third)
      const fourth = yield* start()
      assert.lengthOf(rounds, 3)
      yield* end(2)
      yield* Fiber.join(fourth)
    })
  )
})

describe("a main process", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] }))
  afterEach(() => void vi.useRealTimers())

  it("that is silent fails what it was asked, and is taken for one that waits until it is heard of again", async () => {
    const sent: Array<ToMain> = []
    const link = new MainLink("active", (message) => void sent.push(message))
    const state = () => SubscriptionRef.getUnsafe(link.state)
    const asked = Effect.runFork(link.ask({ _tag: "Settle" }))
    vi.advanceTimersByTime(4000)
    link.receive({ _tag: "State", state: "active" })
    vi.advanceTimersByTime(4000)
    assert.deepStrictEqual([state(), asked.pollUnsafe()], ["active", undefined])
    vi.advanceTimersByTime(3000)
    assert.strictEqual(state(), "waiting")
    assert.isTrue(Exit.isFailure(await Effect.runPromise(Fiber.await(asked))))
    link.receive({ _tag: "State", state: "active" })
    assert.strictEqual(state(), "active")
  })

  it("answers questions in any order; what it says early is not lost", async () => {
    const sent: Array<ToMain> = []
    const link = new MainLink("waiting", (message) => void sent.push(message))
    const told: Array<string> = []
    link.receive({ _tag: "TableChanged", oid: 7 })
    link.receive({ _tag: "Dropped", ids: Uint32Array.of(1, 2) })
    link.listen({
      tableChanged: (oid) => void told.push(`table ${oid}`),
      dropped: (ids) => void told.push(`dropped ${[...ids].join()}`),
      drain: () => void told.push("drain"),
      expire: () => void told.push("expire"),
      report: (id) => void told.push(`report ${id}`),
      readers: (id) => void told.push(`readers ${id}`)
    })
    link.receive({ _tag: "Drain" })
    link.receive({ _tag: "Expire" })
    assert.deepStrictEqual(told, ["table 7", "dropped 1,2", "drain", "expire"])
    const drop = Effect.runPromise(link.ask({ _tag: "Drop", handle: "1-2", reason: "" }))
    const settle = Effect.runPromise(link.ask({ _tag: "Settle" }))
    const ids = sent.flatMap((message) => (message._tag === "Ask" ? [message.id] : []))
    link.receive({ _tag: "Answer", id: ids[1] ?? -1, answer: { _tag: "Settled", isAll: true } })
    link.receive({ _tag: "Answer", id: ids[0] ?? -1, answer: { _tag: "Dropped", found: true } })
    assert.deepStrictEqual(await Promise.all([drop, settle]), [
      { _tag: "Dropped", found: true },
      { _tag: "Settled", isAll: true }
    ])
  })
})
