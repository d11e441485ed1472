import { existsSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import type { WhereClause } from "../where/WhereClause.ts"
import { internDefinition } from "./internDefinition.ts"
import type { LogFile } from "./Records.ts"
import { type ShapeState, ShapeState as State } from "./ShapeState.ts"
import { type ShapeStore, type StreamSource } from "./ShapeStore.ts"
import { make, type SqliteClient } from "./SqliteClient.ts"
import { listDirectory, metaFile, type StoragePaths } from "./StorageDir.ts"

/** The checkpoint cannot be read or written now. Shapes are safe: the journal holds what the checkpoint lacks. */
export class CheckpointError extends Schema.TaggedError<CheckpointError>()("CheckpointError", {
  message: Schema.String
}) {}

/**
 * What a checkpoint says besides the shapes: the journal is to be applied from the beginning of `segment` on. The
 * shapes may be newer than that; applying records again changes nothing.
 */
export interface CheckpointHead {
  readonly epoch: number
  readonly segment: number
  readonly nextId: number
  /** As of the end of the segment before `segment`. */
  readonly lastCommitLsn: string
  readonly positionLsn: string
  readonly source: StreamSource | null
}

/** What a checkpoint file is written with. */
export interface MetaOptions {
  readonly synchronous: "OFF" | "NORMAL" | "FULL"
  readonly cacheBytes: number
}

const schema = [
  "CREATE TABLE IF NOT EXISTS head (key INTEGER PRIMARY KEY CHECK (key = 1), value TEXT NOT NULL)",
  "CREATE TABLE IF NOT EXISTS definitions (id INTEGER PRIMARY KEY, json TEXT NOT NULL)",
  `CREATE TABLE IF NOT EXISTS shapes (
    id INTEGER PRIMARY KEY, handle TEXT NOT NULL, identity TEXT NOT NULL, definition INTEGER NOT NULL,
    clause TEXT, xmin TEXT, xmax TEXT, xip TEXT, filter_until TEXT, complete INTEGER NOT NULL,
    chunks TEXT NOT NULL, files TEXT NOT NULL, created_millis INTEGER NOT NULL, used_millis INTEGER NOT NULL)`
]

/** Rows written or read before other work gets its turn. */
const rowsPerTurn = 1000
const pause = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

const failing = (what: string, path: string) => (cause: unknown) =>
  new CheckpointError({
    message: `Cannot ${what} the checkpoint ${path}: ${cause instanceof Error ? cause.message : String(cause)}`
  })

/** Checkpoint files, newest epoch first. */
const checkpointFiles = async (paths: StoragePaths): Promise<ReadonlyArray<string>> =>
  (await listDirectory(paths.meta))
    .filter((name) => /^meta-[0-9a-f]{8}\.sqlite$/.test(name))
    .toSorted()
    .toReversed()
    .map((name) => join(paths.meta, name))

interface Row {
  readonly id: number
  readonly handle: string
  readonly identity: string
  readonly definition: number
  readonly clause: string | null
  readonly xmin: string | null
  readonly xmax: string | null
  readonly xip: string | null
  readonly filter_until: string | null
  readonly complete: number
  readonly chunks: string
  readonly files: string
  readonly created_millis: number
  readonly used_millis: number
}

const shapeOf = (row: Row, common: ShapeDefinition): ShapeState => {
  const definition =
    row.clause === null ? common : { ...common, where: JSON.parse(row.clause) as WhereClause }
  const shape = new State(row.id, row.handle, definition, row.identity, row.created_millis)
  shape.lastUsedMillis = row.used_millis
  if (row.xmin !== null && row.xmax !== null) {
    const visibility = { xmin: row.xmin, xmax: row.xmax, xipList: row.xip === null ? [] : row.xip.split(",") }
    shape.setVisibility(visibility)
    if (row.filter_until !== null) shape.filterUntilTx = BigInt(row.filter_until)
  }
  shape.snapshotComplete = row.complete === 1
  if (row.chunks !== "[]") {
    const sums = JSON.parse(row.chunks) as ReadonlyArray<readonly [number, number]>
    shape.snapshotChunks = sums.map(([bytes, crc]) => ({ _tag: "File", bytes, crc }))
  }
  if (row.files !== "[]") shape.files = JSON.parse(row.files) as Array<LogFile>
  shape.dirty = false
  return shape
}

/**
 * Fills an empty store from the newest whole checkpoint and returns its head; `undefined` when there is none. A file
 * that cannot be read is reported and the one before it used. Writes nothing.
 */
export const loadCheckpoint = (
  paths: StoragePaths,
  store: ShapeStore,
  chunkBytesThreshold: number
): Effect.Effect<CheckpointHead | undefined> =>
  Effect.gen(function* () {
    for (const path of yield* Effect.promise(() => checkpointFiles(paths))) {
      const loaded = yield* Effect.scoped(loadFile(path, store, chunkBytesThreshold)).pipe(
        Effect.catch((error) =>
          Effect.as(
            Effect.logWarning(
              `${error.message}. An older checkpoint, or the journal alone, is used instead.`
            ),
            undefined
          )
        )
      )
      if (loaded !== undefined) return loaded
    }
    return undefined
  })

const loadFile = (path: string, store: ShapeStore, chunkBytesThreshold: number) =>
  Effect.gen(function* () {
    const client = yield* open(path, { readonly: true })
    const read = () => {
      const db = client.db
      const heads = db.prepare("SELECT value FROM head").all() as unknown as ReadonlyArray<{
        readonly value: string
      }>
      const text = heads[0]?.value
      if (text === undefined) return undefined
      const head = JSON.parse(text) as CheckpointHead
      const definitions = new Map<number, ShapeDefinition>()
      const stored = db.prepare("SELECT id, json FROM definitions").all() as unknown as ReadonlyArray<{
        id: number
        json: string
      }>
      for (const { id, json } of stored)
        definitions.set(id, internDefinition(JSON.parse(json) as ShapeDefinition))
      const shapes: Array<ShapeState> = []
      for (const row of db.prepare("SELECT * FROM shapes").iterate() as unknown as Iterable<Row>) {
        const common = definitions.get(row.definition)
        if (common === undefined) throw new Error(`shape ${row.handle} has no definition`)
        shapes.push(shapeOf(row, common))
      }
      return { head, shapes }
    }
    yield* Effect.try({ try: () => client.db.exec("BEGIN"), catch: failing("read", path) })
    const found = yield* Effect.try({ try: read, catch: failing("read", path) })
    if (found === undefined) return undefined
    for (const shape of found.shapes) {
      shape.recount(chunkBytesThreshold)
      store.insert(shape)
    }
    store.nextId = Math.max(store.nextId, found.head.nextId)
    store.lastCommitLsn = BigInt(found.head.lastCommitLsn)
    store.positionLsn = BigInt(found.head.positionLsn)
    store.source = found.head.source ?? undefined
    return found.head
  })

const open = (path: string, options: { readonly readonly: boolean; readonly meta?: MetaOptions }) =>
  make({
    filename: path,
    readonly: options.readonly,
    // No second file: the checkpoint may be on a network file system, and a reader must not have to create one.
    journalMode: "DELETE",
    ...(options.meta === undefined
      ? {}
      : { synchronous: options.meta.synchronous, cacheBytes: options.meta.cacheBytes })
  }).pipe(Effect.provide(Reactivity.layer), Effect.mapError(failing("open", path)))

/** Writes the checkpoints of one epoch: the first is whole, later ones add what has changed. */
export interface CheckpointWriter {
  /**
   * Durable, and what a new instance starts from, when this gives true. It shows records that may not be durable yet, or
   * may never count: before it comes into force, `settled` has to say that they are and do. Call one at a time.
   */
  readonly write: (
    store: ShapeStore,
    head: CheckpointHead,
    settled: () => Promise<boolean>
  ) => Effect.Effect<boolean, CheckpointError>
}

export const openCheckpointWriter = (
  paths: StoragePaths,
  epoch: number,
  options: MetaOptions
): Effect.Effect<CheckpointWriter, CheckpointError, Scope.Scope> =>
  Effect.gen(function* () {
    const path = metaFile(paths, epoch)
    const client = yield* open(path, { readonly: false, meta: options })
    yield* Effect.try({
      try: () => {
        for (const statement of schema) client.db.exec(statement)
      },
      catch: failing("create", path)
    })
    return makeWriter(paths, path, client)
  })

const makeWriter = (paths: StoragePaths, path: string, client: SqliteClient): CheckpointWriter => {
  const db = client.db
  const putShape = db.prepare(
    "INSERT OR REPLACE INTO shapes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
  )
  const putDefinition = db.prepare("INSERT INTO definitions VALUES (?, ?)")
  const removeShape = db.prepare("DELETE FROM shapes WHERE id = ?")
  const putHead = db.prepare("INSERT OR REPLACE INTO head VALUES (1, ?)")
  let definitionIds = new Map<string, number>()
  let written = new Set<number>()
  let whole = false

  const definitionId = (definition: ShapeDefinition): number => {
    const json = JSON.stringify({ ...definition, where: undefined })
    const known = definitionIds.get(json)
    if (known !== undefined) return known
    const id = definitionIds.size + 1
    putDefinition.run(id, json)
    definitionIds.set(json, id)
    return id
  }

  const put = (shape: ShapeState): void => {
    const { visibility, definition } = shape
    // Chunks that still stand in the journal come back with it.
    const chunks: Array<readonly [number, number]> = []
    for (const chunk of shape.snapshotChunks) {
      if (chunk?._tag !== "File") break
      chunks.push([chunk.bytes, chunk.crc])
    }
    putShape.run(
      shape.id,
      shape.handle,
      shape.identity,
      definitionId(definition),
      definition.where === undefined ? null : JSON.stringify(definition.where),
      visibility?.xmin ?? null,
      visibility?.xmax ?? null,
      visibility === undefined || visibility.xipList.length === 0 ? null : visibility.xipList.join(","),
      shape.filterUntilTx === undefined ? null : String(shape.filterUntilTx),
      shape.snapshotComplete ? 1 : 0,
      JSON.stringify(chunks),
      JSON.stringify(shape.files),
      Math.trunc(shape.createdAtMillis),
      Math.trunc(shape.lastUsedMillis)
    )
    shape.dirty = false
    written.add(shape.id)
  }

  /** Shapes marked as written are not: start over with everything. */
  const rollBack = Effect.sync(() => {
    whole = false
    if (db.isTransaction) db.exec("ROLLBACK")
  })

  const write: CheckpointWriter["write"] = (store, head, settled) =>
    Effect.gen(function* () {
      db.exec("BEGIN IMMEDIATE")
      if (!whole) {
        db.exec("DELETE FROM shapes; DELETE FROM definitions; DELETE FROM head")
        written = new Set()
        definitionIds = new Map()
      }
      let turn = 0
      for (const id of written) {
        if (store.get(id) !== undefined) continue
        removeShape.run(id)
        written.delete(id)
      }
      for (const shape of Array.from(store.all())) {
        if (whole && !shape.dirty) continue
        if (!shape.dropped) put(shape)
        if (++turn % rowsPerTurn === 0) yield* pause
      }
      // What has changed while others had their turn; no turn is given up from here on.
      for (const shape of store.all()) if (shape.dirty) put(shape)
      for (const id of written) if (store.get(id) === undefined) removeShape.run(id)
      putHead.run(JSON.stringify(head))
      if (!(yield* Effect.promise(settled))) {
        yield* rollBack
        return false
      }
      db.exec("COMMIT")
      if (!whole) yield* Effect.promise(() => removeOtherCheckpoints(paths, path))
      whole = true
      return true
    }).pipe(
      Effect.catchDefect((cause) => Effect.fail(failing("write", path)(cause))),
      Effect.onError(() => rollBack)
    )
  return { write }
}

const removeOtherCheckpoints = async (paths: StoragePaths, current: string): Promise<void> => {
  for (const path of await checkpointFiles(paths)) {
    if (path >= current) continue
    await rm(path, { force: true })
    if (existsSync(`${path}-journal`)) await rm(`${path}-journal`, { force: true })
  }
}
