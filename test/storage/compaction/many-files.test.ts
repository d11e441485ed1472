import { readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type { FoldOutput } from "../../../src/storage/compaction/FoldWork.ts"
import { writeBase, writeFolded } from "../../../src/storage/compaction/WriteShapeFiles.ts"
import type { DiskFile, OpenForWriting } from "../../../src/storage/disk/Disk.ts"
import { DiskFault } from "../../../src/storage/disk/DiskFault.ts"
import { RealDisk } from "../../../src/storage/disk/RealDisk.ts"
import { storagePaths } from "../../../src/storage/disk/StorageDir.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { temporaryDirectory } from "../support.ts"

const refusal = new DiskFault({ operation: "sync", path: "", code: "EIO", passing: true, cause: undefined })

/** A disk that makes files durable when it is told to, and then all that wait for it. */
class HeldDisk extends RealDisk {
  held = 0
  mostHeld = 0
  /** How many files were made durable at the same time, one after the other. */
  readonly rounds: Array<number> = []
  refusesFrom = Infinity
  private synced = 0
  private waiting: Array<{ resolve: () => void; reject: (error: Error) => void }> = []

  override async openToWrite(path: string, how: OpenForWriting): Promise<DiskFile> {
    const file = await super.openToWrite(path, how)
    this.mostHeld = Math.max(this.mostHeld, ++this.held)
    return {
      path,
      read: (...given) => file.read(...given),
      write: (...given) => file.write(...given),
      stat: () => file.stat(),
      sync: () => new Promise((resolve, reject) => this.waiting.push({ resolve, reject })),
      close: async () => {
        this.held--
        await file.close()
      }
    }
  }

  /** Completes what waits, until the work has ended. */
  async serve(work: Promise<unknown>): Promise<void> {
    let isOver = false
    const over = () => (isOver = true)
    void work.then(over, over)
    await eventually("the files to be written", async () => {
      const before = this.waiting.length
      await new Promise((resolve) => setTimeout(resolve, 5))
      if (this.waiting.length > before || this.waiting.length === 0) return isOver
      const all = this.waiting.splice(0)
      this.rounds.push(all.length)
      for (const { reject, resolve } of all)
        if (this.synced++ < this.refusesFrom) resolve()
        else reject(refusal)
      return isOver
    })
  }
}

const outputs = async function* (files: number): AsyncGenerator<FoldOutput> {
  for (let i = 0; i < files; i++) {
    yield { piece: Buffer.from(`message ${i}`) }
    yield { end: { bytes: 10, crc: i, entries: 1, entryBytes: 10, at: { tx: BigInt(i + 1), op: 0 } } }
  }
}

const shapeFiles = (disk: HeldDisk) => {
  const directory = temporaryDirectory()
  const paths = storagePaths(directory, "default", undefined, disk)
  let last = 100
  return {
    directory,
    kept: [] as Array<string>,
    get files() {
      return {
        engine: {
          paths,
          options: { durableWrites: true } as never,
          keepFile: async (path: string) => void this.kept.push(path)
        },
        handle: "1-1",
        numbers: { take: () => ++last } as never,
        packing: undefined,
        pause: async () => {}
      }
    }
  }
}

describe("the files of one compaction", () => {
  it("are made durable many at a time, and come in their order", async () => {
    const disk = new HeldDisk()
    const written = writeFolded(shapeFiles(disk).files, outputs(100))
    await disk.serve(written)
    const files = await written
    assert.deepStrictEqual(
      files.map(({ crc, endTx, index }) => [index, crc, endTx]),
      Array.from({ length: 100 }, (_, i) => [101 + i, i, String(i + 1)])
    )
    assert.deepStrictEqual(disk.rounds, [32, 32, 32, 4])
    assert.strictEqual(disk.held, 0)
    assert.isAtMost(disk.mostHeld, 33)
  })

  it("are told of, and kept in the bucket, when they are durable", async () => {
    const disk = new HeldDisk()
    const shape = shapeFiles(disk)
    const written = writeBase(shape.files, outputs(40), { tx: 7n, op: 0 }, 1)
    await disk.serve(written)
    const { chunks } = await written
    assert.strictEqual(chunks.length, 40)
    assert.deepStrictEqual(
      shape.kept.map((path) => path.slice(path.lastIndexOf("/"))),
      chunks.map(({ index }) => `/s${index}`)
    )
  })

  it("count for nothing, and are closed, where one of them cannot be made durable", async () => {
    for (const refusesFrom of [0, 31, 32, 70, 99]) {
      const disk = new HeldDisk()
      disk.refusesFrom = refusesFrom
      const shape = shapeFiles(disk)
      const written = writeBase(shape.files, outputs(100), { tx: 7n, op: 0 }, 1)
      await disk.serve(written)
      const outcome = await written.then(
        () => "told",
        (error: unknown) => (error === refusal ? "refused" : String(error))
      )
      assert.strictEqual(outcome, "refused")
      assert.strictEqual(disk.held, 0)
      assert.isAtMost(shape.kept.length, refusesFrom)
      assert.isAbove(readdirSync(join(shape.directory, "default"), { recursive: true }).length, 1)
    }
  })
})
