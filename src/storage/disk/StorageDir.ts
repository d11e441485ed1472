import { mkdir, open, rename } from "node:fs/promises"
import { join } from "node:path"
import { FileSight, listDirectory, type Sight } from "./Sight.ts"

export { listDirectory } from "./Sight.ts"

/**
 * Version of the layout below. Every version has a folder of its own, so that an instance never reads, changes or
 * removes what an older or newer one has written: after an upgrade (or a rollback) across versions the clients
 * of existing shapes get 409 once and fetch again, and nothing else happens.
 */
export const formatVersion = 2

/** Rows of an application are for its own user only, whatever the umask says. Directories that are there are left alone. */
export const fileMode = 0o600
export const directoryMode = 0o700

/**
 * Where everything of one replication stream lives, `<storage dir>/<stream id>/v<format version>/`:
 *
 * - `epochs/<n>`: one file per takeover, see `Epochs.ts`
 * - `journal/<epoch>-<segment>`: see `Records.ts`
 * - `indexes/<epoch>-<segment>`: what a segment comes to, see `SegmentIndex.ts` (may be missing)
 * - `shapes/<handle>/`: snapshot chunks `s<n>`, log chunks `l<n>` with their index `l<n>.idx`
 * - `meta-<epoch>.sqlite`: the checkpoint, see `CheckpointWriter.ts` (may be placed elsewhere)
 * - `names-<epoch>`: the handles in the checkpoint, see `ShapeNames.ts`
 * - `tables.json.gz`, `types.json.gz`, `published.json.gz`: what the catalogue said, see `SchemaFiles.ts`
 */
export interface StoragePaths {
  readonly root: string
  readonly epochs: string
  readonly journal: string
  readonly indexes: string
  readonly shapes: string
  readonly meta: string
  /** How all of it is looked at. */
  readonly sight: Sight
}

export const storagePaths = (storageDir: string, streamId: string, metaDir?: string): StoragePaths => {
  const root = join(storageDir, streamId, `v${formatVersion}`)
  return {
    root,
    epochs: join(root, "epochs"),
    journal: join(root, "journal"),
    indexes: join(root, "indexes"),
    shapes: join(root, "shapes"),
    meta: metaDir === undefined ? root : join(metaDir, streamId, `v${formatVersion}`),
    sight: new FileSight()
  }
}

const hex = (n: number, digits: number) => n.toString(16).padStart(digits, "0")

/** File names sort in the order in which the files were begun. */
export const segmentFile = (paths: StoragePaths, epoch: number, segment: number): string =>
  join(paths.journal, `${hex(epoch, 8)}-${hex(segment, 8)}`)

export const indexFile = (paths: StoragePaths, epoch: number, segment: number): string =>
  join(paths.indexes, `${hex(epoch, 8)}-${hex(segment, 8)}`)

/** What the name of a segment, or of its index, says. */
export const parseSegmentFile = (
  name: string
): { readonly epoch: number; readonly segment: number } | undefined => {
  const match = /^([0-9a-f]{8})-([0-9a-f]{8})$/.exec(name)
  if (match === null) return undefined
  return { epoch: parseInt(match[1] ?? "", 16), segment: parseInt(match[2] ?? "", 16) }
}

export const epochFile = (paths: StoragePaths, epoch: number): string => join(paths.epochs, hex(epoch, 8))
export const metaFile = (paths: StoragePaths, epoch: number): string =>
  join(paths.meta, `meta-${hex(epoch, 8)}.sqlite`)
export const namesFile = (paths: StoragePaths, epoch: number): string =>
  join(paths.root, `names-${hex(epoch, 8)}`)
export const shapeDir = (paths: StoragePaths, handle: string): string => join(paths.shapes, handle)
export const snapshotChunkFile = (paths: StoragePaths, handle: string, index: number): string =>
  join(paths.shapes, handle, `s${index}`)
export const logChunkFile = (paths: StoragePaths, handle: string, index: number): string =>
  join(paths.shapes, handle, `l${index}`)

/** Completes when all of it has ended, whichever way, and then fails if one has failed: nothing is left under way. */
export const allDone = async (work: ReadonlyArray<Promise<unknown>>): Promise<void> => {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason
}

/** Makes directory entries durable (created, renamed or removed files). */
export const syncDirectory = async (path: string): Promise<void> => {
  const handle = await open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes what has been written to a file durable, whoever wrote it. */
export const syncFile = async (path: string): Promise<void> => {
  const handle = await open(path, "r")
  try {
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

/**
 * Writes a small file so that it is either not there or whole, for whoever reads it as long as the system runs. After a
 * crash of the system it may be damaged, unless it was synced before.
 */
export const writeWhole = async (path: string, content: string | Uint8Array): Promise<void> => {
  const temporary = `${path}.${process.pid}.tmp`
  const handle = await open(temporary, "w", fileMode)
  try {
    await handle.writeFile(content)
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
}

/** Creates what is missing of the layout. Only for whoever holds the lock. */
export const createLayout = async (paths: StoragePaths): Promise<void> => {
  await mkdir(paths.epochs, { recursive: true, mode: directoryMode })
  await mkdir(paths.journal, { recursive: true, mode: directoryMode })
  await mkdir(paths.shapes, { recursive: true, mode: directoryMode })
  await mkdir(paths.meta, { recursive: true, mode: directoryMode })
  await syncDirectory(paths.root)
}

/** Format versions other than ours that have a folder for this stream. */
export const otherFormatVersions = async (
  storageDir: string,
  streamId: string
): Promise<ReadonlyArray<string>> =>
  (await listDirectory(join(storageDir, streamId))).filter(
    (name) => /^v[0-9]+$/.test(name) && name !== `v${formatVersion}`
  )
