import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { BucketFault } from "../../src/bucket/BucketFault.ts"
import type { ObjectStore } from "../../src/bucket/ObjectStore.ts"
import { SnapshotWriter } from "../../src/registry/snapshot/SnapshotWriter.ts"
import { diskFault } from "../../src/storage/disk/DiskFault.ts"
import { MemoryStore } from "../../testing/bucket/MemoryStore.ts"
import { eventually } from "../../testing/Eventually.ts"
import { definitionOf, engineAt, temporaryDirectory, writingEngine } from "../storage/support.ts"

const open = async (bucket?: ObjectStore) => {
  const directory = temporaryDirectory()
  const engine = await writingEngine(directory, bucket === undefined ? {} : { bucket })
  const id = engine.store.nextId
  engine.writing?.write({ t: "created", id, handle: `${id}-1`, definition: definitionOf("a"), atMillis: 1 })
  engine.writing?.write({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
  const shape = engine.store.get(id)
  if (shape === undefined) throw new Error("not created")
  return { engine, shape, directory }
}

/** A bucket that takes an object when it is told to. */
class HeldStore extends MemoryStore {
  readonly held = new Map<string, PromiseWithResolvers<void>>()

  override async create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    const gate = Promise.withResolvers<void>()
    this.held.set(key, gate)
    await gate.promise
    return super.create(key, content)
  }
}

const keyOf = (handle: string, index: number) => `shapes/${handle}/s${index}`

const writeChunk = (output: SnapshotWriter) =>
  Effect.runPromise(
    Effect.andThen(output.sink.write(Buffer.alloc(40_000, "x")), Effect.suspend(output.sink.endChunk))
  )

describe("a snapshot that is stored in a bucket", () => {
  it("goes on while chunks are on their way, a few of them, and tells of each in its turn", async () => {
    const store = new HeldStore()
    const { engine, shape } = await open(store)
    const output = new SnapshotWriter(engine, shape, () => {})
    for (let i = 0; i < 3; i++) await writeChunk(output)
    assert.strictEqual(shape.snapshotChunks.length, 0)
    assert.strictEqual(shape.running?.index, 0)
    let isFourthWritten = false
    const fourth = writeChunk(output).then(() => (isFourthWritten = true))
    await eventually("four are on their way", () => store.held.size === 4)
    store.held.get(keyOf(shape.handle, 1))?.resolve()
    await eventually("the second is there", () => store.get(keyOf(shape.handle, 1)))
    assert.isFalse(isFourthWritten)
    assert.strictEqual(shape.snapshotChunks.length, 0, "nobody is told of the second before the first")
    store.held.get(keyOf(shape.handle, 0))?.resolve()
    await fourth
    assert.deepStrictEqual(
      shape.snapshotChunks.map((chunk) => chunk?.bytes),
      [40_000, 40_000]
    )
    assert.strictEqual(shape.running?.index, 2)
    assert.strictEqual(shape.running?.writtenBytes, 40_000)
    const ended = Effect.runPromise(
      Effect.andThen(output.sink.write(Buffer.alloc(50_000, "y")), Effect.suspend(output.sink.end))
    )
    await eventually("the last is on its way", () => store.held.size === 5)
    for (const index of [4, 3, 2]) {
      assert.isFalse(shape.snapshotComplete)
      store.held.get(keyOf(shape.handle, index))?.resolve()
    }
    await ended
    assert.isTrue(shape.snapshotComplete)
    assert.deepStrictEqual(
      shape.snapshotChunks.map((chunk) => chunk?.bytes),
      [40_000, 40_000, 40_000, 40_000, 50_000]
    )
    await Effect.runPromise(output.close)
  })

  it("fails when one of its chunks does not get there, and tells of none once it was given up", async () => {
    const store = new HeldStore()
    const { engine, shape } = await open(store)
    const output = new SnapshotWriter(engine, shape, () => {})
    for (let i = 0; i < 2; i++) await writeChunk(output)
    await eventually("both are on their way", () => store.held.size === 2)
    store.held
      .get(keyOf(shape.handle, 0))
      ?.reject(new BucketFault({ operation: "create", object: "s0", kind: "denied", said: "no" }))
    const failure = await Effect.runPromise(Effect.flip(Effect.suspend(output.sink.end)))
    assert.match(failure.message, /The snapshot could not be stored: cannot create s0/)
    await Effect.runPromise(output.close)
    store.held.get(keyOf(shape.handle, 1))?.resolve()
    await eventually("it is there", () => store.get(keyOf(shape.handle, 1)))
    await new Promise((resolve) => setImmediate(resolve))
    assert.strictEqual(shape.snapshotChunks.length, 0)
  })
})

describe("a snapshot that is stored", () => {
  it("can be read to its end only when it is certain that it stays", async () => {
    const { directory, engine, shape } = await open()
    let readable = false
    const output = new SnapshotWriter(engine, shape, () => (readable = true))
    await Effect.runPromise(output.sink.write(Buffer.alloc(40_000, "x")))
    assert.isTrue(readable)
    // The disk takes its time from here on.
    const settled = engine.settled.bind(engine)
    const held: Array<() => void> = []
    let asked = 0
    engine.settled = () => {
      asked++
      return new Promise<boolean>((resolve) => held.push(() => resolve(settled())))
    }
    const ended = Effect.runPromise(output.sink.end())
    await eventually("the end is on its way to the disk", () => asked === 1)
    assert.isFalse(shape.snapshotComplete)
    assert.strictEqual(shape.snapshotChunks.length, 0)
    assert.strictEqual(shape.running?.index, 0)
    held.pop()?.()
    await eventually("the end is told", () => shape.snapshotComplete && shape.snapshotChunks.length === 1)
    held.pop()?.()
    await eventually("it is over", () => asked === 2)
    held.pop()?.()
    await ended
    await Effect.runPromise(output.close)
    const restarted = engineAt(directory)
    await restarted.load()
    assert.isTrue(restarted.store.byHandle(shape.handle)?.snapshotComplete)
    await restarted.close()
  })

  it("is given up without an error when its file cannot even be closed", async () => {
    const { engine, shape } = await open()
    const { disk } = engine.paths
    const closed: Array<string> = []
    vi.spyOn(disk, "openToWrite").mockImplementation(async (path) => {
      const file = await disk.create(path)
      const close = file.close.bind(file)
      file.close = async () => {
        closed.push(path)
        await close()
        throw diskFault("close", path, { code: "EIO" })
      }
      return file
    })
    const output = new SnapshotWriter(engine, shape, () => {})
    await Effect.runPromise(output.sink.write(Buffer.alloc(40_000, "x")))
    await Effect.runPromise(output.close)
    assert.strictEqual(closed.length, 1)
    assert.isUndefined(shape.running)
  })
})
