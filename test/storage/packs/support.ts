import { crc32 } from "node:zlib"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { BucketFault, type BucketOperation } from "../../../src/bucket/BucketFault.ts"
import type { ByteRange } from "../../../src/bucket/ObjectStore.ts"
import { snapshotChunkFile } from "../../../src/storage/disk/StorageDir.ts"
import type { ShapeHandle } from "../../../src/storage/ShapeLogs.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { definitionOf, writeTransaction } from "../support.ts"

/** A bucket in memory that can be away, lose its answers, and give back what was not put into it. */
export class TroubledStore extends MemoryStore {
  /** What is asked of it is refused. */
  away: BucketFault["kind"] | undefined = undefined
  /** So many creates are done, and not answered. */
  unanswered = 0
  readonly calls: Array<readonly [operation: BucketOperation, key: string]> = []
  readonly spoiled = new Set<string>()
  /** Completes before anything is given. */
  gate: Promise<void> = Promise.resolve()

  private meet(operation: BucketOperation, object: string): void {
    if (this.away === undefined) return
    throw new BucketFault({ operation, object, kind: this.away, said: "the test wants it" })
  }

  override async create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    this.calls.push(["create", key])
    this.meet("create", key)
    const created = await super.create(key, content)
    if (this.unanswered === 0) return created
    this.unanswered--
    throw new BucketFault({ operation: "create", object: key, kind: "timedOut", said: "the test wants it" })
  }

  override async get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    this.calls.push(["read", key])
    await this.gate
    this.meet("read", key)
    const found = await super.get(key, range)
    if (this.spoiled.has(key) && found !== undefined && found.length > 0) found[0] = (found[0] ?? 0) ^ 1
    return found
  }

  async keys(prefix = ""): Promise<ReadonlyArray<string>> {
    const keys: Array<string> = []
    for await (const { key } of this.list(prefix)) keys.push(key)
    return keys
  }

  read(): ReadonlyArray<string> {
    return this.calls.flatMap(([operation, key]) => (operation === "read" ? [key] : []))
  }
}

/** A shape whose first rows are files, as a writer stores them that has a bucket. */
export const shapeWithChunks = async (
  engine: StorageEngine,
  name: string,
  chunks: ReadonlyArray<string>
): Promise<ShapeHandle> => {
  const id = engine.store.nextId
  const handle = `${id}-${1000 + id}`
  engine.writing?.write({ t: "created", id, handle, definition: definitionOf(name), atMillis: 1 })
  engine.writing?.write({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
  for (const [index, text] of chunks.entries()) {
    const path = snapshotChunkFile(engine.paths, handle, index)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    await engine.keepFile(path)
    engine.writing?.write({ t: "chunk", id, index, bytes: text.length, crc: crc32(text) })
  }
  engine.writing?.write({ t: "complete", id, chunks: chunks.length })
  const shape = engine.store.get(id)
  if (shape === undefined) throw new Error("not created")
  return shape
}

/** Transactions from `from` to `to`, in hundreds, each with one entry of each shape. */
export const writeChanges = async (
  engine: StorageEngine,
  shapes: ReadonlyArray<ShapeHandle>,
  from: number,
  to: number,
  padding = 100
): Promise<void> => {
  for (let t = from; t <= to; t++) {
    const items = shapes.map(({ id }, op) => ({ op, ids: [id], padding }))
    writeTransaction(engine, BigInt(t * 100), items)
  }
  await engine.writer?.durable()
}

/** Paths below `shapes/`, with their bytes. */
export const filesOf = (engine: StorageEngine): ReadonlyMap<string, Buffer> => {
  const root = engine.paths.shapes
  if (!existsSync(root)) return new Map()
  return new Map(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
      .map((path) => [path.slice(root.length + 1), readFileSync(path)])
  )
}

export const wipeShapes = (engine: StorageEngine): void =>
  rmSync(engine.paths.shapes, { recursive: true, force: true })
