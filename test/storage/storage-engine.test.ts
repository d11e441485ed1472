import { cpSync, readdirSync, rmSync, statSync, truncateSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import fc from "fast-check"
import { beforeAll as beforeAllOffset, parseOffset, snapshotEnd } from "../../src/shapes/LogOffset.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { frameHeaderBytes } from "../../src/storage/disk/Frame.ts"
import { itemHeaderBytes, partHeaderBytes } from "../../src/storage/records/TransactionPart.ts"
import {
  changes,
  createShape,
  type Item,
  maintenanceOf,
  messageOf,
  openEngine,
  readAll,
  temporaryDirectory,
  writeTransaction,
  writingEngine
} from "./support.ts"
import { eventually } from "../../testing/Eventually.ts"

const maintain = async (engine: StorageEngine): Promise<void> => {
  const maintenance = maintenanceOf(engine)
  await Effect.runPromise(Effect.scoped(Effect.andThen(maintenance.round(), maintenance.round())))
}

describe("storage engine", () => {
  it("a snapshot may show a transaction whose commit comes after that of a later one which it does not show", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path)
    const known = createShape(engine, "known", {
      xmin: "901",
      xmax: "901",
      xipList: [],
      containedBefore: "300"
    })
    writeTransaction(engine, 100n, [{ op: 0, ids: [known.id] }], 901)
    writeTransaction(engine, 200n, [{ op: 0, ids: [known.id] }], 899)
    writeTransaction(engine, 300n, [{ op: 0, ids: [known.id] }], 898)
    const expected = ["100_0!", "300_0!"]
    assert.deepStrictEqual(changes(await readAll(engine, known, beforeAllOffset)), expected)
    await engine.writer?.durable()
    const follower = await openEngine(path)
    const there = follower.store.byHandle(known.handle)
    assert.isDefined(there)
    if (there !== undefined)
      assert.deepStrictEqual(changes(await readAll(follower, there, beforeAllOffset)), expected)
  })

  it("gives a shape its entries once each, in order, from every offset it ever returned", async () => {
    const engine = await writingEngine(temporaryDirectory(), { chunkBytesThreshold: 400 })
    const a = createShape(engine, "a")
    const b = createShape(engine, "b")
    for (let t = 1n; t <= 20n; t++) {
      writeTransaction(engine, t * 100n, [
        { op: 0, ids: [a.id] },
        { op: 2, ids: [a.id, b.id] },
        { op: 4, ids: t % 3n === 0n ? [b.id] : [] }
      ])
    }
    const whole = await readAll(engine, a, beforeAllOffset)
    assert.strictEqual(whole.messages[0]?.headers.control, "snapshot-end")
    const expected: Array<string> = []
    for (let t = 1; t <= 20; t++) expected.push(`${t * 100}_0`, `${t * 100}_2!`)
    assert.deepStrictEqual(changes(whole), expected)
    assert.isAbove(whole.offsets.length, 4)
    for (const text of whole.offsets) {
      const offset = parseOffset(text)
      if (offset === undefined || offset.tx === 0n) continue
      const rest = changes(await readAll(engine, a, offset))
      const from = expected.findIndex((e) => e.startsWith(`${text}`)) + 1
      assert.deepStrictEqual(rest, expected.slice(from), `from ${text}`)
    }
  })

  it("a follower sees what the writer writes, and the next writer continues from it", async () => {
    const path = temporaryDirectory()
    const first = await writingEngine(path)
    const shape = createShape(first, "a")
    writeTransaction(first, 100n, [{ op: 0, ids: [shape.id] }])
    const second = await openEngine(path)
    second.follow()
    writeTransaction(first, 200n, [{ op: 0, ids: [shape.id] }])
    const late = createShape(first, "late")
    writeTransaction(first, 300n, [{ op: 0, ids: [late.id, shape.id] }])
    await first.release(1000)
    await second.takeOver()
    assert.strictEqual(second.writer?.epoch, 2)
    writeTransaction(second, 400n, [{ op: 0, ids: [late.id] }])
    const seen = second.store.byHandle(shape.handle)
    assert.isDefined(seen)
    assert.deepStrictEqual(changes(await readAll(second, shape, snapshotEnd)), ["100_0!", "200_0!", "300_0!"])
    assert.deepStrictEqual(changes(await readAll(second, late, snapshotEnd)), ["300_0!", "400_0!"])
    // The old writer is a follower now and is fed by the new one.
    await second.writer?.durable()
    await eventually("what the new one wrote", () => first.store.lastCommitLsn >= 400n)
    assert.deepStrictEqual(changes(await readAll(first, late, snapshotEnd)), ["300_0!", "400_0!"])
  })

  it("a writer that was fenced off can add nothing that others see", async () => {
    const path = temporaryDirectory()
    const zombie = await writingEngine(path)
    const shape = createShape(zombie, "a")
    writeTransaction(zombie, 100n, [{ op: 0, ids: [shape.id] }])
    await zombie.writer?.durable()
    const successor = await writingEngine(path)
    writeTransaction(successor, 200n, [{ op: 0, ids: [shape.id] }])
    writeTransaction(zombie, 200n, [
      { op: 0, ids: [shape.id] },
      { op: 2, ids: [shape.id] }
    ])
    createShape(zombie, "ghost")
    assert.isFalse(await zombie.settled())
    const third = await openEngine(path)
    assert.deepStrictEqual(changes(await readAll(third, shape, snapshotEnd)), ["100_0!", "200_0!"])
    assert.strictEqual(third.store.count, 1)
    await zombie.release(1000)
    // What it had composed after it was fenced off goes as soon as it has looked at the journal again.
    await eventually("what the others see", async () => {
      assert.deepStrictEqual(changes(await readAll(zombie, shape, snapshotEnd)), ["100_0!", "200_0!"])
      return true
    })
  })

  it("every cut of the journal keeps exactly the transactions before it", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path)
    const shape = createShape(engine, "a")
    await engine.writer?.durable()
    const ends: Array<number> = []
    const file = join(engine.paths.journal, readdirSync(engine.paths.journal)[0] ?? "")
    const begin = statSync(file).size
    for (let t = 1n; t <= 6n; t++) {
      writeTransaction(engine, t * 100n, [
        { op: 0, ids: [shape.id] },
        { op: 2, ids: [shape.id] }
      ])
      await engine.writer?.durable()
      ends.push(statSync(file).size)
    }
    await engine.close()
    const last = ends.at(-1) ?? 0
    for (let cut = begin; cut <= last; cut += 7) {
      const copy = temporaryDirectory()
      cpSync(path, copy, { recursive: true })
      truncateSync(join(copy, file.slice(path.length)), cut)
      const recovered = await openEngine(copy)
      const whole = ends.filter((end) => end <= cut).length
      assert.strictEqual(
        changes(await readAll(recovered, shape, snapshotEnd)).length,
        whole * 2,
        `cut at ${cut}`
      )
      await recovered.takeOver()
      writeTransaction(recovered, 9900n, [{ op: 0, ids: [shape.id] }])
      assert.strictEqual(changes(await readAll(recovered, shape, snapshotEnd)).length, whole * 2 + 1)
      await recovered.close()
    }
  })

  it("a flipped bit costs at most the shapes in the damaged record", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path)
    const hit = createShape(engine, "hit")
    const spared = createShape(engine, "spared")
    await engine.writer?.durable()
    const file = join(engine.paths.journal, readdirSync(engine.paths.journal)[0] ?? "")
    writeTransaction(engine, 100n, [{ op: 0, ids: [spared.id] }])
    await engine.writer?.durable()
    const from = statSync(file).size
    writeTransaction(engine, 200n, [{ op: 0, ids: [hit.id], padding: 100 }])
    await engine.writer?.durable()
    const to = statSync(file).size
    writeTransaction(engine, 300n, [{ op: 0, ids: [spared.id] }])
    await engine.writer?.durable()
    await engine.close()
    const message = from + frameHeaderBytes + partHeaderBytes + itemHeaderBytes
    let toldApart = 0
    for (let at = from + 4; at < to; at += 11) {
      const copy = temporaryDirectory()
      cpSync(path, copy, { recursive: true })
      const target = join(copy, file.slice(path.length))
      const bytes = readFileSync(target)
      bytes[at] = (bytes[at] ?? 0) ^ 0x10
      writeFileSync(target, bytes)
      const recovered = await openEngine(copy)
      assert.isUndefined(recovered.store.byHandle(hit.handle), `flip at ${at}`)
      const left = recovered.store.byHandle(spared.handle)
      // Whose record it is can be told, unless the damage is to what says so.
      const isTold = at < from + frameHeaderBytes - 1 || (at >= message && at < to - 4)
      if (isTold) toldApart++
      if (isTold) assert.isDefined(left, `flip at ${at - from}`)
      if (left !== undefined)
        assert.deepStrictEqual(changes(await readAll(recovered, left, snapshotEnd)), ["100_0!", "300_0!"])
      await recovered.close()
    }
    assert.isAbove(toldApart, 10)
  })

  it("a chunk of the log ends with the entry that makes it as large as a chunk is to be, live and loaded alike", async () => {
    const size = messageOf(100n, { op: 0, ids: [], padding: 50 }).length
    for (const [chunkBytesThreshold, perChunk] of [
      [2 * size - 1, 2],
      [2 * size, 2],
      [2 * size + 1, 3],
      [3 * size, 3]
    ] as const) {
      const path = temporaryDirectory()
      const engine = await writingEngine(path, { chunkBytesThreshold, segmentBytes: 700 })
      const shape = createShape(engine, "a")
      for (let t = 1n; t <= 9n; t++)
        writeTransaction(engine, t * 100n, [{ op: 0, ids: [shape.id], padding: 50 }])
      await engine.writer?.durable()
      const ends: Array<string> = []
      for (let t = perChunk; t < 9; t += perChunk) ends.push(`${t * 100}_0`)
      ends.push("900_0")
      const { offsets } = await readAll(engine, shape, snapshotEnd)
      assert.deepStrictEqual(offsets.slice(0, ends.length), ends)
      await engine.close()
      const loaded = await openEngine(path, { chunkBytesThreshold, segmentBytes: 700 })
      assert.deepStrictEqual((await readAll(loaded, shape, snapshotEnd)).offsets, offsets)
      await loaded.close()
    }
  })

  it("moving entries to log files, checkpoints and restarts change nothing that a reader sees", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            {
              weight: 6,
              arbitrary: fc.array(fc.record({ ids: fc.subarray([1, 2, 3]), padding: fc.nat(80) }), {
                maxLength: 4
              })
            },
            { weight: 1, arbitrary: fc.constant("maintain" as const) },
            { weight: 1, arbitrary: fc.constant("restart" as const) }
          ),
          { maxLength: 40 }
        ),
        async (steps) => {
          const path = temporaryDirectory()
          const settings = { chunkBytesThreshold: 600, segmentBytes: 1500 }
          let engine = await openEngine(path, settings)
          await engine.takeOver()
          const shapes = ["a", "b", "c"].map((name) => createShape(engine, name))
          const expected = new Map<number, Array<string>>(shapes.map((s) => [s.id, []]))
          let lsn = 0n
          for (const step of steps) {
            if (step === "maintain") await maintain(engine)
            else if (step === "restart") {
              await engine.writer?.durable()
              await engine.close()
              engine = await openEngine(path, settings)
              await engine.takeOver()
            } else {
              lsn += 100n
              const items: ReadonlyArray<Item> = step.map((s, i) => ({
                op: i * 2,
                ids: s.ids,
                padding: s.padding
              }))
              writeTransaction(engine, lsn, items)
              for (const [id, list] of expected) {
                const mine = items.filter((item) => item.ids.includes(id))
                mine.forEach((item, i) => list.push(`${lsn}_${item.op}${i === mine.length - 1 ? "!" : ""}`))
              }
            }
          }
          await engine.writer?.durable()
          const follower = await openEngine(path, settings)
          for (const shape of shapes) {
            const mine = await readAll(engine, shape, beforeAllOffset)
            assert.deepStrictEqual(changes(mine), expected.get(shape.id))
            assert.deepStrictEqual(await readAll(follower, shape, beforeAllOffset), mine)
            for (const text of mine.offsets) {
              const offset = parseOffset(text)
              if (offset === undefined || offset.tx === 0n) continue
              const rest = changes(await readAll(engine, shape, offset))
              const all = expected.get(shape.id) ?? []
              assert.deepStrictEqual(
                rest,
                all.slice(all.findIndex((e) => e === text || e === `${text}!`) + 1)
              )
            }
          }
          await follower.close()
          await engine.close()
          rmSync(path, { recursive: true, force: true })
        }
      ),
      { numRuns: 40 }
    )
  })

  it("drops shapes whose snapshot nobody can finish, and never gives an id out again", async () => {
    const path = temporaryDirectory()
    const engine = await writingEngine(path)
    const done = createShape(engine, "done")
    engine.writing?.write({
      t: "created",
      id: 7,
      handle: "7-7",
      definition: { ...done.definition, table: { oid: 2, schema: "public", name: "cut" } },
      atMillis: 1
    })
    await engine.writer?.durable()
    await engine.close()
    const next = await openEngine(path)
    const taken = await next.takeOver()
    assert.deepStrictEqual(taken?.droppedIncomplete, ["7-7"])
    assert.isAbove(next.store.nextId, 7)
    assert.isDefined(next.store.byHandle(done.handle))
  })
})

