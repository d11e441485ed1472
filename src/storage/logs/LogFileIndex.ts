import { logChunkFile, type StoragePaths } from "../disk/StorageDir.ts"

/**
 * Index beside a log file, for the first release, which reads from it. It is written as long as that release may come back;
 * this one finds its place in the log file itself, see `LogFileSearch.ts`. One row of 20 bytes for each entry, little-endian: u64 tx, u32 op, u32 position of the entry
 * in the file (after the comma before it), u32 length.
 */
export const indexRowBytes = 20

/** That of a shape's log file. */
export const logIndexFile = (paths: StoragePaths, handle: string, index: number): string =>
  `${logChunkFile(paths, handle, index)}.idx`

export const writeIndexRow = (
  out: Buffer,
  row: number,
  txHigh: number,
  txLow: number,
  op: number,
  position: number,
  length: number
): void => {
  const at = row * indexRowBytes
  out.writeUInt32LE(txLow, at)
  out.writeUInt32LE(txHigh, at + 4)
  out.writeUInt32LE(op, at + 8)
  out.writeUInt32LE(position, at + 12)
  out.writeUInt32LE(length, at + 16)
}
