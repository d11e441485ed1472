import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, Schema, type Scope } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { checkpointTables, shapeChecksum, textChecksum } from "./CheckpointRow.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import type { ShapeStore, StreamSource } from "../state/ShapeStore.ts"
import { removeNamesBefore, ShapeNames } from "./ShapeNames.ts"
import { make, type SqliteClient } from "./SqliteClient.ts"
import { fromDisk } from "../disk/DiskFault.ts"
import { metaFile, type StoragePaths } from "../disk/StorageDir.ts"

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

/** How the head stands in the file: with the number of shapes that must be there. */
export type StoredHead = CheckpointHead & { readonly shapes: number }

/** What a checkpoint file is written with. */
export interface MetaOptions {
  readonly synchronous: "OFF" | "NORMAL" | "FULL"
  readonly cacheBytes: number
}

/** Rows written or read before other work gets its turn. */
const rowsPerTurn = 1000
const pause = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

export const failing = (what: string, path: string) => (cause: unknown) =>
  new CheckpointError({
    message: `Cannot ${what} the checkpoint ${path}: ${cause instanceof Error ? cause.message : String(cause)}`
  })

/** Checkpoint files, newest epoch first. */
export const checkpointFiles = async (paths: StoragePaths): Promise<ReadonlyArray<string>> =>
  (await paths.disk.list(paths.meta))
    .filter((name) => /^meta-[0-9a-f]{8}\.sqlite$/.test(name))
    .toSorted()
    .toReversed()
    .map((name) => join(paths.meta, name))

export const openMeta = (
  path: string,
  options: { readonly readonly: boolean; readonly meta?: MetaOptions }
) =>
  make({
    filename: path,
    readonly: options.readonly,
    // No second file: the checkpoint may be on a network file system, and a reader must not have to create one.
    journalMode: "DELETE",
    // Readers wait without holding up everything else.
    ...(options.readonly ? { busyTimeoutMillis: 0 } : {}),
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

/**
 * Nobody else writes the file, whose name has our epoch in it, and where it may be on a network file system its readers do
 * not go by locks: so none are taken, which not every server has (SQLite documentation, "The OS Backend (VFS)").
 */
const withoutLocks = (path: string): string =>
  process.platform === "linux" ? `${pathToFileURL(path).href}?vfs=unix-none` : path

export const openCheckpointWriter = (
  paths: StoragePaths,
  epoch: number,
  options: MetaOptions
): Effect.Effect<CheckpointWriter, CheckpointError, Scope.Scope> =>
  Effect.gen(function* () {
    const path = metaFile(paths, epoch)
    // SQLite would make it readable for everybody. Its rollback journal is as private as this file.
    yield* Effect.mapError(
      fromDisk(async () => (await paths.disk.openToWrite(path, "any")).close()),
      failing("create", path)
    )
    const filename = paths.disk.mayBeLate ? withoutLocks(path) : path
    const client = yield* openMeta(filename, { readonly: false, meta: options })
    yield* Effect.try({
      try: () => {
        for (const statement of checkpointTables) client.db.exec(statement)
      },
      catch: failing("create", path)
    })
    return makeWriter(paths, epoch, client)
  })

const makeWriter = (paths: StoragePaths, epoch: number, client: SqliteClient): CheckpointWriter => {
  const path = metaFile(paths, epoch)
  const names = new ShapeNames(paths, epoch)
  const db = client.db
  const putShape = db.prepare(
    "INSERT OR REPLACE INTO shapes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
  )
  const putDefinition = db.prepare("INSERT INTO definitions VALUES (?, ?, ?)")
  const removeShape = db.prepare("DELETE FROM shapes WHERE id = ?")
  const putHead = db.prepare("INSERT OR REPLACE INTO head VALUES (1, ?, ?)")
  let definitionIds = new Map<string, number>()
  /** Handles by id. */
  let written = new Map<number, string>()
  let whole = false

  const definitionId = (definition: ShapeDefinition): number => {
    const json = JSON.stringify({ ...definition, where: undefined })
    const known = definitionIds.get(json)
    if (known !== undefined) return known
    const id = definitionIds.size + 1
    putDefinition.run(id, json, textChecksum(id, json))
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
    const row = {
      id: shape.id,
      handle: shape.handle,
      identity: shape.identity,
      definition: definitionId(definition),
      clause: definition.where === undefined ? null : JSON.stringify(definition.where),
      xmin: visibility?.xmin ?? null,
      xmax: visibility?.xmax ?? null,
      xip: visibility === undefined || visibility.xipList.length === 0 ? null : visibility.xipList.join(","),
      filter_until: visibility?.containedBefore ?? null,
      complete: shape.snapshotComplete ? 1 : 0,
      chunks: JSON.stringify(chunks),
      files: JSON.stringify(shape.files),
      created_millis: Math.trunc(shape.createdAtMillis),
      used_millis: Math.trunc(shape.lastUsedMillis)
    }
    putShape.run(...Object.values(row), shapeChecksum(row) ?? 0)
    shape.dirty = false
    if (!written.has(shape.id)) names.added(shape.handle)
    written.set(shape.id, shape.handle)
  }

  const removeGone = (store: ShapeStore): void => {
    for (const [id, handle] of written) {
      if (store.get(id) !== undefined) continue
      removeShape.run(id)
      names.removed(handle)
      written.delete(id)
    }
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
        written = new Map()
        names.beginWhole()
        definitionIds = new Map()
      }
      let turn = 0
      removeGone(store)
      for (const shape of Array.from(store.all())) {
        if (whole && !shape.dirty) continue
        if (!shape.dropped) put(shape)
        if (++turn % rowsPerTurn === 0) yield* pause
      }
      // What has changed while others had their turn; no turn is given up from here on.
      for (const shape of store.all()) if (shape.dirty) put(shape)
      removeGone(store)
      const text = JSON.stringify({ ...head, shapes: written.size })
      putHead.run(text, textChecksum(1, text))
      yield* Effect.mapError(
        fromDisk(() => names.write(written.values(), written.size)),
        failing("write the names beside", path)
      )
      if (!(yield* Effect.mapError(fromDisk(settled), failing("write", path)))) {
        yield* rollBack
        return false
      }
      db.exec("COMMIT")
      if (!whole) {
        yield* Effect.mapError(
          fromDisk(async () => {
            await removeOtherCheckpoints(paths, path)
            await removeNamesBefore(paths, epoch)
          }),
          failing("remove what came before", path)
        )
      }
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
    await paths.disk.remove(path)
    await paths.disk.remove(`${path}-journal`)
  }
}
