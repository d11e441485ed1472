import { pathToFileURL } from "node:url"
import { Effect, type Scope } from "effect"
import { fromDisk } from "../disk/DiskFault.ts"
import { metaFile, type StoragePaths } from "../disk/StorageDir.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"
import { CheckpointContents } from "./CheckpointContents.ts"
import {
  type CheckpointError,
  checkpointFiles,
  type CheckpointHead,
  failing,
  type MetaOptions,
  openMeta
} from "./CheckpointFile.ts"
import { checkpointTables } from "./CheckpointRow.ts"
import { removeNamesBefore, ShapeNames } from "./ShapeNames.ts"

/** Rows written before other work gets its turn. */
const rowsPerTurn = 1000
/** It never rejects. */
const pause = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

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
    const contents = new CheckpointContents(client.db, new ShapeNames(paths, epoch))
    return {
      write: (store, head, settled) => writeCheckpoint(paths, epoch, contents, store, head, settled)
    }
  })

const writeCheckpoint = (
  paths: StoragePaths,
  epoch: number,
  contents: CheckpointContents,
  store: ShapeStore,
  head: CheckpointHead,
  settled: () => Promise<boolean>
): Effect.Effect<boolean, CheckpointError> => {
  const path = metaFile(paths, epoch)
  const rollBack = Effect.sync(() => contents.rollBack())
  return Effect.gen(function* () {
    contents.begin(head.level)
    yield* putShapes(contents, store)
    contents.putHead(head)
    yield* Effect.mapError(
      fromDisk(() => contents.writeNames()),
      failing("write the names beside", path)
    )
    if (!(yield* Effect.mapError(fromDisk(settled), failing("write", path)))) {
      yield* rollBack
      return false
    }
    contents.commit()
    if (!contents.isWhole) {
      yield* Effect.mapError(
        fromDisk(async () => {
          await removeOtherCheckpoints(paths, path)
          await removeNamesBefore(paths, epoch)
        }),
        failing("remove what came before", path)
      )
    }
    contents.isWhole = true
    return true
  }).pipe(
    Effect.catchDefect((cause) => Effect.fail(failing("write", path)(cause))),
    Effect.onError(() => rollBack)
  )
}

/** Other work gets its turn meanwhile, but the file shows all shapes as they are at one moment: when this ends. */
const putShapes = Effect.fnUntraced(function* (contents: CheckpointContents, store: ShapeStore) {
  let written = 0
  const mayPause = (shapes: number) => {
    written += shapes
    if (written < rowsPerTurn) return Effect.void
    written = 0
    return pause
  }
  for (const shapes of contents.removeGone(store)) yield* mayPause(shapes)
  for (const shape of Array.from(store.all())) {
    if (contents.has(shape)) continue
    if (!shape.dropped) yield* mayPause(contents.put(shape, store))
  }
  // What has changed while others had their turn; no turn is given up from here on.
  for (const shape of store.all()) if (shape.dirty) contents.put(shape, store)
  for (const _ of contents.removeGone(store));
})

const removeOtherCheckpoints = async (paths: StoragePaths, current: string): Promise<void> => {
  for (const path of await checkpointFiles(paths)) {
    if (path >= current) continue
    await paths.disk.remove(path)
    await paths.disk.remove(`${path}-journal`)
  }
}
