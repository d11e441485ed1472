import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { beforeAll as beforeAllOffset } from "../../src/shapes/LogOffset.ts"
import { claimEpoch, highestClaim, readEpochs } from "../../src/storage/journal/Epochs.ts"
import { closeGate, isGateClosed } from "../../src/storage/levels/Gate.ts"
import { readLevelRecord, writeLevelRecord } from "../../src/storage/levels/LevelFile.ts"
import { gatedLevel, ownLevels, unsaidLevel } from "../../src/storage/levels/Levels.ts"
import { levelStatus } from "../../src/storage/levels/LevelStatus.ts"
import { Instances, type writePresence, writePresence as say } from "../../src/storage/levels/Presence.ts"
import { OldLogIndexes } from "../../src/storage/logs/OldLogIndexes.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import {
  changes,
  createShape,
  type EngineSettings,
  hasty,
  maintenanceOf,
  openEngine,
  raisedTo,
  readAll,
  temporaryDirectory,
  writeTransaction
} from "./support.ts"

const settingsOnMemory = () => {
  const metaDir = temporaryDirectory()
  const disk = new FaultyDisk([metaDir])
  return {
    memory: disk,
    disk: disk.mount(),
    metaDir,
    timers: hasty,
    segmentBytes: 1000,
    chunkBytesThreshold: 3000
  }
}

const open = (settings: EngineSettings): Promise<StorageEngine> => openEngine(FaultyDisk.directory, settings)

const move = (engine: StorageEngine): Promise<void> =>
  Effect.runPromise(Effect.scoped(maintenanceOf(engine).round()))

const write = async (engine: StorageEngine, id: number, from: number, to: number): Promise<void> => {
  for (let lsn = from; lsn <= to; lsn++)
    writeTransaction(engine, BigInt(lsn * 100), [{ op: 0, ids: [id], padding: 50 }])
  await engine.writer?.durable()
}

