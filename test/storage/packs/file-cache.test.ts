import { join } from "node:path"
import { statSync, utimesSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { beforeAll as beforeAllOffset } from "../../../src/shapes/LogOffset.ts"
import { makeShapeLogs } from "../../../src/storage/ShapeLogsLive.ts"
import type { ShapeHandle } from "../../../src/storage/ShapeLogs.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { hasty, writingEngine } from "../support.ts"
import { filesOf, shapeWithChunks, TroubledStore } from "./support.ts"

const chunkBytes = 300_000

/** The file looks as if it had been written so long ago. */
const age = (path: string, seconds: number): void => {
  const then = statSync(path).mtimeMs / 1000 - seconds
  utimesSync(path, then, then)
}

/** Pieces of the first rows, as a client takes them. */
const pieces = async (engine: StorageEngine, shape: ShapeHandle) => {
  const read = await Effect.runPromise(makeShapeLogs(engine).read(shape, beforeAllOffset))
  if (read._tag !== "Slice" || read.body instanceof Uint8Array) return assert.fail("it comes in pieces")
  return read.body()
}

describe("copies of files", () => {
  it("go when they take too much room, those not used for longest first, and those that the bucket has", async () => {
    const bucket = new TroubledStore()
    // Looks are a minute apart.
    let nowMillis = 0
    const timers = { ...hasty, nowMillis: () => nowMillis }
    const engine = await writingEngine(undefined, { timers, bucket, cacheBytes: 1_000_000 })
    const path = ({ handle }: ShapeHandle, file = "s0") => join(engine.paths.shapes, handle, file)
    const make = async (name: string, ageSeconds: number): Promise<ShapeHandle> => {
      const shape = await shapeWithChunks(engine, name, [name.repeat(chunkBytes)])
      age(path(shape), ageSeconds)
      return shape
    }
    const a = await make("a", 400)
    const b = await make("b", 300)
    const c = await make("c", 200)
    await engine.cache?.round()
    const reader = await pieces(engine, a)
    const first = await reader.next()
    const d = await make("d", 100)
    // First rows that are still being written, and so old that they would go first.
    writeFileSync(path(d, "s1"), "d")
    age(path(d, "s1"), 500)
    nowMillis += 59_000
    await engine.cache?.round()
    assert.strictEqual(filesOf(engine).size, 5, "it has not been looked again")
    nowMillis += 1000
    await engine.cache?.round()
    // Room is made for some more than is needed.
    assert.deepStrictEqual(
      [...filesOf(engine).keys()],
      [`${a.handle}/s0`, `${d.handle}/s0`, `${d.handle}/s1`],
      `without ${b.handle} and ${c.handle}`
    )
    let bytes = first.done === true ? 0 : first.value.length
    for await (const piece of reader) bytes += piece.length
    assert.strictEqual(bytes, chunkBytes, "who was reading it reads on")
    bytes = 0
    for await (const piece of await pieces(engine, b)) bytes += piece.length
    assert.strictEqual(bytes, chunkBytes, "what has gone comes again")
    assert.isTrue(filesOf(engine).has(`${b.handle}/s0`))
  })
})
