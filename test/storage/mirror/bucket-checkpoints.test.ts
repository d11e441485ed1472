import { assert, describe, it } from "@effect/vitest"
import { walKey } from "../../../src/storage/chain/ChainObject.ts"
import { listCheckpoints } from "../../../src/storage/mirror/CheckpointObject.ts"
import { systemTimers, type Timers } from "../../../src/shared/Timers.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { createShape } from "../support.ts"
import { instanceOn, logOf } from "./instance.ts"
import { numbered, write } from "./support.ts"

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