const lsns = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${(from + i) * 100}_0!`)

/** What stands in the directory of a shape. */
const filesOf = (engine: StorageEngine, handle: string): Promise<ReadonlyArray<string>> =>
  engine.paths.disk.list(`${engine.paths.shapes}/${handle}`)

describe("raising the level of what is stored", () => {
  it("changes what is written from then on, and nothing that was written", async () => {
    const settings = settingsOnMemory()
    const first = await open(settings)
    await first.takeOver()
    const shape = createShape(first, "a")
    await write(first, shape.id, 1, 60)
    await move(first)
    const before = await filesOf(first, shape.handle)
    assert.include(before, "l0.idx")
    assert.strictEqual(first.store.level, unsaidLevel)
    assert.isTrue(await first.writing?.raiseLevel(gatedLevel, raisedTo(gatedLevel)))
    await write(first, shape.id, 61, 200)
    await move(first)
    const after = await filesOf(first, shape.handle)
    assert.includeMembers(
      [...after],
      before.filter((name) => !name.endsWith(".idx"))
    )
    assert.isNotEmpty(after.filter((name) => !before.includes(name)))
    // Nobody reads the indexes of the lower level any more, and no new ones are written.
    assert.deepStrictEqual(
      after.filter((name) => name.endsWith(".idx")),
      []
    )
    // An instance that follows, one that starts from the checkpoint, and the next writer see the same.
    const next = await open(settings)
    for (const engine of [first, next]) {
      assert.deepStrictEqual(changes(await readAll(engine, shape, beforeAllOffset)), lsns(1, 200))
      for (const lsn of [1, 59, 60, 61, 120, 199])
        assert.deepStrictEqual(
          changes(await readAll(engine, shape, { tx: BigInt(lsn * 100), op: 0 })),
          lsns(lsn + 1, 200)
        )
    }
    assert.strictEqual(next.store.level, gatedLevel)
    await next.takeOver()
    assert.isFalse(await first.writing?.raiseLevel(gatedLevel, raisedTo(gatedLevel)), "it is fenced off")
  })

  it("leaves indexes beside log files to their readers for a while, and removes them then, whatever a disk refuses", async () => {
    const { memory, ...settings } = settingsOnMemory()
    const engine = await open(settings)
    await engine.takeOver()
    const shapes = ["a", "b", "c"].map((name) => createShape(engine, name))
    for (const { id } of shapes) await write(engine, id, 1 + 100 * id, 60 + 100 * id)
    await move(engine)
    let now = 0
    const timers = { ...hasty, nowMillis: () => now }
    const { paths, store } = engine
    const old = new OldLogIndexes({ paths, store, timers, settled: () => engine.settled() }, 30_000)
    const indexes = async () =>
      (await Promise.all(shapes.map(({ handle }) => filesOf(engine, handle))))
        .flat()
        .filter((name) => name.endsWith(".idx")).length
    const atFirst = await indexes()
    assert.isAbove(atFirst, 3)
    for (now of [0, 100_000]) await old.removeSome()
    assert.strictEqual(await indexes(), atFirst, "the first release may come back")
    await engine.writing?.raiseLevel(gatedLevel, raisedTo(gatedLevel))
    for (now of [200_000, 229_999]) await old.removeSome()
    assert.strictEqual(await indexes(), atFirst, "it may have just answered a request")
    now = 230_000
    const fault = memory.fail({ operation: "remove", path: /shapes\/.*idx$/, nth: 3 }, "EMFILE")
    const refused = await old.removeSome().then(
      () => "removed",
      (error: unknown) => String(error)
    )
    assert.match(refused, /cannot remove .*EMFILE/)
    fault.end()
    assert.isAbove(await indexes(), 0)
    await old.removeSome()
    assert.strictEqual(await indexes(), 0)
    for (const { files } of store.all()) for (const file of files) assert.notProperty(file, "indexCrc")
  })

  it("is known from the journal, the checkpoint or the file alone", async () => {
    const settings = settingsOnMemory()
    const first = await open(settings)
    await first.takeOver()
    const shape = createShape(first, "a")
    await first.writing?.raiseLevel(gatedLevel, raisedTo(gatedLevel))
    const forget = async () => {
      await first.paths.disk.remove(`${first.paths.root}/level.json`)
      await first.paths.disk.remove(`${first.paths.epochs}/fffffffe`)
    }
    await forget()
    assert.strictEqual((await open(settings)).store.level, gatedLevel, "the journal")
    await write(first, shape.id, 1, 100)
    await move(first)
    assert.isAbove((await open(settings)).oldestSegment, 1)
    assert.strictEqual((await open(settings)).store.level, gatedLevel, "the checkpoint")
    const other = settingsOnMemory()
    const empty = await open(other)
    await empty.takeOver()
    await writeLevelRecord(empty.paths, raisedTo(gatedLevel))
    assert.strictEqual((await open(other)).store.level, gatedLevel, "the file")
    await empty.paths.disk.remove(`${empty.paths.root}/level.json`)
    await closeGate(empty.paths)
    assert.strictEqual((await open(other)).store.level, gatedLevel, "the gate")
  })

  it("ends the reading of a release that does not know it, at that very record", async () => {
    const settings = settingsOnMemory()
    const newer = { ...settings, levels: { oldest: 2, newest: ownLevels.newest + 1 } }
    const writer = await open(newer)
    await writer.takeOver()
    const shape = createShape(writer, "a")
    await write(writer, shape.id, 1, 10)
    const follower = await open(settings)
    const to = ownLevels.newest + 1
    assert.isTrue(await writer.writing?.raiseLevel(to, { ...raisedTo(to), raisedBy: "9.9.9" }))
    await write(writer, shape.id, 11, 20)
    const ended = await follower.takeOver().then(
      () => "took over",
      (error: unknown) => String(error)
    )
    assert.match(ended, /finalised by .*has level 4, and this release knows up to 3/)
    assert.strictEqual(follower.store.lastCommitLsn, 1000n)
    // It has given the epoch that it had claimed back: the writer goes on.
    assert.isFalse(await writer.isFenced())
    const refused = await open(settings).then(
      () => "loaded",
      (error: unknown) => String(error)
    )
    assert.match(refused, /finalised by Baton 9\.9\.9.*Nothing was changed.*Start Baton 9\.9\.9/)
  })

  it("leaves numbers of epochs as they are", async () => {
    const settings = settingsOnMemory()
    const engine = await open(settings)
    await engine.takeOver()
    const before = await highestClaim(engine.paths)
    assert.isFalse(await isGateClosed(engine.paths))
    await closeGate(engine.paths)
    await closeGate(engine.paths)
    assert.isTrue(await isGateClosed(engine.paths))
    assert.strictEqual(await highestClaim(engine.paths), before)
    assert.deepStrictEqual(
      (await readEpochs(engine.paths, 0)).map(({ epoch }) => epoch),
      [before]
    )
    assert.isFalse(await engine.isFenced())
    assert.strictEqual(await claimEpoch(engine.paths), before + 1)
  })
})

describe("what storage says of its level", () => {
  it("is read as it was written, and what is damaged says nothing", async () => {
    const engine = await open(settingsOnMemory())
    await engine.takeOver()
    const { paths } = engine
    assert.isUndefined(await readLevelRecord(paths))
    assert.deepStrictEqual(await levelStatus(paths, unsaidLevel), {
      level: 2,
      newest: ownLevels.newest,
      oldestRelease: "0.1.0",
      because: null,
      untilMillis: null
    })
    const record = { ...raisedTo(2), holds: { because: "somebody is there", untilMillis: 7 } }
    await writeLevelRecord(paths, record)
    assert.deepStrictEqual(await readLevelRecord(paths), record)
    const status = await levelStatus(paths, unsaidLevel)
    assert.deepStrictEqual([status.because, status.untilMillis], ["somebody is there", 7])
    // An older record than the journal.
    assert.deepStrictEqual((await levelStatus(paths, ownLevels.newest)).because, null)
    const file = await paths.disk.openToWrite(`${paths.root}/level.json`, "existing")
    await file.write(Buffer.from("{"), 0, 1, 3)
    await file.close()
    assert.isUndefined(await readLevelRecord(paths))
  })
})

const presence = (beat: number): Parameters<typeof writePresence>[2] => ({
  release: "0.3.0",
  oldest: 2,
  newest: 4,
  backendPid: 42,
  beat
})

describe("instances that say that they are there", () => {
  it("count for a minute after their last word, whatever clocks say", async () => {
    const engine = await open(settingsOnMemory())
    await engine.takeOver()
    const { paths } = engine
    let now = 5_000_000
    const instances = new Instances(paths, () => now)
    const count = async () => (await instances.others("own")).length
    assert.strictEqual(await count(), 0)
    await say(paths, "own", presence(1))
    await say(paths, "other", presence(1))
    await say(paths, "gone", presence(9))
    assert.strictEqual(await count(), 2)
    for (let beat = 2; beat < 8; beat++) {
      now += 10_000
      await say(paths, "other", presence(beat))
      assert.strictEqual(await count(), beat < 7 ? 2 : 1, `beat ${beat}`)
    }
    now += 600_000
    await say(paths, "other", presence(9))
    assert.deepStrictEqual((await instances.others("own"))[0], presence(9))
    assert.deepStrictEqual((await paths.disk.list(`${paths.root}/instances`)).toSorted(), [
      "other.json",
      "own.json"
    ])
  })

  it("and were killed while they said it leave a file that is removed, as what they said before is", async () => {
    const engine = await open(settingsOnMemory())
    await engine.takeOver()
    const { paths } = engine
    let now = 5_000_000
    const instances = new Instances(paths, () => now)
    const unfinished = async (name: string) =>
      (await paths.disk.openToWrite(`${paths.root}/instances/${name}.json.7.tmp`, "empty")).close()
    const files = async () => (await paths.disk.list(`${paths.root}/instances`)).toSorted()
    for (const name of ["own", "other", "gone"]) {
      await say(paths, name, presence(0))
      await unfinished(name)
    }
    // It had said nothing before.
    await unfinished("short")
    let beat = 0
    const passed = async (millis: number) => {
      for (const end = now + millis; now < end;) {
        now += 10_000
        await say(paths, "other", presence(++beat))
        await instances.others("own")
      }
    }
    await instances.others("own")
    await passed(600_000)
    const theirs = ["other.json", "other.json.7.tmp", "own.json", "own.json.7.tmp"]
    assert.deepStrictEqual(await files(), ["gone.json", "gone.json.7.tmp", ...theirs, "short.json.7.tmp"])
    await passed(10_000)
    assert.deepStrictEqual(await files(), ["gone.json.7.tmp", ...theirs])
    await passed(60_000)
    assert.deepStrictEqual(await files(), theirs)
  })
})
