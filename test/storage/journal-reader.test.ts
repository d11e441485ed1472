import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { JournalReader } from "../../src/storage/journal/JournalReader.ts"
import { RecentBytes } from "../../src/storage/journal/RecentBytes.ts"
import type { ShapeHandle } from "../../src/storage/ShapeLogs.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { frameHeaderBytes, scanFrame } from "../../src/storage/disk/Frame.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import {
  changes,
  createShape,
  engineAt,
  hasty,
  messageOf,
  openEngine,
  readAll,
  temporaryDirectory,
  writeTransaction
} from "./support.ts"

const open = (path: string): Promise<StorageEngine> => openEngine(path, { segmentBytes: 800, timers: hasty })

const numbered = (to: number): ReadonlyArray<string> =>
  Array.from({ length: to }, (_, i) => `${(i + 1) * 100}_0!`)

/** A journal of several segments, in which every transaction has an entry of one of two shapes. */
const written = async () => {
  const path = temporaryDirectory()
  const engine = await open(path)
  await engine.takeOver()
  const shapes = [createShape(engine, "even"), createShape(engine, "odd")] as const
  const expected = new Map<ShapeHandle, Array<string>>(shapes.map((shape) => [shape, []]))
  for (let t = 1; t <= 24; t++) {
    const shape = shapes[t % 2] ?? shapes[0]
    writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 60 }])
    expected.get(shape)?.push(`${t * 100}_0!`)
  }
  await engine.writer?.durable()
  const segments = readdirSync(engine.paths.journal).toSorted()
  assert.isAtLeast(segments.length, 4)
  await engine.close()
  return { path, shapes, expected, segments, journal: engine.paths.journal }
}

/** Reads until it is to go on in a file in which it has read nothing yet. */
const readerBefore = async (path: string, missed: Array<string> = []) => {
  const engine = engineAt(path)
  const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1 << 20 })
  const damages: Array<string> = []
  const reader = new JournalReader({
    paths: engine.paths,
    store,
    recent: new RecentBytes(1 << 20),
    from: { epoch: 1, segment: 1, position: 0 },
    onDamage: (message) => damages.push(message),
    onSegment: () => {},
    mayBePassed: (epoch, segment) => missed.push(`${epoch}-${segment}`) === 1
  })
  while (reader.segment < 2) assert.strictEqual(await reader.poll(), "progress")
  assert.strictEqual(reader.position, 0)
  return { reader, store, damages, missed }
}

