import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { frameHeaderBytes, scanFrame } from "../../src/storage/disk/Frame.ts"
import { LargeItem } from "../../src/storage/journal/LargeItem.ts"
import { recordKind } from "../../src/storage/records/Records.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { ByteWriter } from "../../src/shared/ByteWriter.ts"
import { visitPart } from "../../src/storage/records/TransactionPart.ts"
import {
  changes,
  createShape,
  messageOf,
  openEngine,
  readAll,
  temporaryDirectory,
  writeTransaction,
  writingEngine
} from "./support.ts"
import { eventually } from "../../testing/Eventually.ts"

interface Part {
  readonly segment: string
  readonly commitLsn: bigint
  readonly bytes: number
  readonly last: boolean
}

/** Every part of a transaction in the journal's files, in order. */
const partsOnDisk = (engine: StorageEngine): ReadonlyArray<Part> => {
  const parts: Array<Part> = []
  for (const segment of readdirSync(engine.paths.journal).toSorted()) {
    const bytes = readFileSync(join(engine.paths.journal, segment))
    for (let at = 0; at < bytes.length;) {
      const frame = scanFrame(bytes, at, bytes.length)
      // The last record may be on its way.
      if (frame._tag !== "Frame") break
      if (frame.kind === recordKind.transaction) {
        let commitLsn = 0n
        visitPart(bytes, at + frameHeaderBytes, frame.end, {
          part: (lsn) => (commitLsn = lsn),
          item: () => {},
          partEnd: (last) => parts.push({ segment, commitLsn, bytes: frame.end - at, last })
        })
      }
      at = frame.end
    }
  }
  return parts
}

/** Begins a transaction of `items` large items without ending it. */
const beginLarge = (engine: StorageEngine, lsn: bigint, ids: ReadonlyArray<number>, items: number): void => {
  const { writer } = engine
  if (writer === undefined) throw new Error("not writing")
  writer.ordinary.beginTransaction(lsn, 100)
  for (let i = 0; i < items; i++) {
    writer.ordinary.beginItem()
    const at = writer.out.length
    const message = messageOf(lsn, { op: i * 2, ids, padding: 20_000 })
    writer.out.append(Buffer.from(message))
    const position = writer.ordinary.endItem(i * 2, at, Uint32Array.from(ids), ids.length)
    engine.store.item(i * 2, position, message.length, Uint32Array.from(ids), 0, ids.length)
    writer.ordinary.endOfItems()
  }
}

const endLarge = (engine: StorageEngine, lsn: bigint): void => {
  const { writer } = engine
  if (writer === undefined) throw new Error("not writing")
  writer.ordinary.commitTransaction(lsn + 8n, true)
  engine.store.commit(lsn, lsn + 8n, 100, writer.ordinary.segmentOfTransaction)
  writer.flush()
}

