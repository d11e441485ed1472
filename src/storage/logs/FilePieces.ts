import type { DiskFile } from "../disk/Disk.ts"
import { crc32 } from "node:zlib"
import { DamagedFile, type FileIntegrity, type FileSum } from "../disk/FileIntegrity.ts"

/** Bodies up to this size are one buffer; longer ones come in pieces of this size. */
export const pieceBytes = 256 * 1024

/** Bytes of a file from `position` to `end`, in pieces: in `buffer` if one is given, otherwise each in one of its own. */
export async function* filePieces(
  integrity: FileIntegrity,
  path: string,
  position: number,
  end: number,
  buffer: Buffer | undefined
): AsyncGenerator<Buffer> {
  if (position >= end) return
  const file = await integrity.open(path, end)
  try {
    for (let at = position; at < end;) {
      const piece = await readPiece(file, path, at, end, buffer)
      at += piece.length
      yield piece
    }
  } finally {
    await file.close()
  }
}

const readPiece = async (
  file: DiskFile,
  path: string,
  at: number,
  end: number,
  buffer: Buffer | undefined
): Promise<Buffer> => {
  const into = buffer ?? Buffer.allocUnsafeSlow(Math.min(pieceBytes, end - at))
  const bytesRead = await file.read(into, 0, Math.min(into.length, end - at), at)
  if (bytesRead === 0)
    throw new DamagedFile(path, `it ends after ${at} of ${end} bytes`, {
      isShort: true,
      ino: (await file.stat()).ino
    })
  return bytesRead === into.length ? into : into.subarray(0, bytesRead)
}

/**
 * A whole file in pieces, as `filePieces` gives them. Until it has been found sound in this process its checksum is taken
 * on the way, and the last piece is given only once that has proved right: so a reader never gets the whole of a damaged
 * file, its answer is cut off.
 */
export async function* wholeFile(
  integrity: FileIntegrity,
  path: string,
  sum: FileSum,
  buffer: Buffer | undefined
): AsyncGenerator<Buffer> {
  const file = await integrity.open(path, sum.bytes)
  try {
    const state = await file.stat()
    const isSound = integrity.isSound(path, sum, state)
    let crc = 0
    for (let at = 0; at < sum.bytes;) {
      const piece = await readPiece(file, path, at, sum.bytes, buffer)
      at += piece.length
      if (!isSound) {
        crc = crc32(piece, crc)
        if (at === sum.bytes) integrity.found(path, sum, state, crc)
      }
      yield piece
    }
  } finally {
    await file.close()
  }
}
