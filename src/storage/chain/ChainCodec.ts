import { randomUUID } from "node:crypto"
import { crc32 } from "node:zlib"
import { pack, unpack } from "../../shared/Zstd.ts"
import { ChainBroken } from "./ChainBroken.ts"
import type { ChainContent, ChainObject, JournalRange, Opening, SmallFile } from "./ChainObject.ts"

/**
 * An object of the chain as bytes:
 *
 *     8  magic
 *     4  number of the format, 1
 *     4  length of the header
 *     …  header, JSON
 *     …  zstd: the bytes of all ranges, then those of all files; nothing at all when there are none
 *     4  CRC-32 of everything before, by which the next object names this one
 *
 * Numbers are little-endian. Magic, number of the format and CRC stay where they are in every format, so that one that is not known
 * is told apart from damage. Fields that are not known are passed over: what must not be overlooked comes with another number.
 */
const magic = Buffer.from("BatonWal", "latin1")
const format = 1
const fixedBytes = magic.length + 8
const crcBytes = 4

/** What an object can come to, unpacked. Everything else is no object of ours. */
const highestBodyBytes = 256 * 1024 * 1024

interface Header {
  readonly n: number
  readonly stream: string
  readonly previousCrc: number
  /** Made up for this object alone: two that say the same, of two writers, must not pass for one. */
  readonly nonce: string
  readonly epoch: number
  readonly ranges: ReadonlyArray<Omit<JournalRange, "bytes"> & { readonly length: number }>
  readonly opens?: Opening
  readonly files?: ReadonlyArray<{ readonly name: string; readonly length: number }>
  readonly checkpoint?: string
  readonly isFence?: boolean
}

/** One behind the other, without a copy where they stand in memory like that. */
const joined = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [first] = parts
  if (first === undefined) return new Uint8Array(0)
  let end = first.byteOffset
  for (const part of parts) {
    if (part.buffer !== first.buffer || part.byteOffset !== end) return Buffer.concat(parts)
    end += part.length
  }
  return new Uint8Array(first.buffer, first.byteOffset, end - first.byteOffset)
}

/** Names below the storage directory: no way out of it, and nothing hidden. */
const safeName = /^[A-Za-z0-9_][\w.-]*(?:\/[A-Za-z0-9_][\w.-]*)*$/

/**
 * The bytes of an object, and the CRC by which the next one names it. No two calls give the same bytes, whatever they are given:
 * so an object with these bytes is that of who has asked. What `content` refers to must not change meanwhile.
 */
export const encodeChainObject = async (
  place: { readonly stream: string; readonly n: number; readonly previousCrc: number },
  content: ChainContent
): Promise<{ readonly bytes: Buffer; readonly crc: number }> => {
  const { files = [], ranges, ...rest } = content
  for (const file of files)
    if (!safeName.test(file.name)) throw new Error(`${file.name} is no name for a small file.`)
  const header: Header = {
    n: place.n,
    stream: place.stream,
    previousCrc: place.previousCrc,
    nonce: randomUUID(),
    ...rest,
    ranges: ranges.map((range) => ({
      epoch: range.epoch,
      segment: range.segment,
      position: range.position,
      length: range.bytes.length
    })),
    ...(files.length > 0 && {
      files: files.map((file) => ({ name: file.name, length: file.content.length }))
    })
  }
  const plain = joined([...ranges.map((range) => range.bytes), ...files.map((file) => file.content)])
  const body = plain.length === 0 ? plain : await pack(plain)
  const text = Buffer.from(JSON.stringify(header), "utf8")
  const bytes = Buffer.allocUnsafe(fixedBytes + text.length + body.length + crcBytes)
  magic.copy(bytes)
  bytes.writeUInt32LE(format, magic.length)
  bytes.writeUInt32LE(text.length, magic.length + 4)
  text.copy(bytes, fixedBytes)
  bytes.set(body, fixedBytes + text.length)
  const crc = crc32(bytes.subarray(0, -crcBytes))
  bytes.writeUInt32LE(crc, bytes.length - crcBytes)
  return { bytes, crc }
}

const broken = (key: string, reason: "damaged" | "foreign" | "newerFormat", said: string): ChainBroken =>
  new ChainBroken({ reason, object: key, said })

/** The header, and where it ends; what is not sound is refused before any of it is believed. */
const readHeader = (bytes: Buffer, key: string): { readonly header: Header; readonly end: number } => {
  if (bytes.length < magic.length || !magic.equals(bytes.subarray(0, magic.length)))
    throw broken(key, "foreign", "does not begin as an object of the chain does")
  if (
    bytes.length < fixedBytes + crcBytes ||
    crc32(bytes.subarray(0, -crcBytes)) !== bytes.readUInt32LE(bytes.length - crcBytes)
  )
    throw broken(key, "damaged", `is damaged: its checksum does not agree with its ${bytes.length} bytes`)
  const found = bytes.readUInt32LE(magic.length)
  if (found !== format)
    throw broken(key, "newerFormat", `has format ${found}, and this release knows ${format} alone`)
  const end = fixedBytes + bytes.readUInt32LE(magic.length + 4)
  if (end > bytes.length - crcBytes)
    throw broken(key, "damaged", "is damaged: its header is longer than itself")
  try {
    return { header: JSON.parse(bytes.toString("utf8", fixedBytes, end)) as Header, end }
  } catch {
    throw broken(key, "damaged", "is damaged: its header is no JSON")
  }
}

/** The body, as long as the header says; it is not unpacked beyond that. */
const readBody = async (body: Buffer, length: number, key: string): Promise<Buffer> => {
  if (!Number.isSafeInteger(length) || length < 0 || length > highestBodyBytes)
    throw broken(key, "damaged", `is damaged: it claims to hold ${length} bytes`)
  if (body.length === 0 && length === 0) return body
  const plain = await unpack(body, length)
  if (plain === undefined)
    throw broken(key, "damaged", "is damaged: what it holds cannot be unpacked to the length that it says")
  return plain
}

/**
 * The object that these bytes are. Fails with `ChainBroken`, which calls it `key`, when they are damaged, cut off, no object of a
 * chain, or one of a format that is not known. What it holds are parts of one buffer.
 */
export const decodeChainObject = async (bytes: Buffer, key: string): Promise<ChainObject> => {
  const { header, end } = readHeader(bytes, key)
  const { n, stream, previousCrc, epoch, opens, checkpoint, isFence } = header
  let length = 0
  for (const part of [...header.ranges, ...(header.files ?? [])]) length += part.length
  const body = await readBody(bytes.subarray(end, -crcBytes), length, key)
  let at = 0
  const take = (size: number): Buffer => body.subarray(at, (at += size))
  const ranges = header.ranges.map((range): JournalRange => ({
    epoch: range.epoch,
    segment: range.segment,
    position: range.position,
    bytes: take(range.length)
  }))
  const files = header.files?.map(({ name, length: size }): SmallFile => {
    if (!safeName.test(name))
      throw broken(key, "foreign", `holds a file with the name ${JSON.stringify(name)}`)
    return { name, content: take(size) }
  })
  return {
    n,
    stream,
    previousCrc,
    crc: bytes.readUInt32LE(bytes.length - crcBytes),
    epoch,
    ranges,
    ...(opens !== undefined && { opens }),
    ...(files !== undefined && { files }),
    ...(checkpoint !== undefined && { checkpoint }),
    ...(isFence !== undefined && { isFence })
  }
}
