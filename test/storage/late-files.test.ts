import { assert, describe, it } from "vitest"
import { Effect } from "effect"
import { claimEpoch, publishEpoch, readEpochs } from "../../src/storage/journal/Epochs.ts"
import { type DiskFile, longestLateMillis } from "../../src/storage/disk/Disk.ts"
import { RealDisk } from "../../src/storage/disk/RealDisk.ts"
import { makeShapeLogs } from "../../src/storage/ShapeLogsLive.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { systemTimers, type Timers } from "../../src/shared/Timers.ts"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import {
  changes,
  createShape,
  definitionOf,
  engineAt,
  readAll,
  temporaryDirectory,
  writeTransaction,
  writingEngine
} from "./support.ts"
import { eventually } from "../../testing/Eventually.ts"
import { loadFactor } from "../../testing/Load.ts"

/**
 * What a machine sees of a directory that another one writes to. An open file ends where it ended when it was opened. With
 * `isFrozen` nothing is asked of the server at all, not even for a file that is opened: what was seen once stays.
 */
class LateDisk extends RealDisk {
  override mayBeLate = true
  isFrozen = false
  private readonly sizes = new Map<string, number>()
  private readonly listings = new Map<string, ReadonlyArray<string>>()

  override prepare(): Promise<void> {
    return Promise.resolve()
  }

  override async list(path: string): Promise<ReadonlyArray<string>> {
    const known = this.isFrozen ? this.listings.get(path) : undefined
    const names = known ?? (await super.list(path))
    this.listings.set(path, names)
    return names
  }

  override async open(path: string): Promise<DiskFile | undefined> {
    const file = await super.open(path)
    if (file === undefined) return undefined
    const now = await file.stat()
    const size = (this.isFrozen ? this.sizes.get(path) : undefined) ?? now.size
    this.sizes.set(path, size)
    return new Proxy(file, {
      get: (target, name) => {
        if (name === "read")
          return async (into: Buffer, at: number, length: number, position: number) => {
            const count = Math.max(0, Math.min(length, size - position))
            return count === 0 ? 0 : target.read(into, at, count, position)
          }
        if (name === "stat") return async () => Object.assign(await target.stat(), { size })
        const value: unknown = Reflect.get(target, name)
        return typeof value === "function" ? (value.bind(target) as unknown) : value
      }
    })
  }
}

/** A second takes some milliseconds, for clock and timers alike: more of them where everything else takes longer, too. */
const times = 300 / loadFactor()
const fast: Timers = {
  ...systemTimers,
  nowMillis: () => systemTimers.nowMillis() * times,
  after: (millis, work) => systemTimers.after(millis / times, work)
}

const setting = (timers: Timers = systemTimers, segmentBytes = 2000) => {
  const directory = temporaryDirectory()
  const disk = new LateDisk()
  const said: Array<string> = []
  const writer = engineAt(directory, { segmentBytes })
  const follower = engineAt(directory, { disk, segmentBytes, said, timers })
  return { directory, disk, said, writer, follower }
}

const neverAsked = () => Promise.resolve(undefined)
const always = () => Promise.resolve(true)

describe("a follower of files that another machine writes", () => {
  it("sees what comes by opening them anew, over the ends of segments and of epochs", async () => {
    const { directory, follower, writer } = setting()
    await writer.takeOver()
    const shape = createShape(writer, "a")
    await writer.writer?.durable()
    await follower.load()
    follower.follow()
    const expected: Array<string> = []
    let current = writer
    for (let i = 0; i < 60; i++) {
      const lsn = 1000n + BigInt(i)
      writeTransaction(current, lsn, [{ op: 0, ids: [shape.id], padding: 100 }])
      expected.push(`${lsn}_0!`)
      await current.writer?.durable()
      if (i === 40) {
        current = await writingEngine(directory, { segmentBytes: 2000 })
      }
      if (i % 3 === 0) {
        await follower.catchUp()
        assert.strictEqual(follower.live(shape)?.end.tx, lsn)
      }
    }
    await follower.catchUp()
    assert.isAbove(follower.at.segment, 3)
    assert.strictEqual(follower.at.epoch, 2)
    assert.deepStrictEqual(changes(await readAll(follower, shape, snapshotEnd)), expected)
  })

  it("takes over with everything that was written, and goes on behind it", async () => {
    // In one file, whose end alone says that there is more.
    const { follower, writer } = setting(systemTimers, 1 << 20)
    await writer.takeOver()
    const shape = createShape(writer, "a")
    await writer.writer?.durable()
    await follower.load()
    for (let i = 0; i < 30; i++)
      writeTransaction(writer, 1000n + BigInt(i), [{ op: 0, ids: [shape.id], padding: 100 }])
    await writer.writer?.durable()
    const { at } = writer
    assert.isDefined(await follower.takeOver(always, undefined, neverAsked))
    assert.strictEqual(follower.at.segment, at.segment + 1)
    assert.strictEqual(follower.live(shape)?.end.tx, 1029n)
    assert.isTrue(await writer.isFenced())
  })
})

