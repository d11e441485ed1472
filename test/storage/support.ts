import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Logger } from "effect"
import { onTestFinished } from "vitest"
import type { ObjectStore } from "../../src/bucket/ObjectStore.ts"
import { piecesOf } from "../../testing/readers/Pieces.ts"
import { formatOffset, type LogOffset } from "../../src/shapes/LogOffset.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { makeShapeLogs } from "../../src/storage/ShapeLogsLive.ts"
import type { Disk } from "../../src/storage/disk/Disk.ts"
import { type StoragePaths, storagePaths } from "../../src/storage/disk/StorageDir.ts"
import type { Durability } from "../../src/storage/durability/Durability.ts"
import type { LevelRecord } from "../../src/storage/levels/LevelFile.ts"
import type { LevelRange } from "../../src/storage/levels/Levels.ts"
import type { WrittenChain } from "../../src/storage/packs/BucketCollector.ts"
import { Maintenance } from "../../src/storage/Maintenance.ts"
import type { TransactionWriter } from "../../src/storage/journal/TransactionWriter.ts"
import type { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import type { ShapeHandle } from "../../src/storage/ShapeLogs.ts"
import { systemTimers, type Timers } from "../../src/shared/Timers.ts"
import { recordKind, type SnapshotVisibility } from "../../src/storage/records/Records.ts"

/**
 * For the test under way, at whose end it is removed. In memory where there is such a place: what is synced a thousand
 * times in a test need not reach a disk.
 */
export const temporaryDirectory = (): string => {
  const path = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "baton-storage-"))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export const definitionOf = (name: string): ShapeDefinition => ({
  table: { oid: 1, schema: "public", name },
  keyColumns: ["id"],
  hasPrimaryKey: true,
  columns: ["id"],
  selectsAllColumns: true,
  where: undefined,
  replica: "default",
  log: "full",
  tableColumns: [{ name: "id", typeOid: 20 }],
  schemaHeader: "{}"
})

/** The same, with a sub-select in its clause. */
export const memberDefinitionOf = (name: string): ShapeDefinition => ({
  ...definitionOf(name),
  where: {
    sql: `id IN (SELECT id FROM members)`,
    expression: {},
    members: [{ table: { oid: 2, schema: "public", name: "members" }, columns: [] }]
  }
})

/** A second takes 20 milliseconds. */
export const hasty: Timers = {
  ...systemTimers,
  after: (millis, work) => systemTimers.after(millis / 50, work)
}

/** Nothing comes by itself: a follower looks when it is told to. */
export const withoutRounds: Timers = { ...systemTimers, after: () => () => {} }

export interface EngineSettings {
  readonly chunkBytesThreshold?: number
  readonly segmentBytes?: number
  readonly recentBytes?: number
  readonly timers?: Timers
  readonly durableWrites?: boolean
  readonly metaDir?: string
  /** Another one than the machine's own. */
  readonly disk?: Disk
  /** Waits for its disk for ever when the test ends, so that it cannot be closed. */
  readonly losesPower?: boolean
  /** Of another release than this one. */
  readonly levels?: LevelRange
  /** What makes its journal count, if that is not the directory. */
  readonly durability?: (paths: StoragePaths) => Durability
  /** Gets what the engine logs. */
  readonly said?: Array<string>
  readonly bucket?: ObjectStore
  readonly cacheBytes?: number
  readonly chain?: WrittenChain
}

/** Puts what is logged into a list. */
export const recordingLogger = (said: Array<string>) =>
  Logger.layer([Logger.make(({ message }) => void said.push(String(message)))])