describe("a checkpoint that is gone", () => {
  it("costs all shapes when part of the journal is gone with it, for followers of the old one too", async () => {
    const path = temporaryDirectory()
    const settings = { segmentBytes: 800 }
    const first = await writingEngine(path, settings)
    const shape = createShape(first, "a")
    for (let t = 1n; t <= 60n; t++)
      writeTransaction(first, t * 100n, [{ op: 0, ids: [shape.id], padding: 50 }])
    await maintain(first)
    await first.release(1000)
    assert.isDefined(first.store.byHandle(shape.handle))
    for (const name of readdirSync(first.paths.meta))
      if (name.startsWith("meta-")) rmSync(join(first.paths.meta, name))
    const second = await writingEngine(path, settings)
    assert.strictEqual(second.store.count, 0)
    await second.writer?.durable()
    await eventually("the shape to be gone", () => first.store.byHandle(shape.handle) === undefined)
  })
})

describe("damaged files of a shape", () => {
  it("cost the shape, whichever file it is, and never reach a reader as a whole", async () => {
    const kinds = ["flipped bit", "cut off", "missing"] as const
    for (const [file, damage] of ["s0", "l0"].flatMap((f) => kinds.map((kind) => [f, kind] as const))) {
      const path = temporaryDirectory()
      const settings = { segmentBytes: 1000 }
      const engine = await writingEngine(path, settings)
      const shape = createShape(engine, "a")
      for (let t = 1n; t <= 40n; t++)
        writeTransaction(engine, t * 100n, [{ op: 0, ids: [shape.id], padding: 50 }])
      await maintain(engine)
      await engine.writer?.durable()
      assert.isNotEmpty(engine.store.get(shape.id)?.files)
      const target = join(engine.paths.shapes, shape.handle, file)
      const bytes = readFileSync(target)
      const at = Math.floor(bytes.length / 2)
      bytes[at] = (bytes[at] ?? 0) ^ 0x01
      if (damage === "flipped bit") writeFileSync(target, bytes)
      else if (damage === "cut off") truncateSync(target, at)
      else rmSync(target)
      const follower = await openEngine(path, settings)
      for (const reader of [follower, engine]) {
        const read = readAll(reader, shape, beforeAllOffset)
        const outcome = await read.then(
          () => "read",
          () => "cut"
        )
        assert.strictEqual(outcome, "cut", file)
        // For a follower it may only be that another file has taken its place.
        if (reader === follower && damage === "missing") continue
        assert.isUndefined(reader.store.byHandle(shape.handle), file)
      }
    }
  })
})
