import { assert, describe, it } from "@effect/vitest"
import { JournalWriter } from "../../src/storage/journal/JournalWriter.ts"
import { RecentBytes } from "../../src/storage/journal/RecentBytes.ts"
import { readWhole } from "../../src/storage/disk/Files.ts"
import { createLayout, segmentFile, storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import { createShape, engineAt, hasty, temporaryDirectory, writeTransaction } from "./support.ts"

const pathsOn = (disk: FaultyDisk) => storagePaths(FaultyDisk.directory, "default", undefined, disk.mount())

/** A journal of small segments, with what it has told about itself. */
const journal = async (segmentBytes = 1000) => {
  const disk = new FaultyDisk()
  const paths = pathsOn(disk)
  await createLayout(paths)
  const told: Array<number> = []
  const troubles: Array<string> = []
  const writer = new JournalWriter({
    paths,
    epoch: 1,
    segment: 1,
    recent: new RecentBytes(1 << 20),
    segmentBytes,
    durableWrites: true,
    timers: { ...systemTimers, after: hasty.after },
    onDurable: (marker) => told.push(marker),
    onRotate: () => {},
    onTrouble: (_, message) => troubles.push(message)
  })
  return { disk, writer, told, troubles }
}

const note = (writer: JournalWriter, bytes = 100): void =>
  writer.notice({ t: "purged", reason: "x".repeat(bytes) })

/** All that can happen without the disk has happened. */
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe("what the writer of the journal calls durable", () => {
  it("has been synced", async () => {
    const { disk, told, writer } = await journal()
    const stalled = disk.stall({ operation: "sync" })
    note(writer)
    writer.flush()
    await eventually("the sync", () => stalled.hits() > 0)
    await turns()
    assert.deepStrictEqual(told, [])
    assert.strictEqual(writer.durableMarker, 0)
    let isDurable = false
    const durable = writer.durable().then((result) => (isDurable = result))
    await turns()
    assert.isFalse(isDurable)
    stalled.end()
    assert.isTrue(await durable)
    assert.deepStrictEqual(told, [writer.marker])
    assert.strictEqual(writer.durableMarker, writer.marker)
    await writer.close()
  })

  it("waits for the name of a new segment", async () => {
    const { disk, told, writer } = await journal()
    const stalled = disk.stall({ operation: "sync the names in", path: /journal$/ })
    note(writer)
    writer.flush()
    await eventually("the sync", () => stalled.hits() > 0)
    await turns()
    assert.deepStrictEqual(told, [])
    stalled.end()
    assert.isTrue(await writer.durable())
    await writer.close()
  })

  it("is there after a power cut, whichever segment it stands in", async () => {
    for (let cutAfter = 1; cutAfter <= 12; cutAfter++) {
      const { disk, writer } = await journal(500)
      for (let n = 0; n < cutAfter; n++) {
        note(writer, 150)
        assert.isTrue(await writer.durable())
      }
      const { position, segment } = writer
      // Composed, and not durable.
      note(writer, 150)
      writer.flush()
      disk.powerCut()
      const paths = pathsOn(disk)
      for (let number = 1; number <= segment; number++) {
        const content = await readWhole(paths.disk, segmentFile(paths, 1, number))
        assert.isDefined(content, `segment ${number} of ${segment}`)
        if (number === segment) assert.isAtLeast(content?.length ?? 0, position)
      }
    }
  })

  it("does not come before the disk accepts it, and comes then", async () => {
    for (const operation of ["write", "sync", "sync the names in"] as const)
      for (const code of ["EIO", "ENOSPC", "EMFILE"]) {
        const { disk, told, troubles, writer } = await journal()
        const fault = disk.fail({ operation }, code)
        note(writer)
        writer.flush()
        await eventually("a second attempt", () => fault.hits() > 1)
        assert.deepStrictEqual(told, [])
        assert.match(
          troubles[0] ?? "",
          new RegExp(`cannot write journal segment 1: cannot ${operation} /data/.*${code}.*retrying`)
        )
        fault.end()
        assert.isTrue(await writer.durable())
        assert.isFalse(writer.isFailing)
        await writer.close()
      }
  })

  it("is known when the writer is closed while the disk hangs, and no core is spent on waiting", async () => {
    const { disk, writer } = await journal()
    const stalled = disk.stall({ operation: "sync" })
    note(writer)
    writer.flush()
    await eventually("the sync", () => stalled.hits() > 0)
    const durable = writer.durable()
    const closed = writer.close()
    // A loop that waits by turning is busy all the time; a machine with much to do makes this process look so for a while.
    await eventually("a moment in which nothing is done", async () => {
      const before = performance.eventLoopUtilization()
      await new Promise((resolve) => systemTimers.after(100, () => resolve(undefined)))
      return performance.eventLoopUtilization(before).utilization < 0.8
    })
    stalled.end()
    await closed
    assert.isTrue(await durable)
  })
})

describe("an instance that takes over", () => {
  it("makes nothing count before its epoch is there to stay", async () => {
    for (const meeting of [
      { operation: "sync", path: /epochs\/0+1$/ },
      { operation: "sync the names in", path: /epochs$/ }
    ] as const) {
      const disk = new FaultyDisk()
      const engine = engineAt(FaultyDisk.directory, { disk: disk.mount(), durableWrites: true })
      await engine.load()
      const stalled = disk.stall(meeting)
      await engine.takeOver()
      createShape(engine, "a")
      assert.isTrue(await engine.writer?.durable())
      let settled: boolean | undefined
      let fenced: boolean | undefined
      const asked = [
        engine.settled().then((result) => (settled = result)),
        engine.isFenced().then((result) => (fenced = result))
      ]
      await eventually("the sync", () => stalled.hits() > 0)
      await turns()
      assert.isUndefined(settled)
      assert.isUndefined(fenced)
      stalled.end()
      await Promise.all(asked)
      assert.isTrue(settled)
      assert.isFalse(fenced)
      await engine.close()
    }
  })

  it("makes durable what the writer before it was killed with, names and contents, before anything counts", async () => {
    const metaDir = temporaryDirectory()
    const disk = new FaultyDisk([metaDir])
    const open = async (durableWrites: boolean) => {
      const engine = engineAt(FaultyDisk.directory, { disk: disk.mount(), metaDir, durableWrites })
      await engine.load()
      return engine
    }
    // Its segment is written, and nothing of it has got to the disk when it is killed.
    const killed = await open(false)
    await killed.takeOver()
    const shape = createShape(killed, "a")
    writeTransaction(killed, 100n, [{ op: 0, ids: [shape.id] }])
    assert.isTrue(await killed.writer?.durable())
    const next = await open(true)
    await next.takeOver()
    assert.strictEqual(next.store.lastCommitLsn, 100n)
    assert.isTrue(await next.settled(), "Postgres may be told of it now")
    disk.powerCut("nothing")
    const after = await open(true)
    assert.strictEqual(after.store.lastCommitLsn, 100n)
    assert.isDefined(after.store.byHandle(shape.handle))
    await after.close()
  })
})
