import { crc32 } from "node:zlib"
import type { Disk, DiskFile } from "../disk/Disk.ts"
import { fill, makeDirectories, writeWhole } from "../disk/Files.ts"
import { holds, piecesForSums, type SegmentSum, withFile } from "./SegmentSum.ts"
import { bytesOf, headWords, indexBytes, SegmentIndex } from "./SegmentIndex.ts"
import { indexFile, segmentFile, type StoragePaths } from "../disk/StorageDir.ts"

/** An index that is sound itself. */
export interface LoadedIndex {
  readonly index: SegmentIndex
  /** The bytes that it stands for. */
  readonly sum: SegmentSum
  /** The transactions of the segment; `undefined` when that part of the file is damaged. */
  readonly table: () => Promise<Uint32Array | undefined>
}

/** Writes the index of a segment. Nothing is synced: one that a crash leaves torn is found out by its checksum. */
export const writeIndex = async (
  paths: StoragePaths,
  epoch: number,
  segment: number,
  words: Uint32Array
): Promise<void> => {
  await makeDirectories(paths.disk, paths.indexes)
  await writeWhole(paths.disk, indexFile(paths, epoch, segment), bytesOf(words))
}

/** Bytes of the segment that its index, if there is one, says it stands for. */
export const indexedBytes = async (paths: StoragePaths, epoch: number, segment: number): Promise<number> => {
  const index = await readMain(paths.disk, indexFile(paths, epoch, segment), epoch, segment)
  // One that may be wrong is written anew.
  return index === undefined || index.isDoubtful ? 0 : index.end
}

/** Lets an index count before the bytes that it stands for have been read. */
export interface IndexTrust {
  /** Whether they have been read before, and were other ones. */
  readonly isRefuted: (sum: SegmentSum) => boolean
  /** The index counts; its bytes are still to be read. */
  readonly onTrusted: (sum: SegmentSum) => void
}

/** Memory that is used for one index after the other: fresh memory for each would keep the garbage collector busy. */
export class IndexMemory {
  private words = new Uint32Array(0)
  readonly pieces = piecesForSums()

  /** For so many bytes, until somebody asks again. */
  wordsFor(bytes: number): Uint32Array<ArrayBuffer> {
    const length = bytes / 4
    if (this.words.length < length) this.words = new Uint32Array(Math.ceil(length * 1.25))
    return this.words.subarray(0, length)
  }
}

/**
 * The index of a segment of which the first `limit` bytes count. `undefined` when there is none, or it is not sound, or the
 * segment does not hold the bytes that it was made of: then the segment is to be read as if there were no index. With
 * `trust` that it holds them is left for later. The index stands in `memory`, so it is gone with the next one.
 */
export const loadIndex = async (
  paths: StoragePaths,
  epoch: number,
  segment: number,
  limit: number,
  memory: IndexMemory,
  trust: Pick<IndexTrust, "isRefuted"> | undefined
): Promise<LoadedIndex | undefined> => {
  const path = indexFile(paths, epoch, segment)
  const index = await readMain(paths.disk, path, epoch, segment, memory)
  if (index === undefined || index.end > limit) return undefined
  const file = segmentFile(paths, epoch, segment)
  const { end, segmentCrc } = index
  const sum: SegmentSum = { epoch, segment, bytes: end, crc: segmentCrc }
  if (index.isDoubtful && (await countedBytes(paths, file, limit)) !== end) return undefined
  const counts =
    trust === undefined
      ? await holds(paths.disk, file, end, segmentCrc, memory.pieces)
      : !trust.isRefuted(sum) && (await withFile(paths.disk, file, async (_, size) => size >= end))
  return counts === true ? { index, sum, table: () => readTable(paths.disk, path, index) } : undefined
}

/** Of a segment of which the first `limit` bytes count. */
const countedBytes = async (
  { disk }: StoragePaths,
  file: string,
  limit: number
): Promise<number | undefined> => {
  const size = await withFile(disk, file, async (_, bytes) => bytes)
  return size === undefined ? undefined : Math.min(size, limit)
}

const readMain = (
  disk: Disk,
  path: string,
  epoch: number,
  segment: number,
  memory?: IndexMemory
): Promise<SegmentIndex | undefined> =>
  withFile(disk, path, async (file, size) => {
    const head = await readWords(file, 0, new Uint32Array(headWords))
    const bytes = head === undefined ? undefined : indexBytes(head, epoch, segment)
    if (bytes === undefined || bytes.main + bytes.table !== size) return undefined
    const room = memory?.wordsFor(bytes.main) ?? new Uint32Array(bytes.main / 4)
    const words = await readWords(file, 0, room)
    const index = words === undefined ? undefined : new SegmentIndex(words)
    return index?.isSound === true ? index : undefined
  })

const readTable = (disk: Disk, path: string, index: SegmentIndex): Promise<Uint32Array | undefined> =>
  withFile(disk, path, async (file) => {
    const words = await readWords(file, index.bytes, new Uint32Array(index.tableBytes / 4))
    return words !== undefined && crc32(bytesOf(words)) === index.tableCrc ? words : undefined
  })

const readWords = async (
  file: DiskFile,
  position: number,
  words: Uint32Array<ArrayBuffer>
): Promise<Uint32Array<ArrayBuffer> | undefined> =>
  (await fill(file, position, bytesOf(words))) ? words : undefined