/** A follower to which nothing that was written lately is shown. */
const late = async (timers: Timers) => {
  const made = setting(timers)
  const { follower, disk, writer } = made
  await writer.takeOver()
  const shape = createShape(writer, "a")
  await writer.writer?.durable()
  await follower.load()
  disk.isFrozen = true
  await follower.catchUp()
  for (let i = 0; i < 30; i++)
    writeTransaction(writer, 1000n + BigInt(i), [{ op: 0, ids: [shape.id], padding: 100 }])
  await writer.writer?.durable()
  return { ...made, shape }
}

describe("an instance that takes over while even files that are opened are seen late", () => {
  it("looks again until storage has what Postgres was told is safe", async () => {
    const { follower, said, shape, disk } = await late(systemTimers)
    const shown = eventually("that it is said", () => said.length > 0).then(() => (disk.isFrozen = false))
    assert.isDefined(await follower.takeOver(always, undefined, () => Promise.resolve(1037n)))
    await shown
    assert.strictEqual(follower.live(shape)?.end.tx, 1029n)
    assert.match(said.join("\n"), /cannot be seen from here yet/)
  })

  it("takes storage for older than the slot in the end, and no sooner than a file system may be late", async () => {
    const { follower, shape } = await late(fast)
    const began = fast.nowMillis()
    assert.isDefined(await follower.takeOver(always, undefined, () => Promise.resolve(1037n)))
    assert.isAtLeast(fast.nowMillis() - began, longestLateMillis)
    assert.notStrictEqual(follower.live(shape)?.end.tx, 1029n)
  })

  it("gives up when the lock is lost meanwhile, and takes its claim back", async () => {
    const { follower, writer } = await late(fast)
    let asked = 0
    const taken = await follower.takeOver(
      () => Promise.resolve(asked++ < 3),
      undefined,
      () => Promise.resolve(1037n)
    )
    assert.isUndefined(taken)
    assert.isFalse(await writer.isFenced())
  })
})

describe("files of shapes that are seen late", () => {
  it("cost their readers a moment, not the shape", async () => {
    const { follower, writer } = setting(fast)
    await writer.takeOver()
    const id = writer.store.nextId
    const handle = `${id}-1001`
    writer.writing?.write({ t: "created", id, handle, definition: definitionOf("a"), atMillis: 1 })
    writer.writing?.write({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
    writer.writing?.write({ t: "chunk", id, index: 0, bytes: 10, crc: 0 })
    writer.writing?.write({ t: "complete", id, chunks: 1 })
    await writer.writer?.durable()
    await follower.load()
    const shape = follower.store.get(id) ?? assert.fail("not there")
    const logs = makeShapeLogs(follower)
    const read = () => Effect.runPromiseExit(logs.read(shape, { tx: -1n, op: 0 }))
    assert.strictEqual((await read())._tag, "Failure")
    assert.isFalse(shape.dropped)
    await eventually("a file that does not come at all to be lost", async () => {
      await read()
      return shape.dropped
    })
  })
})

describe("a claim", () => {
  it("is above those of others, whether they can be seen or not", async () => {
    const { directory, disk } = setting()
    const paths = storagePaths(directory, "default")
    const others = { ...paths, disk }
    await writingEngine(directory)
    await disk.list(paths.epochs)
    disk.isFrozen = true
    await readEpochs(others, 0)
    for (let epoch = 2; epoch < 5; epoch++) {
      assert.strictEqual(await claimEpoch(paths), epoch)
      await publishEpoch(paths, { epoch, previous: null })
    }
    assert.strictEqual(await claimEpoch(others), 5)
  })
})
