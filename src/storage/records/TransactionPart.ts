import { writeUint32LE, writeUint64LE } from "../../shared/Uint64.ts"

/**
 * A transaction in the journal is one or more parts, the last of which is flagged; a transaction without its last
 * part never happened. Payload of a part, little-endian:
 *
 *     u64 commit LSN, u64 end LSN, u32 xid, u8 flags (1 = last part, 2 = first part of a late one), then items
 *     item: u32 op, u32 length of the message, u32 number of shapes, u32 check of these and the ids,
 *           message, u32 shape id for each shape
 *
 * A message is a log entry in wire form without the mark of the transaction's last entry, so it ends in `}}`. It is
 * stored once however many shapes it belongs to. The check lets recovery name the shapes of a damaged record.
 */
export const partHeaderBytes = 21
export const itemHeaderBytes = 16
/** In the flags of a part. */
export const lastPart = 1
/** The same, of a late transaction only: what came before it of one that was given up never happened. */
export const firstPart = 2

export const writePartHeader = (
  buffer: Buffer,
  at: number,
  {
    commitLsn,
    endLsn,
    flags,
    xid
  }: { readonly commitLsn: bigint; readonly endLsn: bigint; readonly xid: number; readonly flags: number }
): void => {
  writeUint64LE(buffer, commitLsn, at)
  writeUint64LE(buffer, endLsn, at + 8)
  writeUint32LE(buffer, xid, at + 16)
  buffer[at + 20] = flags
}

const mix = (hash: number, value: number): number => Math.imul(hash ^ value, 0x9e3779b1) ^ (hash >>> 15)

export const writeItemHeader = (
  buffer: Buffer,
  at: number,
  op: number,
  length: number,
  shapes: number,
  ids: Uint32Array
): void => {
  writeUint32LE(buffer, op, at)
  writeUint32LE(buffer, length, at + 4)
  writeUint32LE(buffer, shapes, at + 8)
  let check = mix(mix(op, length), shapes)
  for (let i = 0; i < shapes; i++) check = mix(check, ids[i] as number)
  writeUint32LE(buffer, check >>> 0, at + 12)
}

/**
 * The shapes that a damaged part belongs to, as far as its items check out; `undefined` when that cannot be told.
 */
export const shapesOfDamagedPart = (buffer: Buffer, at: number, end: number): Set<number> | undefined => {
  const ids = new Set<number>()
  let next = at + partHeaderBytes
  while (next < end) {
    if (next + itemHeaderBytes > end) return undefined
    const length = buffer.readUInt32LE(next + 4)
    const shapes = buffer.readUInt32LE(next + 8)
    const idsAt = next + itemHeaderBytes + length
    if (idsAt + 4 * shapes > end) return undefined
    let check = mix(mix(buffer.readUInt32LE(next), length), shapes)
    for (let i = 0; i < shapes; i++) {
      const id = buffer.readUInt32LE(idsAt + 4 * i)
      check = mix(check, id)
      ids.add(id)
    }
    if (check >>> 0 !== buffer.readUInt32LE(next + 12)) return undefined
    next = idsAt + 4 * shapes
  }
  return ids
}

/** Receives the items of a part; positions are relative to the buffer that was read. */
interface PartVisitor {
  readonly part: (commitLsn: bigint, xid: number, isFirst: boolean) => void
  readonly item: (op: number, at: number, length: number, shapes: number, idsAt: number) => void
  readonly partEnd: (last: boolean, endLsn: bigint) => void
}

/** Walks the part whose payload is `buffer[at .. end]`. The checksum has been verified, so the content is sound. */
export const visitPart = (buffer: Buffer, at: number, end: number, visitor: PartVisitor): void => {
  const flags = buffer[at + 20] ?? 0
  visitor.part(buffer.readBigUInt64LE(at), buffer.readUInt32LE(at + 16), (flags & firstPart) !== 0)
  const endLsn = buffer.readBigUInt64LE(at + 8)
  let next = at + partHeaderBytes
  while (next < end) {
    const length = buffer.readUInt32LE(next + 4)
    const shapes = buffer.readUInt32LE(next + 8)
    const messageAt = next + itemHeaderBytes
    visitor.item(buffer.readUInt32LE(next), messageAt, length, shapes, messageAt + length)
    next = messageAt + length + 4 * shapes
  }
  visitor.partEnd((flags & lastPart) !== 0, endLsn)
}
