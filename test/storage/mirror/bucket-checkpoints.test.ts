import { assert, describe, it } from "@effect/vitest"
import { Effect, Scope } from "effect"
import { onTestFinished } from "vitest"
import { snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { walKey } from "../../../src/storage/chain/ChainObject.ts"
import { BucketDurability } from "../../../src/storage/durability/BucketDurability.ts"
import { listCheckpoints } from "../../../src/storage/mirror/CheckpointObject.ts"
import { Mirror } from "../../../src/storage/mirror/Mirror.ts"
import { restore } from "../../../src/storage/mirror/Restore.ts"
import type { ShapeHandle } from "../../../src/storage/ShapeLogs.ts"
import { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { Listeners } from "../../../src/shared/Listeners.ts"
import { systemTimers, type Timers } from "../../../src/shared/Timers.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { changes, createShape, maintenanceOf, readAll } from "../support.ts"
import { contextAt, numbered, scopeOfTest, write } from "./support.ts"

/** An instance on a bucket, filled from it; it follows what others write. */
const instanceOn = async (store: MemoryStore, timers: Timers) => {
  const context = await contextAt(store, { timers })
  await restore(context)
  const mirror = new Mirror({
    ...context,
    waiters: { count: 0, first: new Listeners<[]>() },
    onApplied: () => engine.lookNow(),
    removalDelayMillis: 0
  })
  const durability = new BucketDurability({ context, mirror, flushMillis: 1, url: "http://a" })
  const engine: StorageEngine = new StorageEngine({
    paths: context.paths,
    chunkBytesThreshold: 1500,
    segmentBytes: 1000,
    recentBytes: 1 << 20,
    durableWrites: false,
    durability,
    bucket: store,
    cacheBytes: 1 << 30,
    removeOnClose: false,
    run: (effect) => void Effect.runPromise(effect),
    timers
  })
  onTestFinished(async () => {
    await engine.close()
    await mirror.close()
  })
  await engine.load()
  engine.follow()
  const scope = scopeOfTest()
  const maintenance = maintenanceOf(engine)
  return {
    context,
    mirror,
    engine,
    tidy: () => Effect.runPromise(Scope.provide(maintenance.round(), scope))
  }
}

const logOf = async (engine: StorageEngine, shape: ShapeHandle): Promise<ReadonlyArray<string>> =>
  changes(await readAll(engine, shape, snapshotEnd))

describe("the checkpoints of a service in a bucket", () => {
  it("come with its housekeeping, and are enough to start from", async () => {
    let hours = 0
    const timers: Timers = { ...systemTimers, nowMillis: () => systemTimers.nowMillis() + hours * 3_600_000 }
    const store = new MemoryStore()
    const writer = await instanceOn(store, timers)
    await writer.engine.takeOver()
    const shape = createShape(writer.engine, "a")
    await write(writer.engine, [shape.id], 1, 5)
    await writer.tidy()
    assert.deepStrictEqual(await listCheckpoints(store), [], "too little")
    hours++
    await writer.tidy()
    assert.lengthOf(await listCheckpoints(store), 1)
    const follower = await instanceOn(store, timers)
    await write(writer.engine, [shape.id], 6, 40)
    hours++
    await writer.tidy()
    const [newest = "", ...others] = await listCheckpoints(store)
    assert.lengthOf(others, 1)
    hours++
    await writer.tidy()
    assert.lengthOf(await listCheckpoints(store), 2, "nothing new")
    await write(writer.engine, [shape.id], 41, 50)
    await store.remove(Array.from({ length: Number(newest.slice(-20)) }, (_, n) => walKey(n)))
    // The follower goes on from what has come to it, and a third one starts from the bucket alone.
    await writer.engine.release(10_000)
    await follower.engine.takeOver()
    assert.deepStrictEqual(await logOf(follower.engine, shape), numbered(1, 50))
    await write(follower.engine, [shape.id], 51, 60)
    await follower.tidy()
    const third = await instanceOn(store, timers)
    assert.deepStrictEqual(await logOf(third.engine, shape), numbered(1, 60))
    await writer.mirror.catchUp()
    await writer.engine.catchUp()
    assert.deepStrictEqual(await logOf(writer.engine, shape), numbered(1, 60))
  })
})
