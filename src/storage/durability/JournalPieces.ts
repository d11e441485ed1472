import type { JournalRange } from "../chain/ChainObject.ts"
import { DiskFault } from "../disk/DiskFault.ts"
import { fill } from "../disk/Files.ts"
import { segmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import type { JournalEnd } from "../records/Records.ts"

/** A stretch of the file of a segment. */
export interface Piece {
  readonly segment: number
  readonly position: number
  readonly length: number
}

/** Cuts pieces into groups of at most `limitBytes`, in their order; a longer one is cut, too. */
export const inGroups = (
  pieces: ReadonlyArray<Piece>,
  limitBytes: number
): ReadonlyArray<ReadonlyArray<Piece>> => {
  const groups: Array<Array<Piece>> = []
  let room = 0
  for (const { length, position, segment } of pieces)
    for (let at = 0; at < length;) {
      if (room === 0) {
        groups.push([])
        room = limitBytes
      }
      const taken = Math.min(room, length - at)
      groups.at(-1)?.push({ segment, position: position + at, length: taken })
      at += taken
      room -= taken
    }
  return groups
}

/** Pieces that follow on each other are one. */
const merged = (pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => {
  const all: Array<Piece> = []
  for (const piece of pieces) {
    const last = all.at(-1)
    if (last?.segment === piece.segment && last.position + last.length === piece.position)
      all[all.length - 1] = { ...last, length: last.length + piece.length }
    else all.push(piece)
  }
  return all
}

/**
 * Reads pieces of the journal of an epoch from their local files, one behind the other in one stretch of memory: that which `memory`
 * gives for so many bytes, or new one. Fails with a `DiskFault` when one of them is shorter.
 */
export const readPieces = async (
  paths: StoragePaths,
  epoch: number,
  pieces: ReadonlyArray<Piece>,
  memory: (bytes: number) => Buffer = (bytes) => Buffer.allocUnsafe(bytes)
): Promise<ReadonlyArray<JournalRange>> => {
  const ranges: Array<JournalRange> = []
  const whole = memory(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const { length, position, segment } of merged(pieces)) {
    const path = segmentFile(paths, epoch, segment)
    const bytes = whole.subarray(at, at + length)
    at += length
    const file = await paths.disk.open(path)
    if (file === undefined) throw endsEarly(path, "ENOENT")
    try {
      if (!(await fill(file, position, bytes))) throw endsEarly(path, "EIO")
    } finally {
      await file.close()
    }
    ranges.push({ epoch, segment, position, bytes })
  }
  return ranges
}

const endsEarly = (path: string, code: string): DiskFault =>
  new DiskFault({ operation: "read", path, code, passing: true, cause: undefined })

/** What stands on the local disk of the journal of an epoch, from `from` on and up to `to`: segments before the last are whole. */
export const piecesBetween = async (
  paths: StoragePaths,
  from: JournalEnd,
  to: JournalEnd
): Promise<ReadonlyArray<Piece>> => {
  const pieces: Array<Piece> = []
  for (let { segment, position } = from; segment <= to.segment; segment++, position = 0) {
    const end =
      segment === to.segment
        ? to.position
        : ((await paths.disk.stat(segmentFile(paths, to.epoch, segment)))?.size ?? 0)
    if (end > position) pieces.push({ segment, position, length: end - position })
  }
  return pieces
}
