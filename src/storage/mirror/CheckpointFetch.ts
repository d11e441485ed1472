import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import { ChainBroken } from "../chain/ChainBroken.ts"
import type { DiskFile } from "../disk/Disk.ts"
import { allDone, writeFully } from "../disk/Files.ts"
import { metaFile, type StoragePaths } from "../disk/StorageDir.ts"
import { placeOfFile } from "./CheckpointFiles.ts"
import {
  type CheckpointObject,
  listCheckpoints,
  openCheckpoint,
  type PackedFile,
  type Piece,
  readPiece
} from "./CheckpointObject.ts"

/** Pieces that are asked for at once, of some megabytes each. */
const atOnce = 8

/** A checkpoint that was fetched, and stands beside its place. */
interface FetchedCheckpoint extends CheckpointObject {
  /** It takes its place at once, of an earlier one of the same epoch too, which its readers may go on reading. */
  readonly place: () => Promise<void>
  /** It is of no use any more. */
  readonly discard: () => Promise<void>
}

interface Wanted {
  /** What is known of the catalogue and the journal, too: not where the chain has brought that. */
  readonly everything: boolean
  /** Asked again and again: where it is wanted no more, nothing is put anywhere. */
  readonly isWanted: () => boolean
}

/**
 * The newest sound checkpoint of the bucket; `undefined` when there is none. One that is damaged is told of and passed over, and
 * one that is gone in the middle of it was collected for a newer one. Fails with `BucketFault` and `DiskFault`, and with
 * `ChainBroken` for a format that is not known, which is no reason to take an older one.
 */
export const fetchNewest = async (
  store: ObjectStore,
  paths: StoragePaths,
  warn: (message: string, code: FaultCode) => void
): Promise<FetchedCheckpoint | undefined> => {
  for (const key of await listCheckpoints(store)) {
    try {
      const found = await openCheckpoint(store, key)
      if (found === undefined) continue
      return await fetchCheckpoint(store, paths, found, { everything: true, isWanted: () => true })
    } catch (error) {
      if (!(error instanceof ChainBroken) || error.reason === "newerFormat") throw error
      warn(
        `${error.object} ${error.said}. An older checkpoint, or the chain from its beginning, is used instead.`,
        "BATON-BUCKET-CHAIN"
      )
    }
  }
  return undefined
}

/**
 * Fetches a checkpoint and looks whether it is what was written. Its files are in place once `place` completes. `undefined` when
 * it is not wanted any more. Fails as `fetchNewest`, and with `ChainBroken` when it is not sound.
 */
export const fetchCheckpoint = async (
  store: ObjectStore,
  paths: StoragePaths,
  found: CheckpointObject,
  { everything, isWanted }: Wanted
): Promise<FetchedCheckpoint | undefined> => {
  const { disk } = paths
  const { epoch, files } = found.header
  const meta = metaFile(paths, epoch)
  const targets: Array<{ readonly path: string; readonly temporary: string }> = []
  const discard = async () => {
    for (const { temporary } of targets) await disk.remove(temporary)
  }
  try {
    for (const file of files) {
      const path = placeOfFile(paths, epoch, file.name)
      if (path === undefined || (!everything && file.name !== "meta" && file.name !== "names")) continue
      const temporary = `${path}.${process.pid}.tmp`
      targets.push({ path, temporary })
      await fetchFile(store, paths, found, file, temporary, isWanted)
    }
  } catch (error) {
    await discard()
    throw error
  }
  if (!isWanted()) {
    await discard()
    return undefined
  }
  const place = async () => {
    // SQLite would take it for that of the new file.
    await disk.remove(`${meta}-journal`)
    for (const { path, temporary } of targets) await disk.rename(temporary, path)
  }
  return { ...found, place, discard }
}

const fetchFile = async (
  store: ObjectStore,
  { disk }: StoragePaths,
  found: CheckpointObject,
  { pieces }: PackedFile,
  path: string,
  isWanted: () => boolean
): Promise<void> => {
  const file = await disk.openToWrite(path, "empty")
  try {
    let position = 0
    const due = pieces.map((piece): DuePiece => {
      const at = position
      position += piece.bytes
      return { piece, position: at }
    })
    const workers = Array.from({ length: atOnce }, () => fetchPieces(store, found, due, file, isWanted))
    await allDone(workers)
  } finally {
    await file.close()
  }
}

interface DuePiece {
  readonly piece: Piece
  readonly position: number
}

/** One after the other, as long as there are any. */
const fetchPieces = async (
  store: ObjectStore,
  found: CheckpointObject,
  due: Array<DuePiece>,
  file: DiskFile,
  isWanted: () => boolean
): Promise<void> => {
  try {
    for (let next = due.shift(); next !== undefined && isWanted(); next = due.shift())
      await writeFully(file, await readPiece(store, found, next.piece), next.position)
  } finally {
    // Where one has failed, the others need not go on.
    due.length = 0
  }
}
