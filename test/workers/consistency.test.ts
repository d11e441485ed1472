import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, type Scope } from "effect"
import { Config } from "../../src/config/BatonConfig.ts"
import { Conditions } from "../../src/http/shape/Conditions.ts"
import { ShapeApi } from "../../src/http/shape/ShapeApi.ts"
import { Inspector } from "../../src/postgres/catalogue/Inspector.ts"
import type { AdminPool } from "../../src/postgres/connection/Pools.ts"
import { SubsetReader, SubsetUnavailable } from "../../src/registry/subset/SubsetReader.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { identityDigest } from "../../src/storage/state/IdentityDigest.ts"
import { fromDisk } from "../../src/storage/disk/DiskFault.ts"
import { levelStatus } from "../../src/storage/levels/LevelStatus.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { shapeLogsLayer } from "../../src/storage/ShapeLogsLive.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { announceDropped } from "../../src/workers/AnnounceDropped.ts"
import { answerWorker, type MainServices } from "../../src/workers/AnswerWorker.ts"
import { listenToMain } from "../../src/workers/ListenToMain.ts"
import { Main, MainLink } from "../../src/workers/MainLink.ts"
import { remoteHealth, remoteRegistry } from "../../src/workers/RemoteServices.ts"
import { ask, table, testConfig } from "../http/support/harness.ts"
import { createShape, engineAt, temporaryDirectory, withoutRounds } from "../storage/support.ts"

/**
 * The main process's storage, and a worker that follows it but never looks at the journal by itself: whatever it gets
 * right it got right because it asked.
 */
const world = Effect.gen(function* () {
  const directory = temporaryDirectory()
  const main = engineAt(directory)
  const worker = engineAt(directory, { timers: withoutRounds })
  yield* Effect.promise(async () => {
    await main.takeOver()
    await worker.load()
    worker.follow()
  })

  const services: MainServices = {
    engine: main,
    admin: {} as AdminPool["Service"],
    operator: undefined,
    registry: {
      getOrCreate: (definition) =>
        Effect.promise(async () => {
          const known = main.store.byIdentity(identityDigest(definition))
          if (known !== undefined) return known
          const made = createFrom(main, definition)
          await main.writer?.durable()
          return made
        }),
      drop: (handle, reason) =>
        Effect.sync(() => {
          const shape = main.store.byHandle(handle)
          if (shape === undefined) return false
          main.writing?.write({ t: "dropped", ids: [shape.id], reason })
          return true
        }),
      touch: () => {},
      settle: Effect.succeed(true)
    }
  }
  const link: MainLink = new MainLink("active", (message) => {
    if (message._tag !== "Ask") return
    const { id, question } = message
    void Effect.runPromise(answerWorker(services, question).pipe(Effect.provide(Logger.layer([])))).then(
      (answer) => link.receive({ _tag: "Answer", id, answer })
    )
  })
  const invalidated: Array<number> = []
  listenToMain(
    link,
    worker,
    { invalidate: (oid) => void invalidated.push(oid) },
    {
      drain: () => {},
      expire: () => {},
      report: () => {}
    }
  )
  const api = ShapeApi.layer().pipe(
    Layer.provide(shapeLogsLayer),
    Layer.provide(remoteRegistry),
    Layer.provide(
      Layer.mergeAll(
        Conditions.layerNone,
        Layer.succeed(Config, testConfig({ allowShapeDeletion: true })),
        Layer.succeed(Storage, {
          engine: worker,
          load: Effect.void,
          loadToRead: Effect.void,
          writerUrl: () => undefined,
          level: fromDisk(() => levelStatus(worker.paths, worker.store.level))
        }),
        Layer.succeed(SubsetReader, {
          read: () => Effect.fail(new SubsetUnavailable({ message: "none here" }))
        }),
        Layer.mock(Inspector)({
          table: () => Effect.succeed(items),
          whyAbsent: () => Effect.succeed(undefined),
          tableNow: () => Effect.succeed(items),
          remembered: () => items,
          rememberedByOid: () => items,
          all: () => [items],
          restore: () => {},
          isFresh: () => true,
          invalidate: (oid) => void invalidated.push(oid),
          serverVersionNum: () => 180_000
        }),
        remoteHealth.pipe(Layer.provide(Layer.succeed(Main, link)))
      )
    ),
    Layer.provide(Layer.succeed(Main, link))
  )
  const context = yield* Layer.build(api)
  const request = (target: string, method = "GET") =>
    Effect.provideContext(ask(`/v1/shape?table=items${target}`, { method }), context)
  return { main, worker, link, request, invalidated, services }
})

const items = table("items", ["id", "name"], ["id"])

const createFrom = (engine: StorageEngine, definition: ShapeDefinition) => {
  const id = engine.store.nextId
  // The same empty snapshot as `createShape` makes, for another definition.
  const made = createShape(engine, "other")
  engine.writing?.write({ t: "dropped", ids: [made.id], reason: "only its snapshot was wanted" })
  const handle = `${id + 1}-${2000 + id}`
  engine.writing?.write({ t: "created", id: id + 1, handle, definition, atMillis: 1 })
  engine.writing?.write({ t: "visible", id: id + 1, visibility: { xmin: "1", xmax: "1", xipList: [] } })
  engine.writing?.write({ t: "complete", id: id + 1, chunks: 0 })
  const shape = engine.store.get(id + 1)
  if (shape === undefined) throw new Error("not created")
  return shape
}

