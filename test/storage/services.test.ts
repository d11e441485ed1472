import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { afterEach } from "vitest"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Journal } from "../../src/storage/Journal.ts"
import { ShapeMeta } from "../../src/storage/ShapeMetaService.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import * as SqliteClient from "../../src/storage/checkpoint/SqliteClient.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import { createShape, definitionOf, engineAt, temporaryDirectory } from "./support.ts"

const directories: Array<string> = []
const directory = (): string => {
  const path = temporaryDirectory()
  directories.push(path)
  return path
}
afterEach(() => {
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true })
})

const storageAt = (path: string) =>
  Layer.effect(
    Storage,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => engineAt(path)),
        (engine) => Effect.promise(() => engine.close())
      ),
      (engine) => Storage.of({ engine, load: Effect.promise(() => engine.load()) })
    )
  )

it.live("Journal: one instance writes at a time, and the one before finds itself fenced off", () => {
  const path = directory()
  const instance = () => Layer.provideMerge(Journal.layer, storageAt(path))
  return Effect.gen(function* () {
    const journal = yield* Journal
    const { engine, load } = yield* Storage
    yield* load
    assert.isUndefined(journal.epoch())
    assert.isTrue(yield* journal.isFenced)
    assert.isUndefined(yield* journal.takeOver(() => Promise.resolve(false)))
    assert.isUndefined(journal.epoch(), "nothing is taken over without the lock")
    assert.isDefined(yield* journal.takeOver())
    createShape(engine, "a")
    assert.isTrue(yield* journal.settled)
    assert.isAbove(journal.end()?.position ?? 0, 0)
    yield* Effect.gen(function* () {
      const successor = yield* Journal
      yield* (yield* Storage).load
      yield* successor.takeOver()
      assert.isAbove(successor.epoch() ?? 0, journal.epoch() ?? 0)
      assert.isTrue(yield* journal.isFenced)
      assert.isFalse(yield* journal.settled)
    }).pipe(Effect.provide(instance(), { local: true }))
    yield* journal.release(1000)
    assert.isUndefined(journal.epoch())
  }).pipe(Effect.scoped, Effect.provide(instance()))
})

const storeOf = () => new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1000 })
const settled = () => Promise.resolve(true)

it.live("ShapeMeta: what one epoch has written is what the next instance starts from", () => {
  const paths = storagePaths(directory(), "default")
  mkdirSync(paths.meta, { recursive: true })
  return Effect.gen(function* () {
    const meta = yield* ShapeMeta
    assert.isUndefined(yield* meta.load(storeOf(), 1000))
    const store = storeOf()
    store.create(1, "1-1", definitionOf("a"), 5)
    store.create(2, "2-2", definitionOf("b"), 5)
    const head = { epoch: 3, segment: 7, nextId: 3, lastCommitLsn: "100", positionLsn: "108", source: null }
    const writer = yield* meta.openWriter(3)
    assert.isTrue(yield* writer.write(store, head, settled))
    store.drop(2, "test")
    assert.isTrue(yield* writer.write(store, { ...head, segment: 8 }, settled))
    assert.isFalse(yield* writer.write(store, { ...head, segment: 9 }, () => Promise.resolve(false)))
    const loaded = storeOf()
    assert.deepStrictEqual(yield* meta.load(loaded, 1000), { ...head, segment: 8 })
    assert.deepStrictEqual(
      Array.from(loaded.all()).map((shape) => [shape.handle, shape.definition.table.name]),
      [["1-1", "a"]]
    )
    assert.deepStrictEqual(readdirSync(paths.meta), ["meta-00000003.sqlite", "names-00000003"])
  }).pipe(
    Effect.scoped,
    Effect.provide(ShapeMeta.layer({ paths, meta: { synchronous: "OFF", cacheBytes: 1 << 20 } }))
  )
})

it.live("SqliteClient: statements, transactions that roll back, big integers", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)`
    yield* sql`INSERT INTO t ${sql.insert([
      { id: 1, v: "a" },
      { id: 2, v: "b" }
    ])}`
    const failed = yield* Effect.exit(
      sql.withTransaction(
        Effect.andThen(sql`INSERT INTO t VALUES (3, 'c')`, sql`INSERT INTO t VALUES (4, 'a')`)
      )
    )
    assert.strictEqual(failed._tag, "Failure")
    assert.deepStrictEqual(
      (yield* sql<{ readonly v: string }>`SELECT v FROM t ORDER BY id`).map(({ v }) => v),
      ["a", "b"]
    )
    const [row] = yield* Effect.provideService(
      sql<{ readonly big: bigint }>`SELECT 9007199254740993 AS big`,
      SqlClient.SafeIntegers,
      true
    )
    assert.strictEqual(row?.big, 9007199254740993n)
  }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", journalMode: "DELETE" })))
)
