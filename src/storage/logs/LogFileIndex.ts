import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { DiskFile } from "../disk/Disk.ts"

/**
 * Index beside a log file: one row of 20 bytes for each entry, little-endian: u64 tx, u32 op, u32 position of the entry
 * in the file (after the comma before it), u32 length.
 */
export const indexRowBytes = 20

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

/** Position in the file of the first entry after `offset`; `undefined` when all entries are at or before it. */
export const positionAfter = async (
  index: DiskFile,
  entries: number,
  offset: LogOffset
): Promise<number | undefined> => {
  const row = Buffer.allocUnsafe(indexRowBytes)
  let from = 0
  let to = entries
  let position: number | undefined
  while (from < to) {
    const middle = (from + to) >>> 1
    const bytesRead = await index.read(row, 0, indexRowBytes, middle * indexRowBytes)
    if (bytesRead < indexRowBytes) throw new Error("the index is shorter than its log file")
    const tx = row.readBigUInt64LE(0)
    const after = tx !== offset.tx ? tx > offset.tx : row.readUInt32LE(8) > offset.op
    if (after) {
      position = row.readUInt32LE(12)
      to = middle
    } else from = middle + 1
  }
  return position
}
