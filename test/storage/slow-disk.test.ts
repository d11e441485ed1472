import { assert, it } from "@effect/vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import { changes, createShape, engineAt, readAll, writeTransaction } from "./support.ts"

const setting = (segmentBytes: number) => {
  const disk = new FaultyDisk()
  const open = async (): Promise<StorageEngine> => {
    const engine = engineAt(FaultyDisk.directory, {
      disk: disk.mount(),
      durableWrites: true,
      chunkBytesThreshold: 1 << 20,
      segmentBytes
    })
    await engine.load()
    return engine
  }
  return { disk, open }
}

it("a disk that takes long to sync holds up what is durable, and no follower", async () => {
  const { disk, open } = setting(1 << 20)
  const writer = await open()
  await writer.takeOver()
  const shape = createShape(writer, "a")
  assert.isTrue(await writer.settled())
  const follower = await open()
  follower.follow()
  const stalled = disk.stall({ operation: "sync" })
  const durable: Array<boolean> = []
  for (let t = 1n; t <= 20n; t++) {
    writeTransaction(writer, t * 100n, [{ op: 0, ids: [shape.id] }])
    void writer.writer?.durable().then((isDurable) => durable.push(isDurable))
    // Each is shown while the first one is still being synced.
    await eventually("the follower to read it", () => follower.store.lastCommitLsn === t * 100n || undefined)
  }
  assert.deepStrictEqual(durable, [])
  stalled.end()
  assert.isTrue(await writer.settled())
  assert.strictEqual(durable.length, 20)
  const expected = Array.from({ length: 20 }, (_, i) => `${(i + 1) * 100}_0!`)
  assert.deepStrictEqual(changes(await readAll(follower, shape, snapshotEnd)), expected)
  await follower.close()
  await writer.close()
  const next = await open()
  assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), expected)
  await next.close()
})

it("a large row that is not in its file yet is read from memory, whatever comes after it", async () => {
  const { disk, open } = setting(1 << 20)
  const engine = await open()
  await engine.takeOver()
  const shape = createShape(engine, "a")
  assert.isTrue(await engine.settled())
  const stalled = disk.stall({ operation: "write", path: /journal/ })
  const expected: Array<string> = []
  // Each is larger than all that is kept in memory, and the next one begins a segment.
  try {
    for (let t = 1n; t <= 5n; t++) {
      writeTransaction(engine, t * 100n, [{ op: 0, ids: [shape.id], padding: 3 << 20 }])
      expected.push(`${t * 100n}_0!`)
      assert.deepStrictEqual(changes(await readAll(engine, shape, snapshotEnd)), expected)
    }
  } finally {
    stalled.end()
  }
  assert.isTrue(await engine.settled())
  for (let t = 6n; t <= 10n; t++) {
    writeTransaction(engine, t * 100n, [{ op: 0, ids: [shape.id], padding: 3 << 20 }])
    expected.push(`${t * 100n}_0!`)
    assert.isTrue(await engine.settled())
  }
  assert.deepStrictEqual(changes(await readAll(engine, shape, snapshotEnd)), expected)
  await engine.close()
})

it("whatever the syncs take, every record stands in the journal once, across its segments", async () => {
  const { disk, open } = setting(200_000)
  const writer = await open()
  await writer.takeOver()
  const shape = createShape(writer, "a")
  const follower = await open()
  follower.follow()
  let turns = 0
  disk.turn = () => new Promise((resolve) => setTimeout(resolve, (turns++ * 7) % 20))
  const expected: Array<string> = []
  for (let t = 1; t <= 150; t++) {
    writeTransaction(writer, BigInt(t * 100), [
      { op: 0, ids: [shape.id], padding: t % 10 === 0 ? 60_000 : 500 }
    ])
    expected.push(`${t * 100}_0!`)
    await new Promise((resolve) => setTimeout(resolve, t % 5))
  }
  assert.isTrue(await writer.settled())
  assert.isAbove(writer.at.segment, 3)
  await follower.catchUp()
  assert.deepStrictEqual(changes(await readAll(follower, shape, snapshotEnd)), expected)
  await follower.close()
  await writer.close()
  const next = await open()
  assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), expected)
  await next.close()
})
