import { join } from "node:path"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import type { ChainPlace } from "../chain/ChainObject.ts"
import { failing } from "../checkpoint/CheckpointFile.ts"
import { metaFile, namesFile, type StoragePaths } from "../disk/StorageDir.ts"
import { schemaFileNames } from "../SchemaFiles.ts"
import { checkpointKey, CheckpointPacker, pieceBytes } from "./CheckpointObject.ts"

/** So many bytes of the chain are read by a start without a thought. */
const leastChainBytes = 128 << 20
/** After a takeover: what was read then need not be read at the next one. */
const leastReplayedBytes = 32 << 20
const longestMillis = 3_600_000

/** What the checkpoint in the bucket lacks by now. */
interface SinceUpload {
  /** Bytes of the journal in the chain from the object on which the newest checkpoint is good from; all of them without one. */
  readonly chainBytes: number
  /** Of the local checkpoint, as it would be uploaded. */
  readonly checkpointBytes: number
  /** Since the newest checkpoint was uploaded, or this instance has become the writer. */
  readonly millis: number
  /** The first of this writer: it may have read all of that to become it. */
  readonly isFirst: boolean
}

/**
 * Whether a checkpoint that was just written is worth an upload: a start reads what comes behind the newest one, which is to be
 * no more than some times the checkpoint itself, and there is none that is much older than an hour while anything happens.
 */
export const isUploadDue = ({ chainBytes, checkpointBytes, isFirst, millis }: SinceUpload): boolean =>
  chainBytes > Math.max(leastChainBytes, 2 * checkpointBytes) ||
  (chainBytes > 0 && millis >= longestMillis) ||
  (isFirst && chainBytes > Math.max(leastReplayedBytes, checkpointBytes / 2))

/** Bytes of the file in which the checkpoint of an epoch stands; 0 when there is none. */
export const checkpointBytes = async (paths: StoragePaths, epoch: number): Promise<number> =>
  (await paths.disk.stat(metaFile(paths, epoch)))?.size ?? 0

/**
 * Puts the local checkpoint of an epoch into the bucket, for whoever begins with it: the chain is to be applied from `place` on,
 * which `SegmentObjects` knows for `head`. Only for its writer, and after it was written: it must not change meanwhile.
 * Gives the key, for the announcement in the chain. One that is there already by this key is as good.
 * Fails with a `BucketFault`, a `DiskFault`, or a `CheckpointError` when there is no finished checkpoint.
 */
export const uploadCheckpoint = async (options: {
  readonly store: ObjectStore
  readonly paths: StoragePaths
  readonly epoch: number
  readonly head: { readonly epoch: number; readonly segment: number }
  readonly place: ChainPlace
}): Promise<string> => {
  const { epoch, head, paths, place, store } = options
  const meta = metaFile(paths, epoch)
  const packer = new CheckpointPacker()
  const isThere = await packFile(packer, paths, "meta", meta)
  if (!isThere || (await paths.disk.stat(`${meta}-journal`)) !== undefined)
    throw failing("upload", meta)("it is not finished")
  await packFile(packer, paths, "names", namesFile(paths, epoch))
  for (const name of schemaFileNames) await packFile(packer, paths, name, join(paths.root, name))
  const key = checkpointKey(place.next)
  await store.create(key, packer.finish({ place, head: { epoch: head.epoch, segment: head.segment }, epoch }))
  return key
}

/** False when it is not there. */
const packFile = async (
  packer: CheckpointPacker,
  { disk }: StoragePaths,
  name: string,
  path: string
): Promise<boolean> => {
  const file = await disk.open(path)
  if (file === undefined) return false
  try {
    packer.begin(name)
    const piece = Buffer.allocUnsafeSlow(pieceBytes)
    for (let position = 0; ;) {
      let filled = 0
      while (filled < piece.length) {
        const bytes = await file.read(piece, filled, piece.length - filled, position + filled)
        if (bytes === 0) break
        filled += bytes
      }
      if (filled > 0) await packer.add(piece.subarray(0, filled))
      if (filled < piece.length) return true
      position += filled
    }
  } finally {
    await file.close()
  }
}
