import { assert, describe, it } from "vitest"
import { cpSync, mkdirSync, renameSync, rmdirSync } from "node:fs"
import { basename, join } from "node:path"
import { Effect, Layer, Result } from "effect"
import { Config } from "../../src/config/BatonConfig.ts"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { Storage } from "../../src/storage/Storage.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { RealDisk } from "../../src/storage/disk/RealDisk.ts"
import { segmentFile, storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { eventually } from "../../testing/Eventually.ts"
import {
  changes,
  createShape,
  openEngine,
  readAll,
  recordingLogger,
  temporaryDirectory,
  writeTransaction,
  writingEngine
} from "./support.ts"

const configAt = (directory: string) => {
  const parsed = parseConfig({
    DATABASE_URL: "postgresql://u:p@127.0.0.1:1/d",
    ELECTRIC_INSECURE: "true",
    ELECTRIC_REPLICATION_STREAM_ID: "default",
    ELECTRIC_STORAGE_DIR: directory
  })
  if (Result.isFailure(parsed) || parsed.success._tag !== "Complete") throw new Error("not a configuration")
  return parsed.success.config
}

/** Storage with one shape, and a journal that fails to be read until it is `mended`. */
const failing = async () => {
  const directory = temporaryDirectory()
  const engine = await writingEngine(directory)
  const { handle } = createShape(engine, "a")
  await engine.writer?.durable()
  await engine.close()
  const segment = segmentFile(storagePaths(directory, "default"), 1, 1)
  renameSync(segment, `${directory}/aside`)
  // A directory can be opened like a file, and fails when it is read.
  mkdirSync(segment)
  const mended = () => {
    rmdirSync(segment)
    renameSync(`${directory}/aside`, segment)
  }
  const said: Array<string> = []
  const load = Effect.gen(function* () {
    const { engine: loaded, load: loading } = yield* Storage
    yield* loading
    return loaded.store.byHandle(handle) !== undefined
  }).pipe(
    Effect.provide(
      Storage.layer.pipe(
        Layer.provide(Layer.succeed(Config, configAt(directory))),
        Layer.provideMerge(recordingLogger(said))
      )
    )
  )
  return { load, mended, said }
}

/** What an instance has written that was taken over, but did not know of it, and what its successor has written. */
const overtaken = async () => {
  const [directory, successor] = [temporaryDirectory(), temporaryDirectory()]
  const first = await writingEngine(directory)
  const shape = createShape(first, "a")
  const write = async (engine: StorageEngine, from: bigint, to: bigint) => {
    for (let lsn = from; lsn <= to; lsn++) writeTransaction(engine, lsn * 100n, [{ op: 0, ids: [shape.id] }])
    await engine.writer?.durable()
  }
  await write(first, 1n, 5n)
  cpSync(directory, successor, { recursive: true })
  await write(first, 6n, 40n)
  const second = await writingEngine(successor)
  await write(second, 6n, 8n)
  const [from, to] = [second.paths, first.paths]
  /** It can be seen that the first one is over. */
  const takeOver = () => {
    for (const name of ["00000002", "00000002.claim"]) cpSync(join(from.epochs, name), join(to.epochs, name))
    cpSync(segmentFile(from, 2, 2), segmentFile(to, 2, 2))
  }
  return { directory, shape, takeOver }
}

describe("a takeover while storage is read for the first time", () => {
  it("leaves what counts of the journal before: no shape is lost with what does not", async () => {
    const { directory, shape, takeOver } = await overtaken()
    const disk = new RealDisk()
    const open = disk.open.bind(disk)
    let isOver = false
    // All of the first one's journal has been read by then.
    disk.open = async (path) => {
      const file = await open(path)
      if (file === undefined || basename(path) !== "00000001-00000001") return file
      const read = file.read.bind(file)
      file.read = async (...where) => {
        const bytes = await read(...where)
        if (bytes === 0 && !isOver) {
          isOver = true
          takeOver()
        }
        return bytes
      }
      return file
    }
    const engine = await openEngine(directory, { disk })
    assert.isTrue(isOver)
    assert.strictEqual(engine.store.byHandle(shape.handle)?.id, shape.id)
    assert.lengthOf(changes(await readAll(engine, shape, snapshotEnd)), 8)
  })
})

describe("a journal whose oldest file counts nothing", () => {
  it("is read from the next one on", async () => {
    const directory = temporaryDirectory()
    const first = await writingEngine(directory)
    await first.close()
    const second = await writingEngine(directory)
    const { handle } = createShape(second, "a")
    await second.writer?.durable()
    const { paths } = second
    await second.close()
    // Its writer did not know that it was over, and what came before has been removed.
    renameSync(segmentFile(paths, 1, 1), segmentFile(paths, 1, 2))
    const loaded = await openEngine(directory)
    assert.isDefined(loaded.store.byHandle(handle))
  })
})

describe("a disk that fails while storage is read for the first time", () => {
  it("is asked again: one error does not end a start, and costs no shape", async () => {
    const { load, mended, said } = await failing()
    const loading = Effect.runPromise(load)
    await eventually("the first failure to be said", () => said.length > 0)
    mended()
    assert.isTrue(await loading)
    assert.match(said.join("\n"), /Cannot read the storage directory .*EISDIR.* It is tried again in 100 ms/)
  })

  it("ends the start when it goes on failing", async () => {
    const { load, said } = await failing()
    const exit = await Effect.runPromiseExit(load)
    assert.strictEqual(exit._tag, "Failure")
    assert.match(String(exit), /Cannot read the storage directory/)
    assert.strictEqual(said.length, 5)
  })
})