const live = <A, E>(name: string, effect: Effect.Effect<A, E, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(effect))

describe("a worker that has not looked at the journal yet", () => {
  live(
    "serves a shape that it had made, and one that a client got from another process",
    Effect.gen(function* () {
      const { main, worker, request } = yield* world
      const made = yield* request("&offset=now")
      assert.strictEqual(made.status, 200, made.text)
      const handle = made.header("electric-handle") ?? ""
      assert.isDefined(main.store.byHandle(handle))

      // The main process has rotated the shape, and a client comes from there.
      const definition = main.store.byHandle(handle)?.definition ?? assert.fail()
      main.writing?.write({ t: "dropped", ids: [main.store.byHandle(handle)?.id ?? 0], reason: "test" })
      const next = createFrom(main, definition)
      assert.isDefined(worker.store.byHandle(handle), "the worker does not know")
      const continued = yield* request(`&offset=0_inf&handle=${next.handle}`)
      assert.deepStrictEqual([continued.status, continued.header("electric-handle")], [200, next.handle])
      const old = yield* request(`&offset=0_inf&handle=${handle}`)
      assert.deepStrictEqual([old.status, old.header("electric-handle")], [409, next.handle])
    })
  )

  live(
    "is told by the main process whether that knows all that the one before may have told clients",
    Effect.gen(function* () {
      const { main, services } = yield* world
      const settled = Effect.provide(answerWorker(services, { _tag: "Settle" }), Logger.layer([]))
      const knowsAll = Effect.map(settled, (answer) => answer._tag === "Settled" && answer.isAll)
      assert.isFalse(yield* knowsAll, "before the slot was looked at")
      main.toldLsn = 500n
      main.processedLsn = 499n
      assert.isFalse(yield* knowsAll, "before the stream has come so far")
      main.processedLsn = 500n
      assert.isTrue(yield* knowsAll)
      main.writing?.write({ t: "behind", lsn: "400" })
      assert.isFalse(yield* knowsAll, "while shapes with sub-selects are behind")
      main.writing?.write({ t: "behind", lsn: null })
      yield* Effect.promise(() => main.release(1000))
      assert.isFalse(yield* knowsAll, "when another one writes")
    })
  )

  live(
    "drops a shape that it does not know",
    Effect.gen(function* () {
      const { main, request } = yield* world
      const made = yield* request("&offset=now")
      const before = main.store.byHandle(made.header("electric-handle") ?? "") ?? assert.fail()
      main.writing?.write({ t: "dropped", ids: [before.id], reason: "test" })
      const next = createFrom(main, before.definition)
      const dropped = yield* request(`&handle=${next.handle}`, "DELETE")
      assert.strictEqual(dropped.status, 202, dropped.text)
      assert.isUndefined(main.store.byHandle(next.handle))
      assert.strictEqual((yield* request(`&handle=${next.handle}`, "DELETE")).status, 404)
    })
  )

  live(
    "learns at once of what the main process drops: requests that wait for it end, and its table is looked at again",
    Effect.gen(function* () {
      const { main, worker, link, request, invalidated } = yield* world
      const told: Array<ReadonlyArray<number>> = []
      yield* announceDropped(main, (ids) => {
        told.push([...ids])
        link.receive({ _tag: "Dropped", ids: structuredClone(ids) })
      })
      const made = yield* request("&offset=now")
      const handle = made.header("electric-handle") ?? ""
      const shape = main.store.byHandle(handle) ?? assert.fail()
      const held = yield* Effect.forkChild(request(`&offset=0_inf&handle=${handle}&live=true`), {
        startImmediately: true
      })
      told.length = 0
      const other = createShape(main, "another")
      main.writing?.write({ t: "dropped", ids: [shape.id, other.id], reason: "test" })
      const answer = yield* Fiber.join(held)
      assert.strictEqual(answer.status, 409)
      assert.deepStrictEqual(told, [[shape.id, other.id]], "in one message")
      assert.isUndefined(worker.store.byHandle(handle))
      yield* Effect.sleep(1)
      assert.include(invalidated, items.oid)
      link.receive({ _tag: "TableChanged", oid: 4711 })
      assert.include(invalidated, 4711)
    })
  )

  live(
    "is told nothing by an instance that only follows: it reads the same journal",
    Effect.gen(function* () {
      const { main, worker } = yield* world
      const told: Array<Uint32Array> = []
      yield* announceDropped(worker, (ids) => void told.push(ids))
      const shape = createShape(main, "followed")
      main.writing?.write({ t: "dropped", ids: [shape.id], reason: "test" })
      yield* Effect.promise(async () => main.writer?.durable())
      yield* Effect.promise(() => worker.catchUp())
      assert.deepStrictEqual(told, [])
    })
  )

  live(
    "gives a client an answer when the main process stumbles, and no details",
    Effect.gen(function* () {
      const { request, services } = yield* world
      Object.assign(services.registry, { getOrCreate: () => Effect.die(new Error("a bug")) })
      const broken = yield* request("&offset=-1")
      assert.strictEqual(broken.status, 500)
      assert.notInclude(broken.text, "a bug")
    })
  )
})