/** Closed when the test under way ends, before its directory is removed. */
export const engineAt = (directory: string, settings: EngineSettings = {}): StorageEngine => {
  const paths = storagePaths(directory, "default", settings.metaDir, settings.disk)
  const engine = new StorageEngine({
    paths,
    ...(settings.durability === undefined ? {} : { durability: settings.durability(paths) }),
    chunkBytesThreshold: settings.chunkBytesThreshold ?? 10 << 20,
    segmentBytes: settings.segmentBytes ?? 32 << 20,
    recentBytes: settings.recentBytes ?? 1 << 20,
    durableWrites: settings.durableWrites ?? false,
    removeOnClose: false,
    ...(settings.levels === undefined ? {} : { levels: settings.levels }),
    ...(settings.bucket === undefined ? {} : { bucket: settings.bucket, startsAtNewestLevel: true }),
    ...(settings.chain === undefined ? {} : { chain: settings.chain }),
    ...(settings.cacheBytes === undefined ? {} : { cacheBytes: settings.cacheBytes }),
    run: (effect) =>
      void Effect.runPromise(
        settings.said === undefined ? effect : Effect.provide(effect, recordingLogger(settings.said))
      ),
    ...(settings.timers === undefined ? {} : { timers: settings.timers })
  })
  if (settings.losesPower !== true) onTestFinished(() => engine.close())
  return engine
}

/** Has loaded what is there. */
export const openEngine = async (
  directory: string = temporaryDirectory(),
  settings: EngineSettings = {}
): Promise<StorageEngine> => {
  const engine = engineAt(directory, settings)
  await engine.load()
  return engine
}

/** As `openEngine`, and writes. */
export const writingEngine = async (
  directory?: string,
  settings?: EngineSettings
): Promise<StorageEngine> => {
  const engine = await openEngine(directory, settings)
  await engine.takeOver()
  return engine
}

/** Of what a test does not care about, the least: one segment may stay, and files go at once. */
export const maintenanceOf = (
  engine: StorageEngine,
  options: Partial<ConstructorParameters<typeof Maintenance>[1]> = {}
): Maintenance =>
  new Maintenance(engine, {
    retainedSegments: 1,
    retainedEntries: 1e9,
    meta: { synchronous: "OFF", cacheBytes: 1 << 20 },
    removalDelayMillis: 0,
    ...options
  })

/** What is written when nobody knows better: this release has just raised the level. */
export const raisedTo = (level: number): LevelRecord => ({
  level,
  raisedBy: "0.2.0",
  raisedAtMillis: 1,
  sinceMillis: 1,
  lastSeen: {},
  holds: null
})

/** A shape with an empty snapshot, which contains no transaction unless something else is said. */
export const createShape = (
  engine: StorageEngine,
  name: string,
  visibility: SnapshotVisibility = { xmin: "1", xmax: "1", xipList: [] },
  definition = definitionOf(name)
): ShapeHandle => {
  const id = engine.store.nextId
  const handle = `${id}-${1000 + id}`
  engine.writing?.write({ t: "created", id, handle, definition, atMillis: 1 })
  engine.writing?.write({ t: "visible", id, visibility })
  const bytes = Buffer.from(`{"headers":{"control":"snapshot-end"}}`)
  const payload = Buffer.alloc(8 + bytes.length)
  payload.writeUInt32LE(id, 0)
  payload.set(bytes, 8)
  const writer = engine.writer
  if (writer === undefined) throw new Error("not writing")
  const { segment, position } = writer.appendBetween(recordKind.inlineChunk, payload)
  engine.store.inlineChunk(id, 0, segment, position + 8, bytes.length)
  engine.writing?.write({ t: "complete", id, chunks: 1 })
  const shape = engine.store.get(id)
  if (shape === undefined) throw new Error("not created")
  return shape
}

export interface Item {
  readonly op: number
  readonly ids: ReadonlyArray<number>
  readonly padding?: number
}

export const messageOf = (lsn: bigint, item: Item): string =>
  `{"key":"k${"x".repeat(item.padding ?? 0)}","headers":{"lsn":"${lsn}","op_position":${item.op}}}`

