import { rmSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { eventually } from "../../testing/Eventually.ts"
import { changes, createShape, readAll, temporaryDirectory, writeTransaction } from "./support.ts"

/** What each sync waits for before it begins. */
const disk = vi.hoisted(() => ({ turn: (): Promise<void> => Promise.resolve() }))

vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>()
  const fdatasync = (fd: number, done: (error: NodeJS.ErrnoException | null) => void) =>
    void disk.turn().then(() => real.fdatasync(fd, done))
  return { ...real, fdatasync }
})

const engineOn = async (path: string, segmentBytes: number): Promise<StorageEngine> => {
  const engine = new StorageEngine({
    paths: storagePaths(path, "default"),
    chunkBytesThreshold: 1 << 20,
    segmentBytes,
    recentBytes: 1 << 20,
    durableWrites: true,
    removeOnClose: false,
    run: (effect) => void Effect.runPromise(effect)
  })
  await engine.load()
  return engine
}

const withDirectory = async (test: (path: string) => Promise<void>): Promise<void> => {
  const path = temporaryDirectory()
  try {
    await test(path)
  } finally {
    disk.turn = () => Promise.resolve()
    rmSync(path, { recursive: true, force: true })
  }
}

it("a disk that takes long to sync holds up what is durable, and no follower", () =>
  withDirectory(async (path) => {
    const writer = await engineOn(path, 1 << 20)
    await writer.takeOver()
    const shape = createShape(writer, "a")
    assert.isTrue(await writer.settled())
    const follower = await engineOn(path, 1 << 20)
    follower.follow()
    const gate = Promise.withResolvers<void>()
    disk.turn = () => gate.promise
    const durable: Array<boolean> = []
    for (let t = 1n; t <= 20n; t++) {
      writeTransaction(writer, t * 100n, [{ op: 0, ids: [shape.id] }])
      void writer.writer?.durable().then((isDurable) => durable.push(isDurable))
      // Each is shown while the first one is still being synced.
      await eventually(
        "the follower to read it",
        () => follower.store.lastCommitLsn === t * 100n || undefined
      )
    }
    assert.deepStrictEqual(durable, [])
    gate.resolve()
    assert.isTrue(await writer.settled())
    assert.strictEqual(durable.length, 20)
    const expected = Array.from({ length: 20 }, (_, i) => `${(i + 1) * 100}_0!`)
    assert.deepStrictEqual(changes(await readAll(follower, shape, snapshotEnd)), expected)
    await follower.close()
    await writer.close()
    const next = await engineOn(path, 1 << 20)
    assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), expected)
    await next.close()
  }))

it("whatever the syncs take, every record stands in the journal once, across its segments", () =>
  withDirectory(async (path) => {
    const writer = await engineOn(path, 200_000)
    await writer.takeOver()
    const shape = createShape(writer, "a")
    const follower = await engineOn(path, 200_000)
    follower.follow()
    let syncs = 0
    disk.turn = () => new Promise((resolve) => setTimeout(resolve, (syncs++ * 7) % 20))
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
    const next = await engineOn(path, 200_000)
    assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), expected)
    await next.close()
  }))
