import { isContained } from "./SnapshotFilter.ts"
import type { ShapeTail } from "./ShapeTail.ts"
import { at, chunksOf, Cursor, flag, kind } from "./RecordLayout.ts"

/** What became of an entry for a dormant shape: nothing, where its record does not say enough, or it is not for its log. */
export const asleep = { unsaid: 0, notItsOwn: 1, first: 2, further: 3 } as const

/** An entry, and the transaction that it is of. */
export interface EntryAt {
  readonly tx: bigint
  readonly xid: number
  /** The upper and the lower half of `tx`. */
  readonly high: number
  readonly low: number
  readonly chunkBytesThreshold: number
  readonly segment: number
  op: number
  position: number
  length: number
}

// What a record says that matters to a change of its shape: it need not wake for that. No object is made of it.

const atSnapshot = (bytes: Buffer, start: number): Cursor => {
  const flags = bytes[start + at.flags] as number
  const kinds = bytes[start + at.kinds] as number
  const from = new Cursor(bytes, start + at.rest)
  if ((kinds & kind.handleIsText) !== 0) from.skipText()
  if ((kinds & kind.identityIsText) !== 0) from.skipText()
  if ((flags & flag.hasSql) !== 0) from.skipText()
  const constants = (kinds & kind.constantsAreList) === 0 ? 1 : from.number()
  for (let i = 0; i < constants; i++) from.skipText()
  return from
}

const atFiles = (bytes: Buffer, start: number): Cursor => {
  const from = atSnapshot(bytes, start)
  if (((bytes[start + at.flags] as number) & flag.hasSnapshot) !== 0) from.skipText()
  const chunks = (bytes[start + at.kinds] as number) & kind.chunks
  if (chunks === chunksOf.list) from.skipText()
  const numbers = chunks === chunksOf.oneFile ? 2 : chunks === chunksOf.oneInJournal ? 3 : 0
  for (let i = 0; i < numbers; i++) from.skipNumber()
  return from
}

/**
 * Whether its log holds the transaction's changes; `undefined` where the record does not tell. See `ShapeState.includes`, as which it
 * remembers that all later ones are its own.
 */
const includesIn = (bytes: Buffer, start: number, tx: bigint, xid: number): boolean | undefined => {
  const flags = bytes[start + at.flags] as number
  if ((flags & flag.hasSnapshot) === 0) return undefined
  if ((flags & flag.filters) === 0) return true
  const { containedBefore, filter } = atSnapshot(bytes, start).snapshot()
  if (containedBefore !== undefined && tx >= containedBefore) {
    bytes[start + at.flags] = flags & ~flag.filters
    return true
  }
  return !isContained(filter, xid)
}

const endTxKey = Buffer.from('"endTx":"')
const quote = 0x22

/** The transaction that the last of its log files ends with; `undefined`: it has no files. */
const filesEndTxIn = (bytes: Buffer, start: number): bigint | undefined => {
  if (((bytes[start + at.kinds] as number) & kind.hasFiles) === 0) return undefined
  // Of the last file in the list, which is JSON that `writeShape` has written.
  const first = bytes.lastIndexOf(endTxKey, atFiles(bytes, start).textEnd()) + endTxKey.length
  return BigInt(bytes.toString("latin1", first, bytes.indexOf(quote, first)))
}

/** Bytes of entries since the last end of a chunk, as of when it fell asleep. */
const openChunkBytesIn = (bytes: Buffer, start: number): number => {
  const kinds = bytes[start + at.kinds] as number
  const from = atFiles(bytes, start)
  if ((kinds & kind.hasFiles) !== 0) from.skipText()
  if ((kinds & kind.hasCompaction) !== 0) from.skipText()
  return from.number()
}

/** Entries have come: it ends where these do. */
const setEndsWithTailIn = (bytes: Buffer, start: number): void => {
  bytes[start + at.flags] = ((bytes[start + at.flags] as number) & ~flag.endsWithFiles) | flag.endsWithTail
}

/** Adds the entry to the tail of a dormant shape, which is empty where it has none. See `ShapeState.receiveAsleep`. */
export const receiveIn = (bytes: Buffer, start: number, tail: ShapeTail, entry: EntryAt): number => {
  const included = includesIn(bytes, start, entry.tx, entry.xid)
  if (included === undefined) return asleep.unsaid
  if (!included) return asleep.notItsOwn
  const { high, length, low, op, position, segment } = entry
  const { count } = tail
  if (count === 0) {
    // Files may already hold this transaction when the journal is applied again from an earlier point.
    const filesEnd = filesEndTxIn(bytes, start)
    if (filesEnd !== undefined && entry.tx <= filesEnd) return asleep.notItsOwn
  }
  const isFirst = count === 0 || tail.txLow(count - 1) !== low || tail.txHigh(count - 1) !== high
  if (!tail.push(high, low, op, segment, position, length)) return asleep.unsaid
  if (tail.openBytes < 0) tail.openBytes = openChunkBytesIn(bytes, start)
  tail.openBytes += length
  if (tail.openBytes >= entry.chunkBytesThreshold) {
    tail.markChunkEnd(count)
    tail.openBytes = 0
  }
  setEndsWithTailIn(bytes, start)
  return isFirst ? asleep.first : asleep.further
}