describe("journal reader", () => {
  it("takes a transaction once that stands in the journal twice", async () => {
    const path = temporaryDirectory()
    const engine = await open(path)
    await engine.takeOver()
    const shape = createShape(engine, "a")
    const { writer } = engine
    if (writer === undefined) return assert.fail("not writing")
    for (const lsn of [100n, 200n, 200n, 100n, 300n, 300n]) {
      writer.ordinary.beginTransaction(lsn, 100)
      writer.ordinary.beginItem()
      const at = writer.out.length
      writer.out.append(Buffer.from(messageOf(lsn, { op: 0, ids: [shape.id] })))
      writer.ordinary.endItem(0, at, Uint32Array.of(shape.id), 1)
      writer.ordinary.endOfItems()
      writer.ordinary.commitTransaction(lsn + 8n, true)
    }
    await engine.writer?.durable()
    await engine.close()
    const next = await open(path)
    assert.isDefined(next.live(shape))
    assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), ["100_0!", "200_0!", "300_0!"])
    assert.strictEqual(next.store.lastCommitLsn, 300n)
  })

  it("stays with a segment until it has all of it, even if the next one is there already", async () => {
    const { journal, path, segments, expected } = await written()
    const copy = temporaryDirectory()
    cpSync(path, copy, { recursive: true })
    const first = join(copy, journal.slice(path.length), segments[1] ?? "")
    const whole = readFileSync(first)
    const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1 << 20 })
    truncateSync(first, 100)
    const paths = engineAt(copy).paths
    const damages: Array<string> = []
    const reader = new JournalReader({
      paths,
      store,
      recent: new RecentBytes(1 << 20),
      from: { epoch: 1, segment: 1, position: 0 },
      onDamage: (message) => damages.push(message),
      onSegment: () => {}
    })
    const readOn = async () => {
      for (;;) {
        const result = await reader.poll()
        if (result !== "progress") return result
      }
    }
    for (let at = readFileSync(first).length; at < whole.length; at += 37) {
      assert.strictEqual(await readOn(), "behind", `with ${at} of ${whole.length} bytes`)
      appendFileSync(first, whole.subarray(at, at + 37))
    }
    assert.strictEqual(await readOn(), "idle")
    assert.strictEqual(reader.segment, segments.length)
    assert.deepStrictEqual(damages, [])
    for (const [shape, all] of expected)
      assert.strictEqual(store.byHandle(shape.handle)?.tail?.count, all.length)
    await reader.close()
  })

  it("a flipped bit anywhere never costs a shape a change without the shape being dropped", async () => {
    const { expected, journal, path, segments } = await written()
    let dropped = 0
    for (const segment of segments) {
      const { length } = readFileSync(join(journal, segment))
      for (let at = 0; at < length; at += 41) {
        const copy = temporaryDirectory()
        cpSync(path, copy, { recursive: true })
        const file = join(copy, journal.slice(path.length), segment)
        const bytes = readFileSync(file)
        bytes[at] = (bytes[at] ?? 0) ^ 0x10
        writeFileSync(file, bytes)
        const engine = await open(copy)
        // What is damaged at the very end counts as torn off; Postgres sends it again.
        const isLast = segment === segments.at(-1)
        for (const [shape, all] of expected) {
          if (engine.store.byHandle(shape.handle) === undefined) {
            dropped++
            continue
          }
          const seen = changes(await readAll(engine, shape, snapshotEnd))
          const complete = isLast ? all.slice(0, seen.length) : all
          assert.deepStrictEqual(seen, complete, `flip at ${at} of ${segment}`)
        }
        await engine.close()
        rmSync(copy, { recursive: true, force: true })
      }
    }
    assert.isAbove(dropped, 10)
  })

  it("a record that was written in part is the end of the journal in its last segment, whatever stands behind it", async () => {
    const { expected, journal, path, segments } = await written()
    let dropped = 0
    let cut = 0
    for (const segment of segments) {
      const whole = readFileSync(join(journal, segment))
      for (let at = 0; at < whole.length;) {
        const frame = scanFrame(whole, at, whole.length)
        if (frame._tag !== "Frame") return assert.fail(frame._tag)
        const { end } = frame
        for (const there of [0, 4, 8, frameHeaderBytes, (end - at) >>> 1, end - at - 4]) {
          const copy = temporaryDirectory()
          cpSync(path, copy, { recursive: true })
          writeFileSync(
            join(copy, journal.slice(path.length), segment),
            Buffer.from(whole).fill(0, at + there, end)
          )
          const engine = await open(copy)
          const isLast = segment === segments.at(-1)
          for (const [shape, all] of expected) {
            const live = engine.store.byHandle(shape.handle)
            const what = `${there} bytes of that at ${at} of ${segment}`
            if (isLast) assert.isDefined(live, what)
            if (live === undefined) {
              dropped++
              continue
            }
            const seen = changes(await readAll(engine, live, snapshotEnd))
            if (seen.length < all.length) cut++
            assert.deepStrictEqual(seen, isLast ? all.slice(0, seen.length) : all, what)
          }
          await engine.close()
          rmSync(copy, { recursive: true, force: true })
        }
        at = end
      }
    }
    assert.isAbove(dropped, 10)
    assert.isAbove(cut, 10)
  })

  for (const kind of ["ordinary", "late"] as const)
    it(`a flipped bit in any part of a transaction, when it is ${kind}, costs what its other parts lack without it`, async () => {
      const path = temporaryDirectory()
      const engine = await openEngine(path, { timers: hasty, segmentBytes: 2500 })
      await engine.takeOver()
      const shapes = ["a", "b", "c"].map((name) => createShape(engine, name))
      const [a, b, c] = shapes.map(({ id }) => id)
      const { writer } = engine
      if (writer === undefined || a === undefined || b === undefined || c === undefined)
        return assert.fail("not made")
      const { position: from, segment } = writer
      const transaction = writer[kind]
      transaction.beginTransaction(100n, 100)
      for (const [op, ids] of [[a], [b], [a, c]].entries()) {
        transaction.beginItem()
        const at = writer.out.length
        writer.out.append(Buffer.from(messageOf(100n, { op, ids })))
        transaction.endItem(op, at, Uint32Array.from(ids), ids.length)
        // What comes between ends a part.
        if (op < 2) writer.notice({ t: "passed", xids: [] })
      }
      transaction.commitTransaction(108n, true)
      writer.notice({ t: "position", lsn: "108" })
      const to = writer.position
      // The end of the journal would be taken for torn off.
      while (writer.segment === segment) writer.notice({ t: "position", lsn: "109" })
      await writer.durable()
      await engine.close()
      const expected = [["100_0", "100_2!"], ["100_1!"], ["100_2!"]]
      for (let at = from; at < to; at += 11) {
        const copy = temporaryDirectory()
        cpSync(path, copy, { recursive: true })
        const { journal } = storagePaths(copy, "default")
        const file = join(journal, readdirSync(journal).toSorted().at(-2) ?? "")
        const bytes = readFileSync(file)
        bytes[at] = (bytes[at] ?? 0) ^ 0x10
        writeFileSync(file, bytes)
        const damaged = await openEngine(copy, { timers: hasty, said: [] })
        for (const [n, shape] of shapes.entries()) {
          const live = damaged.store.byHandle(shape.handle)
          if (live === undefined) continue
          assert.deepStrictEqual(changes(await readAll(damaged, live, snapshotEnd)), expected[n], `at ${at}`)
        }
        await damaged.close()
        rmSync(copy, { recursive: true, force: true })
      }
    })

  it("bytes that are gone for good cost all shapes, in the end, and not the service", async () => {
    const { expected, journal, path, segments } = await written()
    truncateSync(join(journal, segments[1] ?? ""), 100)
    const engine = await open(path)
    assert.isDefined(await engine.takeOver())
    for (const shape of expected.keys()) assert.isUndefined(engine.store.byHandle(shape.handle))
    const shape = createShape(engine, "new")
    for (let t = 1; t <= 3; t++) writeTransaction(engine, BigInt(10_000 + t), [{ op: 0, ids: [shape.id] }])
    assert.strictEqual(changes(await readAll(engine, shape, snapshotEnd)).length, 3)
  })

  it("a segment that was moved and removed while nothing happened here is looked for elsewhere, and costs nothing", async () => {
    // The next ones, too, or all but the very last one.
    for (const alsoGone of [0, 1, 2]) {
      const { expected, journal, path, segments } = await written()
      const { damages, missed, reader, store } = await readerBefore(path)
      assert.isAbove(segments.length, 2 + alsoGone)
      for (const segment of segments.slice(1, 2 + alsoGone)) rmSync(join(journal, segment))
      assert.strictEqual(await reader.poll(), "stale", `${alsoGone} more`)
      assert.deepStrictEqual([damages, missed], [[], ["1-2"]])
      for (const shape of expected.keys()) assert.isDefined(store.byHandle(shape.handle))
      await reader.close()
    }
  })

  it("one of an epoch that is over, too", async () => {
    const { journal, path, segments } = await written()
    const { reader } = await readerBefore(path)
    const next = await open(path)
    assert.isDefined(await next.takeOver())
    await next.writer?.durable()
    for (const segment of segments.slice(1)) rmSync(join(journal, segment))
    // It learns of the end with the first look.
    assert.strictEqual(await reader.poll(), "idle")
    assert.strictEqual(await reader.poll(), "stale")
    await reader.close()
    await next.close()
  })

  it("a segment that has not been begun is waited for", async () => {
    const { journal, path, segments } = await written()
    const { missed, reader } = await readerBefore(path)
    for (const segment of segments.slice(1)) rmSync(join(journal, segment))
    for (let n = 0; n < 3; n++) assert.strictEqual(await reader.poll(), "idle")
    assert.deepStrictEqual(missed, [])
    await reader.close()
  })

  it("a segment that is lost costs all shapes, in the end, and neither the service nor what comes later", async () => {
    const { expected, journal, path, segments } = await written()
    const { damages, missed, reader, store } = await readerBefore(path)
    rmSync(join(journal, segments[1] ?? ""))
    assert.strictEqual(await reader.poll(), "stale")
    // Loaded anew, it is there again.
    for (let n = 0; n < 100; n++) assert.strictEqual(await reader.poll(), "behind")
    for (let result = "progress"; result === "progress"; result = await reader.poll());
    assert.isAbove(missed.length, 1)
    assert.strictEqual(damages.length, 1)
    assert.strictEqual(reader.segment, segments.length)
    for (const shape of expected.keys()) assert.isUndefined(store.byHandle(shape.handle))
    await reader.close()
  })

  it("a follower that looks at every moment of a rotation misses nothing", async () => {
    const path = temporaryDirectory()
    const engine = await open(path)
    await engine.takeOver()
    const shape = createShape(engine, "a")
    const follower = await open(path)
    const watching = (async () => {
      while (follower.store.lastCommitLsn < 20_000n) {
        follower.follow()
        await follower.catchUp()
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    for (let t = 1; t <= 200; t++) {
      writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 100 }])
      if (t % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await engine.writer?.durable()
    await watching
    assert.deepStrictEqual(changes(await readAll(follower, shape, snapshotEnd)), numbered(200))
  })
})
