import { crc32 } from "node:zlib"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import { pack, unpack } from "../../shared/Zstd.ts"
import { ChainBroken } from "../chain/ChainBroken.ts"
import type { ChainPlace } from "../chain/ChainObject.ts"

/**
 * A checkpoint in the bucket, as bytes:
 *
 *     8  magic
 *     4  number of the format, 1
 *     4  length of the header
 *     …  header, JSON
 *     4  CRC-32 of everything before
 *     …  the pieces of its files, one after the other, each of them zstd
 *
 * Numbers are little-endian. Magic, number of the format and the length stay where they are in every format. The header says
 * where each piece stands and what its CRC-32 is, so that pieces can be fetched by themselves.
 */
const magic = Buffer.from("BatonChk", "latin1")
const format = 1
const fixedBytes = magic.length + 8
const crcBytes = 4
/** Asked for first: as good as always the whole header. */
const likelyHeaderBytes = 64 * 1024
const highestHeaderBytes = 64 * 1024 * 1024
/** Bytes of a file that are packed together. */
export const pieceBytes = 4 << 20

export interface Piece {
  /** Behind the header. */
  readonly at: number
  readonly packedBytes: number
  readonly bytes: number
  /** Of the packed form. */
  readonly crc: number
}

export interface PackedFile {
  /** Which file of a storage directory it is, see `CheckpointFiles.ts`. */
  readonly name: string
  readonly pieces: ReadonlyArray<Piece>
}

export interface CheckpointHeader {
  /** The chain is to be applied from here on. */
  readonly place: ChainPlace
  /** Where the journal begins that the checkpoint lacks. What of it came before `place` is among the files. */
  readonly head: { readonly epoch: number; readonly segment: number }
  /** Of the writer. */
  readonly epoch: number
  readonly files: ReadonlyArray<PackedFile>
}

/** A checkpoint that is in the bucket. */
export interface CheckpointObject {
  readonly key: string
  readonly header: CheckpointHeader
  /** Where its pieces begin. */
  readonly bodyAt: number
}

const prefix = "checkpoints/"
export const checkpointKey = (n: number): string => `${prefix}${String(n).padStart(20, "0")}`

/** Keys of the checkpoints that there are, newest first. */
export const listCheckpoints = async (store: ObjectStore): Promise<ReadonlyArray<string>> => {
  const keys: Array<string> = []
  for await (const { key } of store.list(prefix)) if (/^checkpoints\/\d{20}$/.test(key)) keys.push(key)
  return keys.toReversed()
}

/** Packs the files of a checkpoint piece by piece, in other threads. */
export class CheckpointPacker {
  private readonly files: Array<{ readonly name: string; readonly pieces: Array<Piece> }> = []
  private readonly packed: Array<Buffer> = []
  private at = 0

  /** What follows are pieces of this file. */
  begin(name: string): void {
    this.files.push({ name, pieces: [] })
  }

  /** Up to `pieceBytes` of the file that was begun last. They may be written over once this completes. */
  async add(piece: Uint8Array): Promise<void> {
    const packed = await pack(piece)
    const described = {
      at: this.at,
      packedBytes: packed.length,
      bytes: piece.length,
      crc: crc32(packed)
    }
    this.files.at(-1)?.pieces.push(described)
    this.packed.push(packed)
    this.at += packed.length
  }

  /** The object, in parts. */
  finish(header: Omit<CheckpointHeader, "files">): ReadonlyArray<Uint8Array> {
    const text = Buffer.from(JSON.stringify({ ...header, files: this.files } satisfies CheckpointHeader))
    const head = Buffer.alloc(fixedBytes + text.length + crcBytes)
    magic.copy(head)
    head.writeUInt32LE(format, magic.length)
    head.writeUInt32LE(text.length, magic.length + 4)
    text.copy(head, fixedBytes)
    head.writeUInt32LE(crc32(head.subarray(0, -crcBytes)), head.length - crcBytes)
    return [head, ...this.packed]
  }
}

/**
 * What a checkpoint says of itself; `undefined` when there is none by this key. Fails with a `BucketFault`, and with `ChainBroken`
 * when it is damaged or of a format that is not known.
 */
export const openCheckpoint = async (
  store: ObjectStore,
  key: string
): Promise<CheckpointObject | undefined> => {
  const broken = (reason: "damaged" | "foreign" | "newerFormat", said: string) =>
    new ChainBroken({ reason, object: `${store.name}/${key}`, said })
  let head = await store.get(key, { from: 0, to: likelyHeaderBytes })
  if (head === undefined) return undefined
  if (head.length < fixedBytes || !magic.equals(head.subarray(0, magic.length)))
    throw broken("foreign", "does not begin as a checkpoint does")
  const found = head.readUInt32LE(magic.length)
  if (found > format)
    throw broken("newerFormat", `has format ${found}, and this release knows ${format} alone`)
  const length = head.readUInt32LE(magic.length + 4)
  if (length > highestHeaderBytes) throw broken("damaged", "is damaged: its header has no length")
  const bodyAt = fixedBytes + length + crcBytes
  if (bodyAt > likelyHeaderBytes) head = (await store.get(key, { from: 0, to: bodyAt })) ?? head
  const isSound =
    head.length >= bodyAt &&
    crc32(head.subarray(0, bodyAt - crcBytes)) === head.readUInt32LE(bodyAt - crcBytes)
  if (!isSound) throw broken("damaged", "is damaged: the checksum of its header is wrong")
  const header = JSON.parse(head.toString("utf8", fixedBytes, fixedBytes + length)) as CheckpointHeader
  return { key, header, bodyAt }
}

/** The bytes of a piece. Fails with a `BucketFault`, and with `ChainBroken` when it is damaged, or the object is gone. */
export const readPiece = async (
  store: ObjectStore,
  { bodyAt, key }: CheckpointObject,
  { at, bytes, crc, packedBytes }: Piece
): Promise<Buffer> => {
  const from = bodyAt + at
  const packed = await store.get(key, { from, to: from + packedBytes })
  const broken = (reason: "collected" | "damaged", said: string) =>
    new ChainBroken({ reason, object: `${store.name}/${key}`, said })
  if (packed === undefined) throw broken("collected", "was collected while it was read")
  if (packed.length !== packedBytes || crc32(packed) !== crc)
    throw broken("damaged", `is damaged at its byte ${from}`)
  const plain = await unpack(packed, bytes)
  if (plain === undefined) throw broken("damaged", `cannot be unpacked at its byte ${from}`)
  return plain
}
