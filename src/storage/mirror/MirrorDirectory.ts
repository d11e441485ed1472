import { DatabaseSync } from "node:sqlite"
import { dirname, join } from "node:path"
import { Effect, type Scope } from "effect"
import type { Disk } from "../disk/Disk.ts"
import { DiskFault, diskFault, fromDisk, type StorageFault } from "../disk/DiskFault.ts"
import { makeDirectories } from "../disk/Files.ts"
import { makeLayout, storagePaths, type StoragePaths } from "../disk/StorageDir.ts"

interface MirrorPlace {
  readonly storageDir: string
  readonly streamId: string
  readonly metaDir: string | undefined
  readonly disk: Disk
  /** The storage directory was made for this process alone, and goes with it. */
  readonly removeOnClose: boolean
}

/** So many processes may share a directory. More of them than anybody runs: locks mean nothing there. */
const mostMirrors = 256
/** SQLite result code, "Result and Error Codes". */
const sqliteBusy = 5

/**
 * Takes a directory of this process' own, below which everything of a stream stands that is only a copy of what is in a bucket:
 * `<storage dir>/<stream id>/mirror-<k>/`, k the first that no process has. It is this one's until the scope closes or the process
 * dies, however that may be. What it held is wiped, but for `shapes/`: those files are believed only after they were verified.
 * Processes that read with this one (HTTP workers) use the same paths without asking.
 */
export const takeMirrorDirectory = (
  place: MirrorPlace
): Effect.Effect<StoragePaths, StorageFault, Scope.Scope> =>
  Effect.gen(function* () {
    const { disk, storageDir } = place
    // Before the lock, so that it is removed after the lock was let go.
    if (place.removeOnClose)
      yield* Effect.addFinalizer(() => Effect.ignore(fromDisk(() => disk.removeTree(storageDir))))
    const paths = yield* firstFree(place)
    yield* fromDisk(() => wipeMirror(paths))
    return paths
  })

const firstFree = Effect.fnUntraced(function* ({ disk, metaDir, storageDir, streamId }: MirrorPlace) {
  for (let k = 0; k < mostMirrors; k++) {
    const paths = storagePaths(storageDir, streamId, metaDir, disk, `mirror-${k}`)
    const directory = dirname(paths.root)
    yield* fromDisk(() => makeDirectories(disk, directory))
    if (yield* takeLock(join(directory, "owner.sqlite"))) return paths
  }
  return yield* Effect.fail(diskFault("open", join(storageDir, streamId), { code: "EBUSY" }))
})

/**
 * Locks a file that nothing is ever written to, until the scope closes; false when somebody else has it. Opening it in any other
 * way and closing it would take the lock from its holder, if that is this process: so SQLite makes it, too ("POSIX Advisory Locks
 * canceled by a separate thread doing close()", How To Corrupt An SQLite Database File).
 */
const takeLock = (path: string): Effect.Effect<boolean, DiskFault, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(Effect.try({ try: () => lockedDatabase(path), catch: lockFault(path) }), (held) =>
      Effect.sync(() => held?.close())
    ),
    (held) => held !== undefined
  )

const lockedDatabase = (path: string): DatabaseSync | undefined => {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")
    return database
  } catch (error) {
    database.close()
    if (((error as { readonly errcode?: number }).errcode ?? 0) % 256 === sqliteBusy) return undefined
    throw error
  }
}

const lockFault = (path: string) => (cause: unknown) => {
  const { errstr } = cause as { readonly errstr?: string }
  return new DiskFault({ operation: "open", path, code: errstr ?? String(cause), passing: false, cause })
}

/** Removes everything but the files of shapes, and makes what an instance expects to be there. */
export const wipeMirror = async (paths: StoragePaths): Promise<void> => {
  const { disk, meta, root, shapes } = paths
  for (const directory of new Set([root, meta]))
    for (const name of await disk.list(directory)) {
      const path = join(directory, name)
      if (path !== shapes) await disk.removeTree(path)
    }
  await makeLayout(paths)
}
