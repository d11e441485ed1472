import { Effect, Scope } from "effect"
import { onTestFinished } from "vitest"
import type { ObjectStore } from "../../../src/bucket/ObjectStore.ts"
import { snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { BucketDurability } from "../../../src/storage/durability/BucketDurability.ts"
import { Mirror } from "../../../src/storage/mirror/Mirror.ts"
import { restore } from "../../../src/storage/mirror/Restore.ts"
import type { ShapeHandle } from "../../../src/storage/ShapeLogs.ts"
import { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { Listeners } from "../../../src/shared/Listeners.ts"
import { systemTimers, type Timers } from "../../../src/shared/Timers.ts"
import { changes, maintenanceOf, readAll } from "../support.ts"
import { contextAt, scopeOfTest } from "./support.ts"

/** An instance on a bucket, filled from it; it follows what others write. */
export const instanceOn = async (store: ObjectStore, timers: Timers = systemTimers) => {
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

/** The changes of a shape, as its readers get them. */
export const logOf = async (engine: StorageEngine, shape: ShapeHandle): Promise<ReadonlyArray<string>> =>
  changes(await readAll(engine, shape, snapshotEnd))