describe("journal writer", () => {
  it("begins a segment only between transactions, whatever their sizes", async () => {
    const transaction = fc.record({
      items: fc.array(fc.constantFrom(0, 10, 300, 3000), { minLength: 1, maxLength: 6 }),
      flush: fc.boolean()
    })
    await fc.assert(
      fc.asyncProperty(fc.array(transaction, { minLength: 1, maxLength: 25 }), async (transactions) => {
        const path = temporaryDirectory()
        const engine = await writingEngine(path, { segmentBytes: 2000 })
        const shape = createShape(engine, "a")
        const expected: Array<string> = []
        for (const [i, { flush, items }] of transactions.entries()) {
          const lsn = BigInt((i + 1) * 100)
          writeTransaction(
            engine,
            lsn,
            items.map((padding, k) => ({ op: k * 2, ids: [shape.id], padding }))
          )
          items.forEach((_, k) => expected.push(`${lsn}_${k * 2}${k === items.length - 1 ? "!" : ""}`))
          if (flush) await engine.writer?.durable()
        }
        await engine.writer?.durable()
        const segmentOf = new Map<bigint, string>()
        for (const { commitLsn, segment } of partsOnDisk(engine)) {
          assert.strictEqual(segmentOf.get(commitLsn) ?? segment, segment, `${commitLsn} is torn apart`)
          segmentOf.set(commitLsn, segment)
        }
        assert.strictEqual(segmentOf.size, transactions.length)
        for (const name of readdirSync(engine.paths.journal).toSorted().slice(0, -1))
          assert.isAtLeast(readFileSync(join(engine.paths.journal, name)).length, 2000)
        const reader = await openEngine(path)
        for (const each of [engine, reader])
          assert.deepStrictEqual(changes(await readAll(each, shape, snapshotEnd)), expected)
        await reader.close()
        await engine.close()
      }),
      { numRuns: 25 }
    )
  })

  it("never writes to the memory of a large row again, which readers are sent from; to that of others it does", async () => {
    const engine = await writingEngine(temporaryDirectory(), { recentBytes: 4 << 20 })
    const { writer } = engine
    if (writer === undefined) throw new Error("not writing")
    const { id } = createShape(engine, "a")
    const ids = Uint32Array.of(id)
    const message = Buffer.from(messageOf(100n, { op: 0, ids: [id], padding: 2 << 20 }))
    writer.ordinary.beginTransaction(100n, 100)
    const item = new LargeItem(new ByteWriter(message.length + 1000))
    item.out.append(message)
    for (const _ of item.seal(100n, 100, 0, ids));
    const large = { segment: writer.segment, position: writer.ordinary.land(item) }
    engine.store.item(0, large.position, message.length, ids, 0, 1)
    endLarge(engine, 100n)
    const bytes = engine.memory(large.segment, large.position, message.length) ?? Buffer.alloc(0)
    assert.isTrue(bytes.equals(message))
    assert.isTrue(engine.isLasting(bytes))

    writeTransaction(engine, 200n, [{ op: 0, ids: [id] }])
    const { buffer } = writer.out
    assert.isFalse(engine.isLasting(buffer), "what is being written to")
    const used = new Set<unknown>()
    for (let lsn = 300n; lsn < 5000n; lsn += 100n) {
      beginLarge(engine, lsn, [id], 30)
      endLarge(engine, lsn)
      await writer.durable()
      used.add(writer.out.buffer.buffer)
      const before = engine.memory(writer.segment, writer.base - 1000, 1000)
      if (before !== undefined && before.buffer !== bytes.buffer)
        assert.isFalse(engine.isLasting(before), "it may be written to")
    }
    assert.isBelow(used.size, 20, "memory is used again")
    assert.isFalse(used.has(bytes.buffer))
    assert.isTrue(bytes.equals(message))
  })

  it("a huge transaction goes to disk in parts, and is seen all at once or never", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path)
    const shape = createShape(engine, "a")
    writeTransaction(engine, 100n, [{ op: 0, ids: [shape.id] }])
    const follower = await openEngine(path)
    follower.follow()
    beginLarge(engine, 200n, [shape.id], 200)
    engine.writer?.flush()
    await eventually("parts on disk", () => partsOnDisk(engine).some(({ commitLsn }) => commitLsn === 200n))
    const early = partsOnDisk(engine).filter(({ commitLsn }) => commitLsn === 200n)
    assert.isTrue(early.every(({ last }) => !last))
    await new Promise((resolve) => setTimeout(resolve, 150))
    const late = await openEngine(path)
    for (const each of [engine, follower, late])
      assert.deepStrictEqual(changes(await readAll(each, shape, snapshotEnd)), ["100_0!"])
    endLarge(engine, 200n)
    await engine.writer?.durable()
    await eventually("the follower sees it", () => follower.store.lastCommitLsn === 200n)
    const parts = partsOnDisk(engine).filter(({ commitLsn }) => commitLsn === 200n)
    assert.isAbove(parts.length, 10)
    for (const part of parts) assert.isBelow(part.bytes, 300_000)
    const later = await openEngine(path)
    for (const each of [engine, follower, later]) {
      const seen = changes(await readAll(each, shape, snapshotEnd))
      assert.strictEqual(seen.length, 201)
      assert.strictEqual(seen.at(-1), "200_398!")
    }
  })

  it("a huge transaction that was cut off never happened, and comes again under the same offsets", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path)
    const shape = createShape(engine, "a")
    beginLarge(engine, 200n, [shape.id], 100)
    engine.writer?.flush()
    await engine.release(1000)
    assert.deepStrictEqual(changes(await readAll(engine, shape, snapshotEnd)), [])
    const next = await writingEngine(path)
    assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), [])
    beginLarge(next, 200n, [shape.id], 100)
    endLarge(next, 200n)
    await next.writer?.durable()
    const third = await openEngine(path)
    await eventually("the old one follows", () => engine.store.lastCommitLsn === 200n)
    for (const each of [engine, next, third])
      assert.strictEqual(changes(await readAll(each, shape, snapshotEnd)).length, 100)
  })

  it("a shape made in the middle of a transaction does not tear it apart", async () => {
    const path = temporaryDirectory()
    // The segment is full when the records of the shape come.
    const engine = await writingEngine(path, { segmentBytes: 5000 })
    const shape = createShape(engine, "a")
    beginLarge(engine, 200n, [shape.id], 3)
    const late = createShape(engine, "late")
    const { writer } = engine
    assert.isDefined(writer)
    for (const op of [6, 8]) {
      writer?.ordinary.beginItem()
      const at = writer?.out.length ?? 0
      const message = messageOf(200n, { op, ids: [shape.id, late.id] })
      writer?.out.append(Buffer.from(message))
      const ids = Uint32Array.from([shape.id, late.id])
      const position = writer?.ordinary.endItem(op, at, ids, 2) ?? 0
      engine.store.item(op, position, message.length, ids, 0, 2)
    }
    endLarge(engine, 200n)
    await engine.writer?.durable()
    assert.strictEqual(new Set(partsOnDisk(engine).map(({ segment }) => segment)).size, 1)
    const reader = await openEngine(path)
    for (const each of [engine, reader]) {
      assert.deepStrictEqual(changes(await readAll(each, shape, snapshotEnd)), [
        "200_0",
        "200_2",
        "200_4",
        "200_6",
        "200_8!"
      ])
      assert.deepStrictEqual(changes(await readAll(each, late, snapshotEnd)), ["200_6", "200_8!"])
    }
  })

  it("keeps what readers find in memory, and what is still to be written, from being overwritten", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path, { recentBytes: 3 << 20 })
    const shape = createShape(engine, "a")
    const lsns: Array<bigint> = []
    for (let t = 1; t <= 40; t++) {
      for (let n = 0; n < 5; n++) {
        const lsn = BigInt(t * 1000 + n)
        beginLarge(engine, lsn, [shape.id], 4)
        endLarge(engine, lsn)
        lsns.push(lsn)
      }
      // More than is kept for readers has been composed meanwhile, and none of it is on disk.
      if (t % 20 !== 0) continue
      const latest = await readAll(engine, shape, { tx: lsns.at(-12) ?? 0n, op: 6 })
      assert.deepStrictEqual(
        [...new Set(latest.messages.map(({ headers }) => headers.lsn))].filter((lsn) => lsn !== undefined),
        lsns.slice(-11).map(String)
      )
    }
    await engine.writer?.durable()
    const onDisk = partsOnDisk(engine).map(({ commitLsn }) => commitLsn)
    assert.deepStrictEqual([...new Set(onDisk)], lsns)
  })

  it("forgets what is in memory when it is old and on the disk, and readers find it there", async () => {
    const engine = await writingEngine(temporaryDirectory(), { segmentBytes: 1000 })
    const shape = createShape(engine, "a")
    const written: Array<string> = []
    for (let t = 1; t <= 12; t++) {
      writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 200 }])
      written.push(`${t * 100}_0!`)
    }
    const tail = engine.store.get(shape.id)?.tail ?? assert.fail("no entries")
    const inMemory = () => engine.memory(tail.segment(0), tail.position(0), tail.length(0)) !== undefined
    for (let i = 0; i < 3; i++) engine.writer?.ageRecent()
    assert.isTrue(inMemory(), "it is nowhere else yet")
    assert.isTrue(await engine.writer?.durable())
    for (let i = 0; i < 2; i++) engine.writer?.ageRecent()
    assert.isFalse(inMemory())
    assert.deepStrictEqual(changes(await readAll(engine, shape, snapshotEnd)), written)
  })

  it("says that records are durable when their bytes are in the file, in order", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path, { segmentBytes: 3000 })
    const shape = createShape(engine, "a")
    const marks: Array<{ readonly marker: number; readonly lsn: bigint }> = []
    const durable: Array<number> = []
    const promises: Array<Promise<void>> = []
    /** Asked for while a group is on its way, and right after one has come through. */
    const expectKept = (lsns: ReadonlyArray<bigint>): void => {
      const promise = engine.writer?.durable() ?? Promise.resolve(false)
      const check = (kept: boolean) => {
        assert.isTrue(kept)
        const onDisk = new Set(partsOnDisk(engine).map(({ commitLsn }) => commitLsn))
        for (const lsn of lsns) assert.isTrue(onDisk.has(lsn), `${lsn} is promised`)
      }
      promises.push(promise.then(check))
    }
    engine.listeners.durable.subscribe((marker) => {
      durable.push(marker)
      expectKept(marks.map(({ lsn }) => lsn))
      const onDisk = new Set(partsOnDisk(engine).map(({ commitLsn }) => commitLsn))
      for (const mark of marks)
        if (mark.marker <= marker) assert.isTrue(onDisk.has(mark.lsn), `${mark.lsn} is not on disk yet`)
    })
    for (let t = 1; t <= 60; t++) {
      const lsn = BigInt(t * 100)
      writeTransaction(engine, lsn, [{ op: 0, ids: [shape.id], padding: 200 }])
      expectKept([lsn])
      marks.push({ marker: engine.writer?.marker ?? 0, lsn: BigInt(t * 100) })
      if (t % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(promises)
    assert.strictEqual(durable.at(-1), marks.at(-1)?.marker)
    assert.deepStrictEqual(
      durable,
      durable.toSorted((a, b) => a - b)
    )
    // Many transactions share one write.
    assert.isBelow(durable.length, 60)
  })
})