export const writeItems = (
  engine: StorageEngine,
  writer: TransactionWriter,
  lsn: bigint,
  items: ReadonlyArray<Item>,
  note: ShapeStore["item"]
): void => {
  for (const item of items) {
    writer.beginItem()
    const at = writer.out.length
    const message = messageOf(lsn, item)
    writer.out.append(Buffer.from(message))
    const ids = Uint32Array.from(item.ids)
    const position = writer.endItem(item.op, at, ids, ids.length)
    note(item.op, position, message.length, ids, 0, ids.length)
    writer.endOfItems()
  }
  engine.writer?.flush()
}

/** One transaction with these items, composed as the registry does it; some shapes get nothing of it after all. */
export const writeTransaction = (
  engine: StorageEngine,
  lsn: bigint,
  items: ReadonlyArray<Item>,
  xid = 100,
  retracted: ReadonlyArray<number> = []
): void => {
  const { store, writer } = engine
  if (writer === undefined) throw new Error("not writing")
  const { ordinary } = writer
  ordinary.beginTransaction(lsn, xid)
  writeItems(engine, ordinary, lsn, items, (...item) => store.item(...item))
  if (items.length > 0 && retracted.length > 0) engine.writing?.write({ t: "retracted", ids: retracted })
  ordinary.commitTransaction(lsn + 8n, items.length > 0)
  store.commit(lsn, lsn + 8n, xid, ordinary.segmentOfTransaction)
  writer.flush()
}

/** The same for a late one. One that is given up leaves parts without an end behind. */
export const writeLateTransaction = (
  engine: StorageEngine,
  lsn: bigint,
  items: ReadonlyArray<Item>,
  end: "commit" | "abandon",
  xid = 100
): void => {
  const { store, writer } = engine
  if (writer === undefined) throw new Error("not writing")
  const { late } = writer
  late.beginTransaction(lsn, xid)
  writeItems(engine, late, lsn, items, (op, position, length, ids, from, shapes) =>
    store.item(op, position, length, ids, from, shapes, true)
  )
  if (end === "abandon") {
    // Whatever record comes next ends a part.
    writer.notice({ t: "passed", xids: [] })
    late.abandonTransaction()
    store.abandonLate()
  } else {
    late.commitTransaction(lsn + 8n, items.length > 0)
    store.commitLate(lsn, xid, late.segmentOfTransaction)
  }
  writer.flush()
}

export interface ReadAll {
  readonly messages: ReadonlyArray<{
    headers: { lsn?: string; op_position?: number; last?: boolean; control?: string }
  }>
  readonly offsets: ReadonlyArray<string>
}

/** lsn, op and the mark of the last entry of each change after the snapshot. */
export const changes = (all: ReadAll): ReadonlyArray<string> =>
  all.messages
    .filter((m) => m.headers.lsn !== undefined)
    .map((m) => `${m.headers.lsn}_${m.headers.op_position}${m.headers.last === true ? "!" : ""}`)

/** Follows the shape's log from `after` to its end. */
export const readAll = (engine: StorageEngine, shape: ShapeHandle, after: LogOffset): Promise<ReadAll> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const logs = makeShapeLogs(engine)
      let text = ""
      const offsets: Array<string> = []
      let at = after
      for (;;) {
        const read = yield* logs.read(shape, at)
        if (read._tag !== "Slice") throw new Error(read._tag)
        const parts: Array<Uint8Array> = []
        if (read.body instanceof Uint8Array) parts.push(read.body)
        else {
          const { body: source } = read
          parts.push(...(yield* Effect.promise(() => piecesOf(source()))))
        }
        const body = Buffer.concat(parts).toString("utf8")
        if (body.length > 0) text += text.length > 0 ? `,${body}` : body
        at = read.next
        offsets.push(formatOffset(at))
        if (read.upToDate) break
      }
      return { messages: JSON.parse(`[${text}]`) as ReadAll["messages"], offsets }
    })
  )
