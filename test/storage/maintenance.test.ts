import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import { beforeAll as beforeAllOffset, snapshotEnd } from "../../src/shapes/LogOffset.ts"
import type { ShapeHandle } from "../../src/storage/ShapeLogs.ts"
import { openCheckpointWriter } from "../../src/storage/checkpoint/CheckpointWriter.ts"
import { moveSegments } from "../../src/storage/logs/LogFileWriter.ts"
import { parseSegmentFile, segmentFile, shapeDir } from "../../src/storage/disk/StorageDir.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import {
  changes,
  createShape,
  type EngineSettings,
  hasty,
  maintenanceOf,
  openEngine,
  readAll,
  temporaryDirectory,
  writeTransaction
} from "./support.ts"

/** Small segments, so that a few transactions fill one. */
const settings: EngineSettings = { segmentBytes: 1000, chunkBytesThreshold: 1500 }

const open = (path: string, more: EngineSettings = {}): Promise<StorageEngine> =>
  openEngine(path, { ...settings, ...more })

const scopeOfTest = (): Scope.Scope => {
  const scope = Scope.makeUnsafe()
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return scope
}

const maintainerOf = (engine: StorageEngine, retainedSegments = 1, removalDelayMillis = 0) => {
  const scope = scopeOfTest()
  const maintenance = maintenanceOf(engine, { retainedSegments, removalDelayMillis })
  return { round: () => Effect.runPromise(Scope.provide(maintenance.round(), scope)) }
}

/** Transactions from `from` to `to`, in hundreds, each with one entry of the shape. */
const write = async (engine: StorageEngine, shape: ShapeHandle, from: number, to: number) => {
  for (let t = from; t <= to; t++)
    writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 100 }])
  await engine.writer?.durable()
}

const numbered = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from + 1 }, (_, i) => `${(from + i) * 100}_0!`)

const segmentsOnDisk = (engine: StorageEngine) =>
  readdirSync(engine.paths.journal)
    .toSorted()
    .map((name) => parseSegmentFile(name)?.segment ?? -1)

