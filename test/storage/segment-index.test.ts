import { appendFileSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import fc from "fast-check"
import { SegmentIndexer } from "../../src/storage/SegmentIndexer.ts"
import { indexedBytes, writeIndex } from "../../src/storage/segments/SegmentIndexFiles.ts"
import { doubtfulMagic, headField, sealIndex } from "../../src/storage/segments/SegmentIndex.ts"
import { partBytes } from "../../src/storage/journal/TransactionWriter.ts"
import { SegmentProofs } from "../../src/storage/segments/SegmentProofs.ts"
import { SegmentScan } from "../../src/storage/segments/SegmentScan.ts"
import { recordKind } from "../../src/storage/records/Records.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { ShapeTail } from "../../src/storage/state/ShapeTail.ts"
import { parseSegmentFile, segmentFile, storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { makeDirectories, writeWhole } from "../../src/storage/disk/Files.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import {
  changes,
  createShape,
  definitionOf,
  engineAt,
  type EngineSettings,
  type Item,
  maintenanceOf,
  openEngine,
  readAll,
  temporaryDirectory,
  writeItems,
  writeLateTransaction,
  writeTransaction,
  writingEngine
} from "./support.ts"

const settings = { segmentBytes: 1500, chunkBytesThreshold: 600 }

const open = (path: string, more: EngineSettings = {}): Promise<StorageEngine> =>
  openEngine(path, { ...settings, said: [], ...more })

const started = (path: string, more: EngineSettings = {}): Promise<StorageEngine> =>
  writingEngine(path, { ...settings, said: [], ...more })

/** Moves what is old, writes a checkpoint and indexes; what was moved stays on disk. */
const maintain = async (engine: StorageEngine): Promise<void> => {
  const options = { retainedSegments: 2, removalDelayMillis: 1e9, indexStepBytes: 1 }
  await Effect.runPromise(Effect.scoped(maintenanceOf(engine, options).round()))
}

const entriesOf = ({ tail }: ShapeState): ReadonlyArray<ReadonlyArray<unknown>> =>
  Array.from({ length: tail?.count ?? 0 }, (_, i) => [
    tail?.tx(i),
    tail?.op(i),
    tail?.segment(i),
    tail?.position(i),
    tail?.length(i),
    tail?.isLast(i),
    tail?.isChunkEnd(i)
  ])

/** Everything that recovery finds out. */
const stateOf = ({ at, segmentEnds, store }: StorageEngine) => ({
  at,
  segmentEnds: [...segmentEnds],
  nextId: store.nextId,
  source: store.source,
  slotIsLost: store.slotIsLost,
  lastCommitLsn: store.lastCommitLsn,
  positionLsn: store.positionLsn,
  behindLsn: store.behindLsn,
  lateIds: [...store.lateIds].toSorted(),
  movedSegment: store.movedSegment,
  entriesBySegment: [...store.entriesBySegment].toSorted(([a], [b]) => a - b),
  xids: store.recentXids.seenBefore(store.recentXids.point),
  removed: store.removed.map((shape) => shape.handle),
  shapes: Array.from(store.all(), (shape) => ({
    handle: shape.handle,
    definition: shape.definition,
    visibility: shape.visibility,
    undecided: shape.undecided,
    complete: shape.snapshotComplete,
    chunks: shape.snapshotChunks,
    files: shape.files,
    openChunkBytes: shape.openChunkBytes,
    end: shape.end,
    entries: entriesOf(shape)
  }))
})

const recovered = async (path: string) => {
  const engine = await open(path)
  await engine.proved()
  const state = stateOf(engine)
  // Bytes that were read record by record are in memory.
  const indexed = engine.segments.numbers().filter((segment) => engine.memory(segment, 0, 9) === undefined)
  await engine.close()
  return { state, indexed }
}

const indexesIn = (path: string) => storagePaths(path, "default").indexes

/** Loads a copy without indexes: what everything else is compared with. */
const recoveredPlainly = async (path: string) => {
  const copy = temporaryDirectory()
  cpSync(path, copy, { recursive: true })
  rmSync(indexesIn(copy), { recursive: true, force: true })
  const { state } = await recovered(copy)
  rmSync(copy, { recursive: true, force: true })
  return state
}

const withoutCheckpoint = (path: string): string => {
  const copy = temporaryDirectory()
  cpSync(path, copy, { recursive: true })
  const { meta } = storagePaths(copy, "default")
  for (const name of readdirSync(meta)) if (name.startsWith("meta-")) rmSync(join(meta, name))
  return copy
}

type Step =
  | {
      readonly t: "transaction"
      readonly items: ReadonlyArray<{
        readonly op: number
        readonly ids: ReadonlyArray<number>
        readonly padding: number
      }>
      readonly xid: number
      readonly retracted: ReadonlyArray<number>
    }
  | { readonly t: "create"; readonly until: number | undefined; readonly snapshot: number }
  | {
      readonly t: "late"
      /** How many are late, how many of the last ones come once more, and whether the first of all is given up half-way. */
      readonly count: number
      readonly again: number
      readonly givenUp: boolean
      readonly ids: ReadonlyArray<number>
      readonly padding: number
    }
  | { readonly t: "behind"; readonly isCaughtUp: boolean }
  | { readonly t: "decide"; readonly snapshot: number }
  | { readonly t: "drop"; readonly id: number }
  | { readonly t: "seen"; readonly xid: number }
  | { readonly t: "purge" | "source" | "slotLost" | "maintain" | "crash" | "cut" | "index" }

const xids = fc.integer({ min: 895, max: 915 })

const steps: fc.Arbitrary<ReadonlyArray<Step>> = fc.array(
  fc.oneof(
    {
      weight: 14,
      arbitrary: fc.record({
        t: fc.constant("transaction" as const),
        xid: xids,
        retracted: fc.uniqueArray(fc.constantFrom(1, 3, 5, 7, 9), { maxLength: 1 }),
        items: fc.array(
          fc.record({
            op: fc.nat(9),
            ids: fc.uniqueArray(fc.constantFrom(1, 3, 5, 7, 9), { maxLength: 4 }),
            padding: fc.nat(120)
          }),
          { maxLength: 4 }
        )
      })
    },
    {
      weight: 4,
      arbitrary: fc.record({
        t: fc.constant("create" as const),
        snapshot: xids,
        until: fc.option(fc.nat(4), { nil: undefined })
      })
    },
    {
      weight: 8,
      arbitrary: fc.record({
        t: fc.constant("late" as const),
        count: fc.nat(3),
        again: fc.nat(4),
        givenUp: fc.boolean(),
        ids: fc.uniqueArray(fc.constantFrom(2, 4, 6, 8), { minLength: 1, maxLength: 4 }),
        padding: fc.nat(120)
      })
    },
    {
      weight: 2,
      arbitrary: fc.record({ t: fc.constant("behind" as const), isCaughtUp: fc.boolean() })
    },
    { weight: 3, arbitrary: fc.record({ t: fc.constant("decide" as const), snapshot: xids }) },
    {
      weight: 2,
      arbitrary: fc.record({ t: fc.constant("drop" as const), id: fc.integer({ min: 1, max: 9 }) })
    },
    { weight: 2, arbitrary: fc.record({ t: fc.constant("seen" as const), xid: xids }) },
    {
      weight: 5,
      arbitrary: fc.record({
        t: fc.constantFrom(
          "source",
          "slotLost",
          "maintain",
          "maintain",
          "crash",
          "crash",
          "cut",
          "index",
          "index"
        )
      })
    },
    { weight: 1, arbitrary: fc.record({ t: fc.constant("purge" as const) }) }
  ),
  { minLength: 10, maxLength: 70 }
) as fc.Arbitrary<ReadonlyArray<Step>>

/** Two transactions around the snapshot's end are in doubt; one of them is not in it. */
const visibilityAt = (snapshot: number, containedBefore: bigint | undefined) => ({
  xmin: String(snapshot - 2),
  xmax: String(snapshot + 1),
  xipList: [String(snapshot - 1)],
  ...(containedBefore === undefined ? {} : { containedBefore: String(containedBefore) })
})

/** Late transactions, of shapes that no ordinary one is for: those that were written may come once more, the same as they were. */
class LateWriter {
  private readonly written: Array<{ readonly lsn: bigint; readonly items: ReadonlyArray<Item> }> = []

  /** What has a commit LSN has one transaction id, whichever part of it comes late. */
  write(
    engine: StorageEngine,
    step: Extract<Step, { readonly t: "late" }>,
    untilLsn: bigint,
    xidsAt: ReadonlyMap<bigint, number>
  ): void {
    const from = Math.max(0, this.written.length - step.again)
    for (let n = 0; n < step.count; n++) {
      const lsn = (this.written.at(-1)?.lsn ?? 0n) + 100n
      if (lsn > untilLsn) break
      const ids = step.ids.filter((id) => id < engine.store.nextId)
      if (ids.length > 0)
        this.written.push({ lsn, items: [0, 2].map((op) => ({ op, ids, padding: step.padding })) })
    }
    for (const [n, { items, lsn }] of this.written.slice(from).entries()) {
      if (n === 0 && step.givenUp) writeLateTransaction(engine, lsn, items, "abandon", xidsAt.get(lsn))
      writeLateTransaction(engine, lsn, items, "commit", xidsAt.get(lsn))
    }
  }
}

/** Writes a history; gives its directory. */
const write = async (history: ReadonlyArray<Step>): Promise<string> => {
  const path = temporaryDirectory()
  let engine = await started(path)
  let indexer = new SegmentIndexer(engine, 1)
  let lsn = 0n
  const late = new LateWriter()
  const xidsAt = new Map<bigint, number>()
  const again = async () => {
    await engine.writer?.durable()
    await engine.close()
    engine = await started(path)
    indexer = new SegmentIndexer(engine, 1)
  }
  const apply = async (step: Step) => {
    switch (step.t) {
      case "transaction": {
        lsn += 100n
        xidsAt.set(lsn, step.xid)
        const ops = new Map(step.items.map((item) => [item.op, item]))
        // What is taken back was there: its shapes have been made.
        const retracted = step.retracted.filter((id) => id < engine.store.nextId)
        return writeTransaction(engine, lsn, [...ops.values()], step.xid, retracted)
      }
      case "create": {
        // Some of which it is not known yet what their snapshot contains.
        if (step.until === undefined) {
          const id = engine.store.nextId
          const definition = definitionOf(`t${id}`)
          return engine.writing?.write({ t: "created", id, handle: `${id}-${id}`, definition, atMillis: 1 })
        }
        const before = step.until === 0 ? undefined : lsn + BigInt(step.until) * 100n
        createShape(engine, `t${engine.store.nextId}`, visibilityAt(step.snapshot, before))
        return
      }
      case "late":
        return late.write(engine, step, lsn, xidsAt)
      case "behind":
        engine.writing?.write({ t: "behind", lsn: step.isCaughtUp ? null : String(lsn / 2n) })
        if (!step.isCaughtUp) engine.writing?.write({ t: "late", ids: [Number(lsn / 100n) % 9] })
        return
      case "decide":
        for (const shape of engine.store.all())
          if (shape.visibility === undefined)
            engine.writing?.write({
              t: "visible",
              id: shape.id,
              visibility: visibilityAt(step.snapshot, lsn)
            })
        return
      case "drop":
        return engine.writing?.write({ t: "dropped", ids: [step.id], reason: "for the test" })
      case "seen":
        engine.writing?.write({ t: "passed", xids: [step.xid] })
        return engine.writing?.write({ t: "position", lsn: String(lsn + 50n), xids: [step.xid + 1] })
      case "purge":
        return engine.writing?.write({ t: "purged", reason: "for the test" })
      case "source":
        return engine.writing?.write({ t: "source", systemId: `s${lsn}`, timeline: 1, slot: "slot" })
      case "slotLost":
        return engine.writing?.write({ t: "slotLost" })
      case "maintain":
        return maintain(engine)
      case "index":
        await engine.writer?.durable()
        return indexer.round()
      case "crash":
        return again()
      case "cut": {
        // The first part of a transaction, and a record behind it.
        const { writer } = engine
        if (writer === undefined) throw new Error("not writing")
        writer.ordinary.beginTransaction(lsn + 100n, 907)
        writer.ordinary.beginItem()
        const at = writer.out.length
        writer.out.append(Buffer.from("{}"))
        writer.ordinary.endItem(0, at, Uint32Array.of(1), 1)
        writer.appendBetween(recordKind.notice, Buffer.from(`{"t":"passed","xids":[907]}`))
        return again()
      }
    }
  }
  for (const step of history) await apply(step)
  await engine.writer?.durable()
  await indexer.round()
  await engine.close()
  return path
}

/** A few segments of two shapes, with an index for each. */
const indexed = async () => {
  const path = temporaryDirectory()
  const engine = await started(path)
  const shapes = [createShape(engine, "even"), createShape(engine, "odd")] as const
  for (let t = 1; t <= 40; t++)
    writeTransaction(engine, BigInt(t * 100), [
      { op: 0, ids: [shapes[t % 2]?.id ?? 0], padding: 60 },
      { op: 2, ids: t % 5 === 0 ? [1, 2] : [1], padding: 20 }
    ])
  await engine.writer?.durable()
  await new SegmentIndexer(engine, 1).round()
  await engine.close()
  const names = readdirSync(indexesIn(path)).toSorted()
  assert.isAtLeast(names.length, 4)
  return { path, shapes, names, journal: engine.paths.journal }
}

const handlesIn = (engine: StorageEngine) => Array.from(engine.store.all(), ({ handle }) => handle)

const flip = (file: string, at: number): void => {
  const bytes = readFileSync(file)
  bytes[at] = (bytes[at] ?? 0) ^ 0x04
  writeFileSync(file, bytes)
}

/** A segment names a shape that is behind; the next one says that none is any more, and then names another one. */
const namedAcrossSegments: ReadonlyArray<Step> = [
  { t: "behind", isCaughtUp: false },
  { t: "create", snapshot: 895, until: undefined },
  {
    t: "transaction",
    xid: 895,
    retracted: [],
    items: [0, 1, 2].map((op) => ({ op, ids: [1], padding: 600 }))
  },
  { t: "transaction", xid: 896, retracted: [], items: [{ op: 0, ids: [1], padding: 0 }] },
  { t: "behind", isCaughtUp: true },
  { t: "behind", isCaughtUp: false }
]

describe("the index of a segment", () => {
  it("comes to what its records come to, whatever happened", async () => {
    let used = 0
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        const path = await write(history)
        for (const each of [path, withoutCheckpoint(path)]) {
          const expected = await recoveredPlainly(each)
          const found = await recovered(each)
          assert.deepStrictEqual(found.state, expected)
          used += found.indexed.length
          rmSync(each, { recursive: true, force: true })
        }
      }),
      { numRuns: 25, examples: [[namedAcrossSegments]] }
    )
    assert.isAbove(used, 40)
  })

  it("has late transactions once that come once more, in this segment or in one before it", async () => {
    const path = temporaryDirectory()
    const engine = await started(path)
    const [plain, late] = [createShape(engine, "plain"), createShape(engine, "late")]
    let lsn = 0n
    const rotate = () => {
      const segment = engine.writer?.segment
      while (engine.writer?.segment === segment)
        writeTransaction(engine, (lsn += 100n), [{ op: 0, ids: [plain.id], padding: 100 }])
    }
    const writeLate = (...lsns: ReadonlyArray<number>) => {
      for (const at of lsns)
        writeLateTransaction(
          engine,
          BigInt(at),
          [
            { op: 0, ids: [late.id] },
            { op: 2, ids: [late.id] }
          ],
          "commit"
        )
    }
    rotate()
    writeLate(100, 200)
    rotate()
    writeLate(100, 200, 300)
    writeLate(300, 400)
    rotate()
    rotate()
    await engine.writer?.durable()
    await new SegmentIndexer(engine, 1).round()
    await engine.close()
    const found = await recovered(path)
    assert.isAtLeast(found.indexed.length, 4)
    assert.deepStrictEqual(found.state, await recoveredPlainly(path))
    const next = await open(path)
    await next.proved()
    const log = changes(await readAll(next, late, snapshotEnd))
    assert.deepStrictEqual(
      log,
      [100, 200, 300, 400].flatMap((at) => [`${at}_0`, `${at}_2!`])
    )
  })

  it("has records of megabytes", async () => {
    const path = temporaryDirectory()
    const engine = await started(path)
    const shape = createShape(engine, "a")
    for (const [t, padding] of [5, 9 << 20, 5, 4 << 20].entries())
      writeTransaction(engine, BigInt(100 * t + 100), [{ op: 0, ids: [shape.id], padding }])
    await engine.writer?.durable()
    await new SegmentIndexer(engine, 1).round()
    await engine.close()
    const found = await recovered(path)
    assert.isNotEmpty(found.indexed)
    assert.deepStrictEqual(found.state, await recoveredPlainly(path))
  })

  it("leaves open what the snapshot of a shape contains as long as that is not known", async () => {
    const path = temporaryDirectory()
    const engine = await started(path)
    const definition = definitionOf("a")
    engine.writing?.write({ t: "created", id: 1, handle: "1-1", definition, atMillis: 1 })
    for (let t = 1; t <= 30; t++)
      writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [1], padding: 90 }], 900 + (t % 3))
    const compare = async () => {
      await engine.writer?.durable()
      await new SegmentIndexer(engine, 1).round()
      const found = await recovered(path)
      assert.deepStrictEqual(found.state, await recoveredPlainly(path))
      assert.isAtLeast(found.indexed.length, 3)
      return found.state.shapes[0]
    }
    assert.strictEqual((await compare())?.undecided?.length, 30)
    engine.writing?.write({ t: "visible", id: 1, visibility: { xmin: "900", xmax: "902", xipList: ["900"] } })
    assert.strictEqual((await compare())?.entries.length, 20)
  })

  it("adds nothing to a shape that its files hold already", () => {
    const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1000 })
    const shape = store.create(1, "1-1", definitionOf("a"), 1)
    shape.setVisibility(visibilityAt(1, 0n))
    const sums = { index: 0, bytes: 1, crc: 0, indexCrc: 0, entries: 1, entryBytes: 1 }
    shape.setFile({ ...sums, endTx: "300", endOp: 2, closed: false })
    const entries = new ShapeTail()
    for (const tx of [200, 300, 400]) entries.push(0, tx, 4, 7, tx, 10)
    store.adopt(1, 7, entries, false, () => assert.fail())
    assert.deepStrictEqual(
      entriesOf(shape).map(([tx]) => tx),
      [400n]
    )
  })

  it("ends a chunk at the same entry as the record does: the one with which it is as large as it may be", () => {
    const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1000 })
    const ends = (index: number, take: (id: number) => void) => {
      const shape = store.create(index, `${index}-1`, definitionOf(`t${index}`), 1)
      shape.setVisibility(visibilityAt(1, 0n))
      take(index)
      const { openChunkBytes, tail } = shape
      const marks = Array.from({ length: tail?.count ?? 0 }, (_, i) => tail?.isChunkEnd(i))
      return { openChunkBytes, marks }
    }
    for (const lengths of [
      [500, 499, 1, 1000, 999],
      [500, 500, 1, 998, 2],
      [1001, 400, 600, 1]
    ]) {
      const first = store.nextId
      const recorded = ends(first, (id) => {
        lengths.forEach((length, n) => {
          const tx = BigInt(100 * (n + 1))
          store.item(0, 100 * n, length, Uint32Array.of(id), 0, 1)
          store.commit(tx, tx + 8n, 1000, 7)
        })
      })
      const adopted = ends(first + 1, (id) => {
        const entries = new ShapeTail()
        lengths.forEach((length, n) => entries.push(0, 100 * (n + 1), 0, 7, 100 * n, length))
        store.adopt(id, 7, entries, false, () => 1000)
      })
      assert.deepStrictEqual(adopted, recorded, lengths.join())
      assert.include(recorded.marks, true)
    }
  })

  it("counts for nothing when a bit of it is flipped, wherever that is, or when a part is missing", async () => {
    const { names, path } = await indexed()
    const expected = await recoveredPlainly(path)
    const whole = await recovered(path)
    assert.deepStrictEqual(whole.state, expected)
    assert.deepStrictEqual(
      whole.indexed,
      names.map((name) => parseSegmentFile(name)?.segment)
    )
    for (const name of names.slice(0, 2)) {
      const file = join(indexesIn(path), name)
      const sound = readFileSync(file)
      for (let at = 0; at < sound.length; at += 61) {
        flip(file, at)
        assert.deepStrictEqual((await recovered(path)).state, expected, `flip at ${at} of ${name}`)
        writeFileSync(file, sound.subarray(0, at))
        const cut = await recovered(path)
        assert.deepStrictEqual(cut.state, expected, `cut at ${at} of ${name}`)
        assert.notInclude(cut.indexed, parseSegmentFile(name)?.segment)
        writeFileSync(file, sound)
      }
    }
  })

  it("does not hide damage of the segment: the same shapes are dropped as without it", async () => {
    const { journal, names, path } = await indexed()
    let dropped = 0
    for (const name of [...names.slice(0, 2), ...names.slice(-1)]) {
      const file = join(journal, name)
      const sound = readFileSync(file)
      for (let at = 0; at < sound.length; at += 151) {
        flip(file, at)
        const expected = await recoveredPlainly(path)
        assert.deepStrictEqual((await recovered(path)).state, expected, `flip at ${at} of ${name}`)
        dropped += expected.removed.length
        writeFileSync(file, sound)
      }
    }
    assert.isAbove(dropped, 8)
  })

  it("counts before the segment has been read; until then nobody is given its bytes or becomes the writer", async () => {
    const { journal, names, path, shapes } = await indexed()
    const file = join(journal, names[1] ?? "")
    flip(file, readFileSync(file).length - 30)
    const expected = await recoveredPlainly(path)
    const expectedHandles = expected.shapes.map(({ handle }) => handle)
    const lost =
      shapes.find(({ handle }) => !expectedHandles.includes(handle)) ?? assert.fail("none is damaged")
    const follower = await open(path)
    assert.deepStrictEqual(handlesIn(follower), ["1-1001", "2-1002"])
    const message = await readAll(follower, lost, snapshotEnd).then(
      () => "was given",
      (error: unknown) => String(error)
    )
    assert.include(message, "journal segment 2 is damaged, and is read again")
    follower.follow()
    await eventually("the damage is known", () => follower.store.count === expectedHandles.length)
    assert.deepStrictEqual(handlesIn(follower), expectedHandles)
    const writer = await started(path)
    assert.deepStrictEqual(handlesIn(writer), expectedHandles)
  })

  it("of another segment, or of other bytes, is no index of this one", async () => {
    const { names, path } = await indexed()
    const expected = await recoveredPlainly(path)
    const [first = "", second = ""] = names.map((name) => join(indexesIn(path), name))
    const other = await indexed()
    const replacements = [second, join(indexesIn(other.path), names[0] ?? "")]
    // The other history differs in nothing but the first shape's table.
    flip(join(other.journal, names[0] ?? ""), 20)
    for (const from of replacements) {
      cpSync(from, first)
      assert.deepStrictEqual((await recovered(path)).state, expected)
    }
  })

  it("of a writer that was fenced off, beyond the end of its epoch, counts for nothing", async () => {
    const path = temporaryDirectory()
    const zombie = await started(path)
    const shape = createShape(zombie, "a")
    writeTransaction(zombie, 100n, [{ op: 0, ids: [shape.id] }])
    await zombie.writer?.durable()
    const successor = await started(path)
    writeTransaction(successor, 200n, [{ op: 0, ids: [shape.id] }])
    await successor.writer?.durable()
    writeTransaction(zombie, 150n, [{ op: 0, ids: [shape.id] }])
    createShape(zombie, "ghost")
    await zombie.writer?.durable()
    await new SegmentIndexer(zombie, 1).round()
    assert.isFalse(existsSync(indexesIn(path)))
    const bytes = readFileSync(
      join(zombie.paths.journal, readdirSync(zombie.paths.journal).toSorted()[0] ?? "")
    )
    const scan = new SegmentScan(1, 1)
    await scan.feed(bytes, bytes.length)
    await writeIndex(zombie.paths, 1, 1, scan.encode(false) ?? assert.fail())
    assert.strictEqual(await indexedBytes(zombie.paths, 1, 1), bytes.length)
    const expected = await recoveredPlainly(path)
    assert.deepStrictEqual((await recovered(path)).state, expected)
    assert.strictEqual(expected.shapes.length, 1)
    // The one that the successor makes of the same segment ends where the epoch does.
    await new SegmentIndexer(successor, 1).round()
    const again = await recovered(path)
    assert.deepStrictEqual(again.state, expected)
    assert.isBelow(await indexedBytes(zombie.paths, 1, 1), bytes.length)
    assert.deepStrictEqual(again.indexed, [1, 2])
  })

  it("of a segment whose last bytes are on their way leaves out no part of a transaction that goes on there", async () => {
    const memory = new FaultyDisk()
    const on = { ...settings, said: [], segmentBytes: 5 * partBytes }
    const engine = engineAt(FaultyDisk.directory, { ...on, disk: memory.mount() })
    await engine.load()
    await engine.takeOver()
    const { store, writer = assert.fail() } = engine
    const shape = createShape(engine, "a")
    assert.isTrue(await engine.settled())
    const writePart = (ops: ReadonlyArray<number>) => {
      const items = ops.map((op) => ({ op, ids: [shape.id], padding: partBytes }))
      writeItems(engine, writer.ordinary, 100n, items, (...item) => store.item(...item))
      writer.flush()
    }
    writer.ordinary.beginTransaction(100n, 100)
    writePart([0, 2])
    assert.isTrue(await writer.written())
    const stalled = memory.stall({ operation: "write", path: /journal/ })
    writePart([4, 6])
    writer.ordinary.commitTransaction(108n, true)
    store.commit(100n, 108n, 100, writer.ordinary.segmentOfTransaction)
    writeTransaction(engine, 200n, [{ op: 0, ids: [shape.id], padding: 2 * partBytes }])
    writeTransaction(engine, 300n, [{ op: 0, ids: [shape.id] }])
    assert.strictEqual(writer.segment, 2)
    const indexer = new SegmentIndexer(engine, 1)
    await indexer.round()
    stalled.end()
    assert.isTrue(await engine.settled())
    const expected = ["100_0", "100_2", "100_4", "100_6!", "200_0!", "300_0!"]
    const asRead = async () => {
      const next = engineAt(FaultyDisk.directory, { ...on, disk: memory.mount() })
      await next.load()
      const read = changes(await readAll(next, next.live(shape) ?? assert.fail(), snapshotEnd))
      await next.close()
      return read
    }
    assert.deepStrictEqual(await asRead(), expected)
    // Now it is finished, and so is its index.
    await indexer.round()
    const { size } = (await engine.paths.disk.stat(segmentFile(engine.paths, 1, 1))) ?? assert.fail()
    assert.strictEqual(await indexedBytes(engine.paths, 1, 1), size)
    assert.deepStrictEqual(await asRead(), expected)
    await engine.close()
  })

  it("of a release that may have written it too early counts where it goes to the end, and is written anew elsewhere", async () => {
    const path = temporaryDirectory()
    const engine = await started(path)
    const shape = createShape(engine, "a")
    for (let t = 1; t <= 30; t++)
      writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 100 }])
    await engine.writer?.durable()
    const expected = await recoveredPlainly(path)
    const bytes = readFileSync(segmentFile(engine.paths, 1, 1))
    const indexUpTo = async (end: number) => {
      const scan = new SegmentScan(1, 1)
      // As those releases did it: as if nothing came behind it.
      await scan.feed(bytes, end)
      const words = scan.encode(true) ?? assert.fail()
      words[headField.magic] = doubtfulMagic
      sealIndex(words)
      await writeIndex(engine.paths, 1, 1, words)
      return scan.end
    }
    for (const end of [200, 400, 700, 1000]) {
      assert.isBelow(await indexUpTo(end), bytes.length)
      assert.strictEqual(await indexedBytes(engine.paths, 1, 1), 0)
      const found = await recovered(path)
      assert.deepStrictEqual(found.state, expected)
      assert.notInclude(found.indexed, 1)
    }
    assert.strictEqual(await indexUpTo(bytes.length), bytes.length)
    const found = await recovered(path)
    assert.deepStrictEqual(found.state, expected)
    assert.include(found.indexed, 1)
    await new SegmentIndexer(engine, 1).round()
    assert.strictEqual(await indexedBytes(engine.paths, 1, 1), bytes.length)
    await engine.close()
  })

  it("is written again when the segment has grown, and goes with it", async () => {
    const path = temporaryDirectory()
    let passedMillis = 0
    const engine = await started(path, {
      timers: { ...systemTimers, nowMillis: () => performance.now() + passedMillis }
    })
    const shape = createShape(engine, "a")
    const indexer = new SegmentIndexer(engine, 400)
    const grow = async (from: number, to: number) => {
      for (let t = from; t <= to; t++)
        writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 100 }])
      await engine.writer?.durable()
      await indexer.round()
    }
    await grow(1, 2)
    const before = await indexedBytes(engine.paths, 1, 1)
    assert.isAbove(before, 400)
    await grow(3, 3)
    assert.strictEqual(await indexedBytes(engine.paths, 1, 1), before)
    // What it has read is forgotten meanwhile, and what it has written is not written again.
    passedMillis = 60_000
    await grow(4, 3)
    assert.strictEqual(await indexedBytes(engine.paths, 1, 1), before)
    await grow(4, 60)
    assert.isAbove(await indexedBytes(engine.paths, 1, 1), before)
    appendFileSync(join(engine.paths.indexes, "00000001-00000001.77.tmp"), "left over")
    await maintain(engine)
    await indexer.round()
    const left = readdirSync(engine.paths.indexes).map((name) => parseSegmentFile(name)?.segment ?? 0)
    assert.isNotEmpty(left)
    for (const segment of left) assert.isAtLeast(segment, engine.oldestSegment)
    const follower = await recovered(path)
    assert.deepStrictEqual(follower.state, await recoveredPlainly(path))
  })
})

