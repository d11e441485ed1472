import { crc32 } from "node:zlib"
import type { Disk, DiskFile } from "../disk/Disk.ts"
import { fill } from "../disk/Files.ts"

/** The segment is looked at in pieces of this size: one is read while the other one's checksum is taken. */
const pieceBytes = 1 << 20

/** The bytes that the index of a segment was made of. */
export interface SegmentSum {
  readonly epoch: number
  readonly segment: number
  readonly bytes: number
  readonly crc: number
}

export const piecesForSums = (): [Buffer, Buffer] => [
  Buffer.allocUnsafeSlow(pieceBytes),
  Buffer.allocUnsafeSlow(pieceBytes)
]

/** Whether the first `bytes` bytes of a file have this checksum. Gives up when nobody wants to know any more. */
export const holds = async (
  disk: Disk,
  path: string,
  bytes: number,
  crc: number,
  pieces: readonly [Buffer, Buffer],
  isWanted = () => true
): Promise<boolean> => {
  const found = await withFile(disk, path, async (file, size) => {
    if (size < bytes) return undefined
    const read = async (at: number): Promise<Buffer | undefined> => {
      const piece = pieces[((at / pieceBytes) & 1) as 0 | 1].subarray(0, Math.min(pieceBytes, bytes - at))
      return (await fill(file, at, piece)) ? piece : undefined
    }
    let sum = 0
    let next = read(0)
    for (let at = 0; at < bytes; at += pieceBytes) {
      const piece = await next
      if (piece === undefined || !isWanted()) return undefined
      if (at + pieceBytes < bytes) next = read(at + pieceBytes)
      sum = crc32(piece, sum)
    }
    return sum
  })
  return found === crc
}

/** `undefined` when the file is not there, or its reading is refused: the caller can do without. */
export const withFile = async <A>(
  disk: Disk,
  path: string,
  use: (file: DiskFile, size: number) => Promise<A | undefined>
): Promise<A | undefined> => {
  let file: DiskFile | undefined
  try {
    file = await disk.open(path)
  } catch {
    return undefined
  }
  if (file === undefined) return undefined
  try {
    return await use(file, (await file.stat()).size)
  } catch {
    return undefined
  } finally {
    await file.close()
  }
}
