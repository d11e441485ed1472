import { mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { crc32 } from "node:zlib"
import { dirname, join } from "node:path"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { beforeAll as beforeAllOffset } from "../../src/shapes/LogOffset.ts"
import { DamagedFile, FileIntegrity } from "../../src/storage/disk/FileIntegrity.ts"
import { wholeFile } from "../../src/storage/logs/FilePieces.ts"
import { RealDisk } from "../../src/storage/disk/RealDisk.ts"
import { makeShapeLogs } from "../../src/storage/ShapeLogsLive.ts"
import { snapshotChunkFile } from "../../src/storage/disk/StorageDir.ts"
import { createShape, temporaryDirectory, writingEngine } from "./support.ts"

describe("finished snapshot chunks", () => {
  it("are read from their place once, then given at once to everybody, and to nobody when the shape is gone", async () => {
    const engine = await writingEngine()
    const logs = makeShapeLogs(engine)
    const entries = `{"headers":{"control":"snapshot-end"}}`
    const bodyNow = (shape: typeof inJournal) => {
      const found = logs.readNow(shape, beforeAllOffset)
      if (found === undefined) return undefined
      if (found._tag !== "Slice") throw new Error(found._tag)
      assert.strictEqual(found.finishedBytes, entries.length)
      assert.instanceOf(found.body, Uint8Array)
      return found.body as Uint8Array
    }
    const inJournal = createShape(engine, "journal")
    // The read of the client that had the shape made is not remembered: only what is asked for again is worth keeping.
    for (let i = 0; i < 2; i++) assert.strictEqual(Buffer.from(bodyNow(inJournal) ?? []).toString(), entries)
    assert.strictEqual(bodyNow(inJournal), bodyNow(inJournal))

    const inFile = createShape(engine, "file")
    const state = engine.store.get(inFile.id)
    if (state === undefined) throw new Error("no shape")
    const path = snapshotChunkFile(engine.paths, inFile.handle, 0)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, entries)
    state.setChunk(0, { _tag: "File", bytes: entries.length, crc: crc32(entries) })
    assert.isUndefined(bodyNow(inFile))
    const both = await Promise.all([0, 1].map(() => Effect.runPromise(logs.read(inFile, beforeAllOffset))))
    rmSync(path)
    const kept = bodyNow(inFile)
    for (const read of both) assert.strictEqual(read._tag === "Slice" ? read.body : undefined, kept)
    assert.strictEqual(Buffer.from(kept ?? []).toString(), entries)

    engine.writing?.write({ t: "dropped", ids: [inFile.id], reason: "test" })
    assert.strictEqual(logs.readNow(inFile, beforeAllOffset)?._tag, "Dropped")
  })

  it("are looked at as a whole once, and again when somebody has touched the file", async () => {
    const path = join(temporaryDirectory(), "chunk")
    const integrity = new FileIntegrity(new RealDisk())
    const bytes = Buffer.alloc(700_000, "content ")
    const sum = { bytes: bytes.length, crc: crc32(bytes) }
    const buffer = Buffer.alloc(256 * 1024)
    const readAll = async (): Promise<number> => {
      let length = 0
      for await (const piece of wholeFile(integrity, path, sum, buffer)) {
        assert.strictEqual(piece.buffer, buffer.buffer)
        length += piece.length
      }
      return length
    }
    writeFileSync(path, bytes)
    assert.isFalse(integrity.isSound(path, sum, statSync(path)))
    assert.strictEqual(await readAll(), bytes.length)
    assert.isTrue(integrity.isSound(path, sum, statSync(path)))
    bytes[600_000] = 0
    writeFileSync(path, bytes)
    utimesSync(path, 1, 1)
    let given = 0
    const outcome = await (async () => {
      for await (const piece of wholeFile(integrity, path, sum, buffer)) given += piece.length
    })().catch((error: unknown) => error)
    assert.instanceOf(outcome, DamagedFile)
    assert.isBelow(given, bytes.length)
  })
})