describe("the proof that a segment holds what its index was made of", () => {
  it("is made again after the disk has refused, and is known once it is made", async () => {
    const memory = new FaultyDisk([])
    const disk = memory.mount()
    const paths = storagePaths(FaultyDisk.directory, "default", undefined, disk)
    const bytes = Buffer.from("a segment")
    await makeDirectories(disk, paths.journal)
    await writeWhole(disk, segmentFile(paths, 1, 7), bytes)
    const proofs = new SegmentProofs(paths)
    const sum = { epoch: 1, segment: 7, bytes: bytes.length, crc: crc32(bytes) }
    const fault = memory.fail({ path: /journal/ }, "EIO")
    for (let n = 0; n < 2; n++) {
      const refused = await proofs.prove(sum).then(String, String)
      assert.match(refused, /cannot look at .*00000007: EIO/)
    }
    fault.end()
    assert.isTrue(await proofs.prove(sum))
    assert.isFalse(proofs.isRefuted(sum))
    assert.isFalse(await proofs.prove({ ...sum, crc: 1 }))
    const later = memory.fail({ path: /journal/ }, "EIO")
    assert.isTrue(await proofs.prove(sum))
    assert.strictEqual(later.hits(), 0)
    const late = proofs.prove({ ...sum, crc: 2 }).then(String, String)
    await proofs.close()
    assert.strictEqual(await late, "true")
  })
})
