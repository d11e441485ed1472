import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import type { ChainPlace } from "../chain/ChainObject.ts"
import { DiskFault } from "../disk/DiskFault.ts"
import { fill } from "../disk/Files.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { CheckpointFiles, CountedFile } from "./CheckpointFiles.ts"
import { checkpointKey, CheckpointPacker, pieceBytes } from "./CheckpointObject.ts"

/** So much of the chain is read by a start without a thought. */
const leastChainBytes = 128 << 20
// A start takes about half a millisecond for each, and they are read by 32 at once: together half a second in most buckets.
const leastChainObjects = 1_000
/** After a takeover: what was read then need not be read at the next one. */
const leastReplayedBytes = 32 << 20
const leastReplayedObjects = 250
const longestMillis = 3_600_000
/** One that is larger is uploaded less often. */
const hourlyBytes = 256 << 20
/** For which one more object would be read. */
const bytesPerObject = 16 << 10

/** What the newest checkpoint in the bucket lacks by now. */
interface SinceUpload {
  /** What a start reads from the chain behind it; all of it without one. */
  readonly chainBytes: number
  readonly chainObjects: number
  /** Of what would be uploaded. */
  readonly checkpointBytes: number
  /** Since the newest one was uploaded, or this instance has become the writer. */
  readonly millis: number
  /** The first of this writer: it may have read all of that to become it. */
  readonly isFirst: boolean
}

/**
 * Whether a checkpoint is worth an upload. What a start reads behind the newest one, in bytes and in objects, is to be no more than
 * some times what it reads of that one, and there is none that is much older than an hour while anything happens.
 */
export const isUploadDue = (since: SinceUpload): boolean => {
  const { chainBytes, chainObjects, checkpointBytes, isFirst, millis } = since
  if (chainBytes === 0) return false
  if (chainBytes > Math.max(leastChainBytes, 2 * checkpointBytes)) return true
  if (chainObjects > Math.max(leastChainObjects, checkpointBytes / bytesPerObject)) return true
  if (millis >= longestMillis * Math.max(1, checkpointBytes / hourlyBytes)) return true
  return (
    isFirst &&
    (chainBytes > Math.max(leastReplayedBytes, checkpointBytes / 2) ||
      chainObjects > Math.max(leastReplayedObjects, checkpointBytes / bytesPerObject))
  )
}

/**
 * Puts what a directory holds up to `place` into the bucket, for whoever begins with it: the chain is to be applied from there on.
 * The files must not change meanwhile, but grow. Gives the key, for the announcement in the chain. One that is there already by
 * this key is as good. Fails with a `BucketFault` or a `DiskFault`.
 */
export const uploadCheckpoint = async (
  store: ObjectStore,
  paths: StoragePaths,
  place: ChainPlace,
  { epoch, files, head }: CheckpointFiles
): Promise<string> => {
  const packer = new CheckpointPacker()
  for (const file of files) await packFile(packer, paths, file)
  const key = checkpointKey(place.next)
  await store.create(key, packer.finish({ place, head, epoch }))
  return key
}

const packFile = async (
  packer: CheckpointPacker,
  { disk }: StoragePaths,
  { bytes, name, path }: CountedFile
): Promise<void> => {
  const file = await disk.open(path)
  const missing = () =>
    new DiskFault({ operation: "read", path, code: "ENOENT", passing: true, cause: undefined })
  if (file === undefined) throw missing()
  try {
    packer.begin(name)
    const memory = Buffer.allocUnsafeSlow(Math.min(pieceBytes, bytes))
    for (let position = 0; position < bytes; position += memory.length) {
      const piece = memory.subarray(0, Math.min(memory.length, bytes - position))
      if (!(await fill(file, position, piece))) throw missing()
      await packer.add(piece)
    }
  } finally {
    await file.close()
  }
}
