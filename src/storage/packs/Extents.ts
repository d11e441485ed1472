import type { Extent } from "../records/Records.ts"
import type { ShapeState } from "../state/ShapeState.ts"

/** What becomes of the extents of a file that grows by a piece. */
interface Growth {
  readonly kept: ReadonlyArray<Extent>
  /** The last ones: their bytes go into the same pack as the piece, before it. */
  readonly absorbed: ReadonlyArray<Extent>
}

/**
 * A piece absorbs what stands before it while that is shorter than twice of what there is by then. So each extent that stays
 * is at least twice as long as the one behind it, and there are no more than log2 of the file's bytes; what is absorbed
 * becomes a part of something that is more than one and a half times as long, so a byte is stored again no more often than
 * log1.5 of them.
 */
export const growthBy = (extents: ReadonlyArray<Extent>, pieceBytes: number): Growth => {
  let bytes = pieceBytes
  let from = extents.length
  for (; from > 0; from--) {
    const last = extents[from - 1]
    if (last === undefined || last.bytes >= 2 * bytes) break
    bytes += last.bytes
  }
  return { kept: extents.slice(0, from), absorbed: extents.slice(from) }
}

export const extentBytes = (extents: ReadonlyArray<Extent>): number =>
  extents.reduce((sum, { bytes }) => sum + bytes, 0)

export const packKey = (pack: string): string => `packs/${pack}`

const hex = (n: number): string => n.toString(16).padStart(8, "0")

export const packName = (epoch: number, sequence: number): string => `${hex(epoch)}-${hex(sequence)}`

/** The epoch of the writer that has made a pack; `undefined` where this is no name of one. */
export const packEpoch = (pack: string): number | undefined => {
  const match = /^([0-9a-f]{8})-[0-9a-f]{8}$/.exec(pack)
  return match?.[1] === undefined ? undefined : parseInt(match[1], 16)
}

/** The object of a chunk of first rows that was a file from the beginning. */
export const chunkKey = (handle: string, index: number): string => `shapes/${handle}/s${index}`

/** Bytes of an object, from `from` up to, and without, `to`. */
export interface Stretch {
  readonly key: string
  readonly from: number
  readonly to: number
}

/** What a file of a shape holds, and where in the bucket: one stretch after the other. */
interface Whereabouts {
  readonly bytes: number
  readonly crc: number
  readonly stretches: ReadonlyArray<Stretch>
}

const fileName = /^([sl])(\d+)$/

/**
 * Where a file of the shape (`s<n>` or `l<n>`, as in its directory) stands in the bucket; `undefined` when it is not there, or not
 * yet.
 */
export const whereIs = (
  shape: Pick<ShapeState, "handle" | "files" | "chunkAt">,
  file: string
): Whereabouts | undefined => {
  const match = fileName.exec(file)
  const index = Number(match?.[2])
  if (match?.[1] === "l") {
    const log = shape.files.find((known) => known.index === index)
    if (log?.extents === undefined || extentBytes(log.extents) !== log.bytes) return undefined
    return { bytes: log.bytes, crc: log.crc, stretches: stretchesOf(log.extents) }
  }
  const chunk = match === null ? undefined : shape.chunkAt(index)
  if (chunk?._tag !== "File") return undefined
  const { bytes, crc, extents } = chunk
  if (extents === undefined)
    return { bytes, crc, stretches: [{ key: chunkKey(shape.handle, index), from: 0, to: bytes }] }
  return extentBytes(extents) === bytes ? { bytes, crc, stretches: stretchesOf(extents) } : undefined
}

const stretchesOf = (extents: ReadonlyArray<Extent>): ReadonlyArray<Stretch> =>
  extents.map(({ at, bytes, pack }) => ({ key: packKey(pack), from: at, to: at + bytes }))
