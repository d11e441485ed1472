import { dirname, join } from "node:path"
import type { Disk } from "./Disk.ts"
import { makeDirectories } from "./Files.ts"
import { RealDisk } from "./RealDisk.ts"

/**
 * Version of the layout below. Every version has a folder of its own, so that an instance never reads, changes or
 * removes what an older or newer one has written: after an upgrade (or a rollback) across versions the clients
 * of existing shapes get 409 once and fetch again, and nothing else happens.
 */
export const formatVersion = 2

/**
 * Where everything of one replication stream lives, `<storage dir>/<stream id>/v<format version>/`:
 *
 * - `epochs/<n>`: one file per takeover, see `Epochs.ts`
 * - `journal/<epoch>-<segment>`: see `Records.ts`
 * - `indexes/<epoch>-<segment>`: a segment summed up, see `SegmentIndex.ts` (may be missing)
 * - `shapes/<handle>/`: snapshot chunks `s<n>`, log chunks `l<n>` with their index `l<n>.idx`
 * - `meta-<epoch>.sqlite`: the checkpoint, see `CheckpointFile.ts` (may be placed elsewhere)
 * - `names-<epoch>`: the handles in the checkpoint, see `ShapeNames.ts`
 * - `tables.json.gz`, `types.json.gz`, `published.json.gz`: what the catalogue said, see `SchemaFiles.ts`
 *
 * Where a bucket is what counts, each process has a copy of its own below the same directory, which is its mirror:
 * `<storage dir>/<stream id>/mirror-<k>/v<format version>/`, see `MirrorDirectory.ts`.
 */
export interface StoragePaths {
  /** The directory that an operator has named, below which all of it is. */
  readonly storageDir: string
  /** The name of the mirror; absent where the directory is not a copy. */
  readonly mirror?: string
  readonly root: string
  readonly epochs: string
  readonly journal: string
  readonly indexes: string
  readonly shapes: string
  readonly meta: string
  /** What all of it stands on, and how it is looked at. */
  readonly disk: Disk
}

export const storagePaths = (
  storageDir: string,
  streamId: string,
  metaDir?: string,
  disk: Disk = new RealDisk(),
  mirror?: string
): StoragePaths => {
  const below = join(streamId, mirror ?? "", `v${formatVersion}`)
  const root = join(storageDir, below)
  return {
    storageDir,
    ...(mirror === undefined ? {} : { mirror }),
    root,
    epochs: join(root, "epochs"),
    journal: join(root, "journal"),
    indexes: join(root, "indexes"),
    shapes: join(root, "shapes"),
    meta: metaDir === undefined ? root : join(metaDir, below),
    disk
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

/** Creates what is missing of the layout. Nothing of it is durable yet. */
export const makeLayout = async ({ disk, epochs, journal, meta, shapes }: StoragePaths): Promise<void> => {
  for (const path of [epochs, journal, shapes, meta]) await makeDirectories(disk, path)
}

/**
 * Creates what is missing of the layout, and makes it durable up to the storage directory itself. Only for the holder of
 * the lock.
 */
export const createLayout = async ({ disk, ...paths }: StoragePaths): Promise<void> => {
  await makeLayout({ disk, ...paths })
  const parents = [paths.root, paths.meta].flatMap((path) => [path, dirname(path), dirname(dirname(path))])
  for (const path of new Set(parents)) await disk.syncDirectory(path)
}

/** Format versions other than ours that have a folder for this stream. */
export const otherFormatVersions = async ({ disk, root }: StoragePaths): Promise<ReadonlyArray<string>> =>
  (await disk.list(dirname(root))).filter((name) => /^v[0-9]+$/.test(name) && name !== `v${formatVersion}`)
