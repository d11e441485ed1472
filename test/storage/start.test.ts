import { assert, describe, it } from "vitest"
import { mkdirSync, renameSync, rmdirSync } from "node:fs"
import { Effect, Layer, Result } from "effect"
import { Config } from "../../src/config/BatonConfig.ts"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { segmentFile, storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { eventually } from "../../testing/Eventually.ts"
import { createShape, recordingLogger, temporaryDirectory, writingEngine } from "./support.ts"

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
