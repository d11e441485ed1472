import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { SnapshotWriter } from "../../src/registry/snapshot/SnapshotWriter.ts"
import { diskFault } from "../../src/storage/disk/DiskFault.ts"
import { eventually } from "../../testing/Eventually.ts"
import { definitionOf, engineAt, temporaryDirectory, writingEngine } from "../storage/support.ts"

const open = async () => {
  const directory = temporaryDirectory()
  const engine = await writingEngine(directory)
  const id = engine.store.nextId
  engine.writing?.write({ t: "created", id, handle: `${id}-1`, definition: definitionOf("a"), atMillis: 1 })
  engine.writing?.write({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
  const shape = engine.store.get(id)
  if (shape === undefined) throw new Error("not created")
  return { engine, shape, directory }
}

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