describe("maintenance", () => {
  it("goes on after a takeover by an instance that followed while segments were removed", async () => {
    const path = temporaryDirectory()
    const first = await open(path)
    await first.takeOver()
    const shape = createShape(first, "a")
    const second = await open(path)
    second.follow()
    const work = maintainerOf(first)
    await write(first, shape, 1, 40)
    await work.round()
    await work.round()
    assert.isAbove(segmentsOnDisk(first)[0] ?? 0, 1)
    await first.release(1000)
    await second.takeOver()
    const before = segmentsOnDisk(second)
    await write(second, shape, 41, 80)
    const next = maintainerOf(second)
    await next.round()
    await next.round()
    assert.isAbove(segmentsOnDisk(second)[0] ?? 0, before[0] ?? 0)
    assert.deepStrictEqual(changes(await readAll(second, shape, snapshotEnd)), numbered(1, 80))
    const third = await open(path)
    assert.deepStrictEqual(changes(await readAll(third, shape, snapshotEnd)), numbered(1, 80))
  })

  it("loses nothing at a follower that was frozen just before a segment that was removed meanwhile", async () => {
    const metaDir = temporaryDirectory()
    const disk = new FaultyDisk([metaDir])
    const engine = await open(FaultyDisk.directory, { disk: disk.mount(), metaDir })
    await engine.takeOver()
    const shape = createShape(engine, "a")
    let waiting: Array<() => void> | undefined
    const through = (call: () => void) => void (waiting === undefined ? call() : waiting.push(call))
    const follower = await open(FaultyDisk.directory, {
      disk: disk.mount({ through }),
      metaDir,
      timers: hasty
    })
    const thaw = () => {
      const calls = waiting ?? []
      waiting = undefined
      for (const call of calls) call()
    }
    onTestFinished(thaw)
    follower.follow()
    // What it asks for first where it goes on in another segment.
    const frozen = disk.before({ operation: "open", path: /indexes\/00000001-00000003$/, times: 1 }, () => {
      waiting = []
    })
    for (let t = 1; frozen.hits() === 0; t++) {
      await write(engine, shape, t, t)
      follower.lookNow()
      await eventually("a look", async () => frozen.hits() > 0 || follower.at.segment === engine.at.segment)
    }
    assert.deepStrictEqual(follower.at, { epoch: 1, segment: 3, position: 0 })
    const work = maintainerOf(engine)
    const from = Number(engine.store.lastCommitLsn) / 100 + 1
    await write(engine, shape, from, 60)
    await work.round()
    await work.round()
    for (const gone of ["00000003", "00000004"])
      assert.notInclude(disk.namesIn(engine.paths.journal, "seen"), `00000001-${gone}`)
    thaw()
    await follower.catchUp()
    assert.isDefined(follower.live(shape))
    assert.deepStrictEqual(changes(await readAll(follower, shape, snapshotEnd)), numbered(1, 60))
  })

  it("begins without the segment that a checkpoint goes on with, if somebody has removed it", async () => {
    const path = temporaryDirectory()
    const first = await open(path)
    await first.takeOver()
    const shape = createShape(first, "a")
    await write(first, shape, 1, 40)
    await maintainerOf(first, 3).round()
    const from = first.oldestSegment
    assert.isAbove(from, 1)
    assert.isAbove(segmentsOnDisk(first).at(-1) ?? 0, from + 1)
    await first.close()
    rmSync(segmentFile(first.paths, 1, from))
    const second = await open(path, { timers: hasty })
    assert.isDefined(await second.takeOver())
    assert.isUndefined(second.live(shape))
    const next = createShape(second, "b")
    await write(second, next, 41, 50)
    assert.deepStrictEqual(changes(await readAll(second, next, snapshotEnd)), numbered(41, 50))
  })

  it("comes back to whatever a disk has refused to remove", async () => {
    const metaDir = temporaryDirectory()
    const disk = new FaultyDisk([metaDir])
    const engine = await open(FaultyDisk.directory, { disk: disk.mount(), metaDir })
    await engine.takeOver()
    const shape = createShape(engine, "a")
    const work = maintainerOf(engine)
    await write(engine, shape, 1, 40)
    await work.round()
    const path = shapeDir(engine.paths, shape.handle)
    assert.isDefined(await engine.paths.disk.stat(path))
    engine.writing?.write({ t: "dropped", ids: [shape.id], reason: "the test wants it" })
    for (const meeting of [
      { operation: "remove", path: /shapes/ },
      { operation: "list", path: /epochs/ }
    ] as const) {
      const fault = disk.fail(meeting, "EMFILE")
      const refused = await work.round().then(
        () => undefined,
        (error: unknown) => error
      )
      assert.isAbove(fault.hits(), 0)
      assert.match(String(refused), new RegExp(`cannot ${meeting.operation} /data/.*EMFILE`))
      fault.end()
    }
    await work.round()
    assert.isUndefined(await engine.paths.disk.stat(path))
  })

  it("a checkpoint knows of the last transaction, and of the last positions, in the segment before it", async () => {
    for (const last of ["transaction", "position", "behind"] as const) {
      const path = temporaryDirectory()
      const engine = await open(path)
      await engine.takeOver()
      const shape = createShape(engine, "a")
      const filler = { t: "slotLost" } as const
      const fill = () => {
        while ((engine.writer?.position ?? 0) < 960) engine.writing?.write(filler)
      }
      const full = engine.writer?.segment ?? 0
      if (last === "transaction") writeTransaction(engine, 500n, [{ op: 0, ids: [shape.id], padding: 1000 }])
      else {
        if (last === "behind") engine.writing?.write({ t: "position", lsn: "508" })
        fill()
        // As the session of the stream does it.
        engine.writing?.write(last === "behind" ? { t: "behind", lsn: "400" } : { t: "position", lsn: "508" })
      }
      // Nothing that comes later says it again.
      while ((engine.writer?.segment ?? 0) === full) engine.writing?.write(filler)
      await maintainerOf(engine, 0).round()
      await engine.writer?.durable()
      assert.isAbove(engine.oldestSegment, full)
      const { lastCommitLsn, positionLsn } = engine.store
      const resumeLsn = last === "behind" ? 400n : 508n
      assert.deepStrictEqual([positionLsn, engine.store.resumeLsn], [508n, resumeLsn])
      const restarted = await open(path)
      assert.strictEqual(restarted.store.positionLsn, positionLsn)
      assert.strictEqual(restarted.store.lastCommitLsn, lastCommitLsn)
      assert.strictEqual(restarted.store.resumeLsn, resumeLsn)
    }
  })

  it("a checkpoint made after the lock was lost and regained leaves nothing out", async () => {
    const path = temporaryDirectory()
    const engine = await open(path)
    await engine.takeOver()
    const shape = createShape(engine, "a")
    // The last segment has some transactions, and is not the first one.
    await write(engine, shape, 1, 10)
    const segment = engine.writer?.segment ?? 0
    assert.isAbove(segment, 1)
    await engine.release(1000)
    await engine.takeOver()
    const { round } = maintainerOf(engine)
    // Until the checkpoint begins with the segment that was the last one when the lock was lost.
    let t = 11
    for (; engine.oldestSegment < segment; t++) {
      await write(engine, shape, t, t)
      await round()
    }
    assert.strictEqual(engine.oldestSegment, segment)
    const whole = changes(await readAll(engine, shape, snapshotEnd))
    assert.deepStrictEqual(whole, numbered(1, t - 1))
    const other = await open(path)
    assert.deepStrictEqual(changes(await readAll(other, shape, snapshotEnd)), whole)
  })

  it("moves entries of megabytes as they are", async () => {
    const path = temporaryDirectory()
    const first = await open(path, { chunkBytesThreshold: 20 << 20 })
    await first.takeOver()
    const [one, both] = [createShape(first, "a"), createShape(first, "b")]
    for (const [t, padding] of [0, 4 << 20, (4 << 20) - 100, 9 << 20, 10, 12 << 20].entries()) {
      const ids = t % 2 === 0 ? [one.id, both.id] : [both.id]
      writeTransaction(first, BigInt(100 * t + 100), [
        { op: 0, ids, padding },
        { op: 2, ids: [both.id], padding: 5 << 20 }
      ])
    }
    await write(first, one, 20, 40)
    const logs = () => Promise.all([one, both].map((shape) => readAll(first, shape, snapshotEnd)))
    const before = await logs()
    assert.deepStrictEqual(changes(before[1] ?? assert.fail()).slice(0, 3), ["100_0", "100_2!", "200_0"])
    const work = maintainerOf(first)
    await work.round()
    await work.round()
    assert.isAbove(segmentsOnDisk(first)[0] ?? 0, 5)
    const messagesOf = (all: typeof before) => all.map(({ messages }) => messages)
    assert.deepStrictEqual(messagesOf(await logs()), messagesOf(before))
  })

  it("moves a backlog of segments together, after a restart as before", async () => {
    const path = temporaryDirectory()
    const engine = await open(path, { chunkBytesThreshold: 1 << 20 })
    await engine.takeOver()
    const shape = createShape(engine, "a")
    const other = createShape(engine, "b")
    await write(engine, shape, 1, 30)
    await write(engine, other, 31, 60)
    await engine.close()
    const restarted = await open(path, { chunkBytesThreshold: 1 << 20 })
    await restarted.takeOver()
    const backlog = (restarted.writer?.segment ?? 0) - restarted.oldestSegment
    assert.isAbove(backlog, 10)
    let moves = 0
    const writing = restarted.writing ?? assert.fail("not writing")
    const writeNotice = writing.write.bind(writing)
    writing.write = (notice) => {
      if (notice.t === "moved") moves++
      writeNotice(notice)
    }
    await maintainerOf(restarted, 2).round()
    assert.strictEqual((restarted.writer?.segment ?? 0) - restarted.oldestSegment, 2)
    assert.strictEqual(moves, 1)
    const again = await open(path)
    for (const reader of [restarted, again]) {
      assert.deepStrictEqual(changes(await readAll(reader, shape, snapshotEnd)), numbered(1, 30))
      assert.deepStrictEqual(changes(await readAll(reader, other, snapshotEnd)), numbered(31, 60))
    }
  })

  it("names the shapes that are lost with a checkpoint, and not those that were gone before", async () => {
    const path = temporaryDirectory()
    const engine = await open(path)
    await engine.takeOver()
    const withFiles = createShape(engine, "a")
    const gone = createShape(engine, "b")
    await write(engine, withFiles, 1, 40)
    const { round } = maintainerOf(engine)
    await round()
    const withoutFiles = createShape(engine, "c")
    engine.writing?.write({ t: "dropped", ids: [gone.id], reason: "test" })
    await write(engine, withFiles, 41, 80)
    await round()
    await engine.close()
    rmSync(shapeDir(engine.paths, withoutFiles.handle), { recursive: true, force: true })
    for (const name of readdirSync(engine.paths.meta))
      if (name.startsWith("meta-")) rmSync(join(engine.paths.meta, name))
    const said: Array<string> = []
    const successor = await open(path, { said })
    await successor.takeOver()
    assert.strictEqual(successor.store.count, 0)
    await eventually("the shapes to be named", async () => said.some((line) => line.includes("2 in all")))
    const [line] = said.filter((text) => text.includes("2 in all"))
    assert.include(line, withFiles.handle)
    assert.include(line, withoutFiles.handle)
    assert.notInclude(line, gone.handle)
    assert.deepStrictEqual(
      readdirSync(engine.paths.root).filter((name) => name.startsWith("names-")),
      ["names-00000001"]
    )
    createShape(successor, "d")
    await write(successor, createShape(successor, "e"), 81, 120)
    await maintainerOf(successor).round()
    assert.deepStrictEqual(
      readdirSync(engine.paths.root).filter((name) => name.startsWith("names-")),
      ["names-00000002"]
    )
  })

  it("removes files that a crash has left half written, and none that is being written", async () => {
    const path = temporaryDirectory()
    let passedMillis = 0
    const engine = await open(path, {
      timers: { ...systemTimers, nowMillis: () => performance.now() + passedMillis }
    })
    await engine.takeOver()
    const old = join(engine.paths.root, "tables.json.gz.1.tmp")
    const fresh = join(engine.paths.root, "tables.json.gz.2.tmp")
    writeFileSync(old, "x")
    writeFileSync(fresh, "x")
    utimesSync(old, 1, 1)
    const { round } = maintainerOf(engine, 1, 60_000)
    await round()
    assert.isTrue(existsSync(old))
    passedMillis = 61_000
    await round()
    assert.isFalse(existsSync(old))
    assert.isTrue(existsSync(fresh))
  })

  it("readers in the middle of the journal are not disturbed while it is moved and removed", async () => {
    const path = temporaryDirectory()
    const engine = await open(path, { recentBytes: 1 })
    await engine.takeOver()
    const shape = createShape(engine, "a")
    const { round } = maintainerOf(engine, 1, 5000)
    const reading: Array<Promise<ReadonlyArray<string>>> = []
    for (let t = 1; t <= 60; t++) {
      await write(engine, shape, t, t)
      if (t % 5 === 0) reading.push(readAll(engine, shape, beforeAllOffset).then(changes))
      if (t % 10 === 0) await round()
    }
    for (const [i, read] of (await Promise.all(reading)).entries())
      assert.deepStrictEqual(read.slice(0, (i + 1) * 5), numbered(1, (i + 1) * 5))
    assert.isAbove(engine.oldestSegment, 1)
  })

  it("a writer that was fenced off while it moved a segment spoils nothing that has been moved since", async () => {
    const path = temporaryDirectory()
    const zombie = await open(path, { chunkBytesThreshold: 1 << 20 })
    await zombie.takeOver()
    const shape = createShape(zombie, "a")
    await write(zombie, shape, 1, 20)
    const successor = await open(path, { chunkBytesThreshold: 1 << 20 })
    await successor.takeOver()
    await write(successor, shape, 21, 60)
    await maintainerOf(successor, 1, 1e9).round()
    const before = changes(await readAll(successor, shape, beforeAllOffset))
    assert.deepStrictEqual(before, numbered(1, 60))
    // It had seen that it was not fenced off, was stopped right then, and goes on now.
    await moveSegments({
      paths: zombie.paths,
      first: zombie.oldestSegment,
      last: zombie.oldestSegment,
      segments: zombie.segments,
      shapes: zombie.store.all(),
      durableWrites: false,
      level: 2
    })
    assert.deepStrictEqual(changes(await readAll(successor, shape, beforeAllOffset)), before)
    const other = await open(path)
    assert.deepStrictEqual(changes(await readAll(other, shape, beforeAllOffset)), before)
  })

  it("a writer that was fenced off while it moved segments spoils nothing although it follows its successor meanwhile", async () => {
    const metaDir = temporaryDirectory()
    const disk = new FaultyDisk([metaDir])
    const machine = { disk: disk.mount(), metaDir }
    const zombie = await open(FaultyDisk.directory, machine)
    await zombie.takeOver()
    const shape = createShape(zombie, "a")
    await write(zombie, shape, 1, 30)
    const stalled = disk.stall({ operation: "write", path: /\/l\d+$/, times: 1 })
    const moving = moveSegments({
      paths: zombie.paths,
      first: zombie.oldestSegment,
      last: (zombie.writer?.segment ?? 0) - 1,
      segments: zombie.segments,
      shapes: zombie.store.all(),
      durableWrites: false,
      level: 2
    })
    await eventually("it writes the first file", () => stalled.hits() > 0)
    const successor = await open(FaultyDisk.directory, machine)
    await successor.takeOver()
    await write(successor, shape, 31, 60)
    await maintainerOf(successor, 1, 1e9).round()
    await zombie.release(1000)
    await zombie.catchUp()
    assert.isAbove(zombie.store.movedSegment, 5)
    stalled.end()
    await moving
    for (const engine of [successor, zombie, await open(FaultyDisk.directory, machine)])
      assert.deepStrictEqual(changes(await readAll(engine, shape, beforeAllOffset)), numbered(1, 60))
  })

  it("a fenced-off instance moves and removes nothing, and writes no checkpoint", async () => {
    const path = temporaryDirectory()
    const zombie = await open(path)
    await zombie.takeOver()
    const shape = createShape(zombie, "a")
    await write(zombie, shape, 1, 40)
    const successor = await open(path)
    await successor.takeOver()
    createShape(zombie, "ghost")
    await zombie.writer?.durable()
    const before = readdirSync(zombie.paths.root, { recursive: true, encoding: "utf8" }).toSorted()
    const { round } = maintainerOf(zombie)
    await round()
    await round()
    assert.deepStrictEqual(
      readdirSync(zombie.paths.root, { recursive: true, encoding: "utf8" }).toSorted(),
      before
    )
    const other = await open(path)
    assert.strictEqual(other.store.count, 1)
    assert.deepStrictEqual(changes(await readAll(other, shape, snapshotEnd)), numbered(1, 40))
  })

  it("a checkpoint does not come into force when somebody takes over while it is written", async () => {
    const path = temporaryDirectory()
    const zombie = await open(path)
    await zombie.takeOver()
    const shape = createShape(zombie, "a")
    await write(zombie, shape, 1, 3)
    const opening = openCheckpointWriter(zombie.paths, 1, { synchronous: "OFF", cacheBytes: 1 << 20 })
    const writer = await Effect.runPromise(Scope.provide(opening, scopeOfTest()))
    const head = { epoch: 1, segment: 1, nextId: 9, lastCommitLsn: "0", positionLsn: "0", source: null }
    const successor = await open(path)
    const takingOver = async () => {
      await successor.takeOver()
      return zombie.settled()
    }
    // It is not on disk yet when the successor reads the journal.
    createShape(zombie, "ghost")
    assert.isFalse(await Effect.runPromise(writer.write(zombie.store, head, takingOver)))
    const other = await open(path)
    assert.isDefined(other.store.byHandle(shape.handle))
    assert.strictEqual(other.store.count, 1)
  })

  it("removes what a crash, or a writer that was fenced off, has left in the journal", async () => {
    const path = temporaryDirectory()
    const crashed = await open(path)
    await crashed.takeOver()
    const shape = createShape(crashed, "a")
    await write(crashed, shape, 1, 40)
    // Moved and in the checkpoint, but nobody lives to remove the segments.
    await maintainerOf(crashed, 1, 1e9).round()
    const left = segmentsOnDisk(crashed)
    const next = await open(path)
    await next.takeOver()
    // The old writer does not know yet, and goes on in files of its own.
    await write(crashed, shape, 900, 920)
    await write(next, shape, 41, 60)
    const { round } = maintainerOf(next)
    await round()
    await round()
    const files = readdirSync(next.paths.journal).map((name) => parseSegmentFile(name))
    for (const file of files) {
      assert.isAtLeast(file?.segment ?? 0, next.oldestSegment)
      assert.strictEqual(next.segments.epochOf(file?.segment ?? 0), file?.epoch)
    }
    assert.isBelow(files.length, left.length)
    assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), numbered(1, 60))
    const other = await open(path)
    assert.deepStrictEqual(changes(await readAll(other, shape, snapshotEnd)), numbered(1, 60))
  })

  it("removes the files of dropped shapes, and those that a crash has left behind", async () => {
    const path = temporaryDirectory()
    const engine = await open(path)
    await engine.takeOver()
    const [kept, gone] = [createShape(engine, "kept"), createShape(engine, "gone")]
    for (let t = 1; t <= 40; t++)
      writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [kept.id, gone.id], padding: 100 }])
    await engine.writer?.durable()
    mkdirSync(shapeDir(engine.paths, "77-77"), { recursive: true })
    const { round } = maintainerOf(engine, 1, 1)
    await round()
    assert.isTrue(existsSync(shapeDir(engine.paths, gone.handle)))
    engine.writing?.write({ t: "dropped", ids: [gone.id], reason: "asked for" })
    await eventually("the files are gone", async () => {
      await round()
      return readdirSync(engine.paths.shapes).join() === kept.handle
    })
    assert.deepStrictEqual(changes(await readAll(engine, kept, snapshotEnd)), numbered(1, 40))
  })
})
