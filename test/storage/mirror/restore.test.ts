import { assert, describe, it } from "@effect/vitest"
import { readdirSync } from "node:fs"
import { snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { ChainBroken } from "../../../src/storage/chain/ChainBroken.ts"
import { walKey } from "../../../src/storage/chain/ChainObject.ts"
import { applyObject, type MirrorContext } from "../../../src/storage/mirror/MirrorContext.ts"
import { listCheckpoints } from "../../../src/storage/mirror/CheckpointObject.ts"
import { wipeMirror } from "../../../src/storage/mirror/MirrorDirectory.ts"
import { restore } from "../../../src/storage/mirror/Restore.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { changes, createShape, readAll } from "../support.ts"
import {
  begin,
  checkpoint,
  contextAt,
  copyShapes,
  DirectoryShipper,
  engineOn,
  numbered,
  scopeOfTest,
  uploaded,
  write
} from "./support.ts"

/** Handles, and what their logs hold. */
const contentsOf = async (engine: StorageEngine) => {
  const contents = new Map<string, ReadonlyArray<string>>()
  for (const shape of engine.store.all())
    contents.set(shape.handle, changes(await readAll(engine, shape, snapshotEnd)))
  return contents
}

const restored = async (context: MirrorContext): Promise<StorageEngine> => {
  await restore(context)
  const engine = engineOn(context.paths)
  await engine.load()
  return engine
}

describe("a directory that is restored from a bucket", () => {
  it("is empty where the bucket is", async () => {
    const context = await contextAt(new MemoryStore())
    const engine = await restored(context)
    assert.strictEqual(engine.store.count, 0)
    assert.strictEqual(context.chain.place.next, 0)
    assert.deepStrictEqual(context.journal.end, { epoch: 0, segment: 0, position: 0 })
  })

  it("holds the same shapes and logs as that of the writer, from the chain alone, over epochs and torn objects", async () => {
    const { engine, shipper, store } = await begin()
    const [a, b] = [createShape(engine, "a"), createShape(engine, "b")]
    await write(engine, [a.id, b.id], 1, 30)
    await shipper.ship(333)
    await engine.release(1000)
    await engine.takeOver()
    await write(engine, [b.id], 31, 40)
    await shipper.ship(333)
    const context = await contextAt(store)
    const again = await restored(context)
    assert.deepStrictEqual(await contentsOf(again), await contentsOf(engine))
    assert.deepStrictEqual(changes(await readAll(again, b, snapshotEnd)), numbered(1, 40))
    assert.deepStrictEqual(again.at, engine.at)
    assert.deepStrictEqual(context.journal.end, engine.at)
    // The same once more, and in any part: nothing changes.
    const { chain } = new DirectoryShipper(store, context.paths)
    await chain.readOn((object) => context.journal.apply(object))
    await again.load()
    assert.deepStrictEqual(await contentsOf(again), await contentsOf(engine))
    // It can go on from there.
    await again.takeOver()
    await write(again, [a.id], 41, 45)
    assert.deepStrictEqual(changes(await readAll(again, a, snapshotEnd)).slice(-5), numbered(41, 45))
  })

  it("begins with the newest checkpoint that is sound", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    const scope = scopeOfTest()
    await write(engine, [shape.id], 1, 30)
    const first = await checkpoint(store, engine, shipper, scope)
    await write(engine, [shape.id], 31, 60)
    const second = await checkpoint(store, engine, shipper, scope)
    await write(engine, [shape.id], 61, 70)
    await shipper.ship(300)
    assert.deepStrictEqual(await listCheckpoints(store), [second, first])
    // What comes before is collected as soon as two others are there.
    const n = Number(first.slice(-20))
    assert.isAbove(n, 3)
    const collected = Array.from({ length: n - 1 }, (_, i) => walKey(i + 1))
    await store.remove(collected)
    const said: Array<string> = []
    const contextOf = async () => {
      const context = await contextAt(store, { said })
      copyShapes(engine.paths, context.paths)
      return context
    }
    const newest = await restored(await contextOf())
    assert.deepStrictEqual(await contentsOf(newest), new Map([[shape.handle, numbered(1, 70)]]))
    const segments = readdirSync(newest.paths.journal).toSorted()
    assert.strictEqual(parseInt(segments[0]?.slice(9) ?? "", 16), engine.oldestSegment)
    assert.deepStrictEqual(said, [])

    const bytes = (await store.get(second)) ?? Buffer.alloc(0)
    await store.remove([second])
    await store.create(second, [bytes.subarray(0, bytes.length - 10)])
    const older = await restored(await contextOf())
    assert.deepStrictEqual(await contentsOf(older), new Map([[shape.handle, numbered(1, 70)]]))
    assert.lengthOf(said, 1)
    assert.include(said[0], second)

    // Without any it is not taken for an empty one.
    await store.remove([first, second])
    const failure = await restore(await contextOf()).catch((error: unknown) => error)
    assert.instanceOf(failure, ChainBroken)
  })

  it("needs little of a chain that is long and of few bytes, with a checkpoint of nothing but the journal", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    await write(engine, [shape.id], 1, 9)
    await shipper.ship(50)
    const key = await uploaded(store, engine, shipper)
    await shipper.append({ epoch: 1, ranges: [], checkpoint: key })
    const { next } = shipper.chain.place
    assert.isAbove(next, 40)
    await write(engine, [shape.id], 10, 12)
    await shipper.ship(50)
    await store.remove(Array.from({ length: next - 1 }, (_, n) => walKey(n)))
    const context = await contextAt(store)
    const again = await restored(context)
    assert.deepStrictEqual(await contentsOf(again), new Map([[shape.handle, numbered(1, 12)]]))
    assert.deepStrictEqual(again.at, engine.at)
    assert.strictEqual(context.objects.count, shipper.chain.place.next - next + 1)
    await again.takeOver()
    await write(again, [shape.id], 13, 14)
    assert.deepStrictEqual(changes(await readAll(again, shape, snapshotEnd)), numbered(1, 14))
  })

  it("is begun anew when its process is killed at any object, and keeps what does not count", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    await write(engine, [shape.id], 1, 12)
    await shipper.ship(400)
    const objects = shipper.chain.place.next
    assert.isAbove(objects, 4)
    const context = await contextAt(store)
    for (let killedAt = 0; killedAt < objects; killedAt++) {
      const killed = { ...context, chain: new DirectoryShipper(store, context.paths).chain }
      const stopped = killed.chain.readOn(async (object) => {
        if (object.n === killedAt) {
          // In the middle of its bytes.
          const [range] = object.ranges
          if (range !== undefined)
            await context.journal.apply({ ranges: [{ ...range, bytes: range.bytes.subarray(0, 100) }] })
          throw new Error("killed")
        }
        await applyObject(killed, object)
      })
      assert.strictEqual(String(await stopped.catch(String)), "Error: killed")
      await context.journal.close()
      await wipeMirror(context.paths)
      assert.deepStrictEqual(
        changes(await readAll(await restored(context), shape, snapshotEnd)),
        numbered(1, 12)
      )
    }
  })

  it("is not made of a chain that is another stream's, or was emptied behind a checkpoint", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    await write(engine, [shape.id], 1, 30)
    await checkpoint(store, engine, shipper, scopeOfTest())
    const last = shipper.chain.place.next - 1
    // Somebody has begun anew, in the same place.
    await store.remove(Array.from({ length: last + 1 }, (_, n) => walKey(n)))
    const other = await begin()
    createShape(other.engine, "b")
    for (let n = 0; n <= last; n++) {
      await write(other.engine, [1], n + 1, n + 1)
      await other.shipper.ship(100)
    }
    for (let n = 0; n < other.shipper.chain.place.next; n++)
      await store.create(walKey(n), [(await other.store.get(walKey(n))) ?? Buffer.alloc(0)])
    const failure = await restore(await contextAt(store)).catch((error: unknown) => error)
    assert.instanceOf(failure, ChainBroken)
    assert.strictEqual(failure instanceof ChainBroken && failure.reason, "otherStream")
  })

  it("begins again with a newer checkpoint when the way from the older one is collected meanwhile", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    const scope = scopeOfTest()
    await write(engine, [shape.id], 1, 30)
    await checkpoint(store, engine, shipper, scope)
    await write(engine, [shape.id], 31, 60)
    await shipper.ship(300)
    const said: Array<string> = []
    const context = await contextAt(store, { said })
    copyShapes(engine.paths, context.paths)
    const original = store.get.bind(store)
    let collected = false
    // The writer collects while this instance reads.
    store.get = async (key, range) => {
      if (!collected && key.startsWith("wal/")) {
        collected = true
        const newest = await checkpoint(store, engine, shipper, scope)
        await shipper.append({ epoch: 1, ranges: [], checkpoint: newest })
        copyShapes(engine.paths, context.paths)
        await store.remove(Array.from({ length: Number(newest.slice(-20)) }, (_, n) => walKey(n)))
      }
      return original(key, range)
    }
    const again = await restored(context)
    assert.deepStrictEqual(await contentsOf(again), new Map([[shape.handle, numbered(1, 60)]]))
    assert.isTrue(collected)
    assert.deepStrictEqual(said, [])
  })
})
