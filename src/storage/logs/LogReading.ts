import type { FileHandle } from "node:fs/promises"
import { crc32 } from "node:zlib"
import {
  compareOffsets,
  isVirtual,
  type LogOffset,
  snapshotChunk,
  snapshotEnd
} from "../../shapes/LogOffset.ts"
import { DamagedFile, type FileIntegrity, type FileSum } from "../disk/FileIntegrity.ts"
import { indexRowBytes, positionAfter } from "./LogFileIndex.ts"
import { endOfMessage, markedLength, writeMessage } from "../records/Message.ts"
import type { LogFile } from "../records/Records.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import type { ShapeTail } from "../state/ShapeTail.ts"
import { logChunkFile, snapshotChunkFile, type StoragePaths } from "../disk/StorageDir.ts"

/** Bodies up to this size are one buffer; longer ones come in pieces of this size. */
export const pieceBytes = 256 * 1024

/** What a read needs from the storage it reads. */
export interface LogSource {
  readonly paths: StoragePaths
  /** Bytes of the journal that are in memory; a view that is valid until something else runs. */
  readonly memory: (segment: number, position: number, length: number) => Buffer | undefined
  readonly readSegment: (segment: number, position: number, into: Buffer) => Promise<boolean>
  readonly integrity: FileIntegrity
}

/** The answer to a read before any byte of it has been fetched. */
export type ReadPlan =
  | { readonly _tag: "Dropped" }
  | { readonly _tag: "Ahead" }
  | { readonly _tag: "SnapshotChunk"; readonly index: number; readonly next: LogOffset }
  /** The chunk does not exist yet, and it is not known whether it ever will. */
  | { readonly _tag: "AwaitChunk"; readonly index: number }
  | {
      readonly _tag: "Log"
      readonly next: LogOffset
      readonly upToDate: boolean
      /** File to read from `after` on, before the tail. */
      readonly file: LogFile | undefined
      /** Entries of the tail. */
      readonly from: number
      readonly to: number
    }

/** Decides what a reader at `after` is given. Pure: looks at the shape's state only. */
export const planRead = (shape: ShapeState, after: LogOffset): ReadPlan => {
  if (shape.dropped) return { _tag: "Dropped" }
  if (after.tx < 0n) return chunkPlan(shape, 0)
  if (isVirtual(after) && after.op !== Infinity) {
    const index = after.op + 1
    if (!shape.snapshotComplete || index < shape.snapshotChunks.length) return chunkPlan(shape, index)
    return logPlan(shape, snapshotEnd)
  }
  if (compareOffsets(after, shape.end) > 0) return { _tag: "Ahead" }
  return logPlan(shape, after)
}

const chunkPlan = (shape: ShapeState, index: number): ReadPlan => {
  if (shape.snapshotChunks[index] !== undefined)
    return { _tag: "SnapshotChunk", index, next: snapshotChunk(index) }
  const running = shape.running
  if (running !== undefined && running.index === index && running.readable) {
    return { _tag: "SnapshotChunk", index, next: snapshotChunk(index) }
  }
  return { _tag: "AwaitChunk", index }
}

const logPlan = (shape: ShapeState, after: LogOffset): ReadPlan => {
  const tail = shape.tail
  const filesEnd = shape.filesEnd()
  let file: LogFile | undefined
  if (shape.files.length > 0 && compareOffsets(after, filesEnd) < 0) {
    file = shape.files.find((candidate) => {
      const tx = BigInt(candidate.endTx)
      return after.tx < tx || (after.tx === tx && after.op < candidate.endOp)
    })
  }
  if (file?.closed === true) {
    const next = { tx: BigInt(file.endTx), op: file.endOp }
    return { _tag: "Log", next, upToDate: compareOffsets(next, shape.end) === 0, file, from: 0, to: 0 }
  }
  const from = tail === undefined ? 0 : file === undefined ? tail.firstAfter(after) : 0
  let to = from
  let next = file === undefined ? after : { tx: BigInt(file.endTx), op: file.endOp }
  if (tail !== undefined && from < tail.count) {
    while (to < tail.count) {
      const ends = tail.isChunkEnd(to)
      to++
      if (ends) break
    }
    next = tail.offset(to - 1)
  }
  if (to === from && file === undefined) next = shape.end
  return { _tag: "Log", next, upToDate: compareOffsets(next, shape.end) === 0, file, from, to }
}

/** The tail's entries as one buffer, if they are few and all in memory: no waiting. */
export const tailInMemory = (
  source: LogSource,
  shape: ShapeState,
  from: number,
  to: number
): Buffer | undefined => {
  const tail = shape.tail
  if (tail === undefined || from === to) return Buffer.alloc(0)
  let size = 0
  for (let i = from; i < to; i++) {
    size += markedLength(tail.length(i), tail.isLast(i)) + 1
    if (size > pieceBytes) return undefined
  }
  const out = Buffer.allocUnsafeSlow(size)
  let at = 0
  for (let i = from; i < to; i++) {
    const length = tail.length(i)
    const bytes = source.memory(tail.segment(i), tail.position(i), length)
    if (bytes === undefined) return undefined
    at = writeMessage(out, at, bytes, 0, length, tail.isLast(i), i === from)
  }
  return out.subarray(0, at)
}

/** Bytes for one entry beside its own: marks that it may be given, and a comma. */
const entryExtraBytes = 16

/** Bytes of a file from `position` to `end`, in pieces: in `buffer` if one is given, otherwise each in one of its own. */
async function* filePieces(
  integrity: FileIntegrity,
  path: string,
  position: number,
  end: number,
  buffer: Buffer | undefined
): AsyncGenerator<Buffer> {
  if (position >= end) return
  const file = await integrity.open(path)
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
  file: FileHandle,
  path: string,
  at: number,
  end: number,
  buffer: Buffer | undefined
): Promise<Buffer> => {
  const into = buffer ?? Buffer.allocUnsafeSlow(Math.min(pieceBytes, end - at))
  const { bytesRead } = await file.read(into, 0, Math.min(into.length, end - at), at)
  if (bytesRead === 0) throw new DamagedFile(path, `it ends after ${at} of ${end} bytes`, true)
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
  const file = await integrity.open(path)
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

/** Makes the pieces of a body. They lie in `buffer`, if one is given, and each is valid until the next one is asked for. */
export type MakePieces = (buffer: Buffer | undefined) => AsyncGenerator<Buffer>

/** What is in memory is there without waiting, and a socket may take it at once: many readers of much would let nobody else in. */
const othersTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/**
 * The planned part of the log, in pieces. The entries are noted when this is called: what is appended, or moved to
 * files, while the reader takes its time changes nothing.
 */
export const logPieces = (
  source: LogSource,
  shape: ShapeState,
  after: LogOffset,
  plan: Extract<ReadPlan, { _tag: "Log" }>
): MakePieces => {
  const entries = plan.from === plan.to ? undefined : shape.tail?.frozen()
  return (buffer) => piecesOf(source, shape.handle, after, plan, entries, buffer)
}

async function* piecesOf(
  source: LogSource,
  handle: string,
  after: LogOffset,
  { file, from, to }: Extract<ReadPlan, { _tag: "Log" }>,
  entries: ShapeTail | undefined,
  buffer: Buffer | undefined
): AsyncGenerator<Buffer> {
  const limit = buffer?.length ?? pieceBytes
  let first = true
  if (file !== undefined) {
    const path = logChunkFile(source.paths, handle, file.index)
    await source.integrity.check(path, file)
    await source.integrity.check(`${path}.idx`, { bytes: file.entries * indexRowBytes, crc: file.indexCrc })
    const index = await source.integrity.open(`${path}.idx`)
    const position = await startIn(index, file, after)
    for await (const piece of filePieces(source.integrity, path, position, file.bytes, buffer)) {
      first = false
      yield piece
    }
  }
  if (entries === undefined) return
  for (let i = from; i < to;) {
    if (entries.length(i) + entryExtraBytes > limit) {
      yield* largeEntry(source, entries, i++, first, buffer)
      first = false
      continue
    }
    const until = groupEnd(entries, i, to, limit)
    let size = 0
    for (let k = i; k < until; k++) size += entries.length(k) + entryExtraBytes
    const out = buffer ?? Buffer.allocUnsafeSlow(size)
    let at = 0
    while (i < until) {
      const segment = entries.segment(i)
      const start = entries.position(i)
      const bytes = source.memory(segment, start, entries.length(i))
      if (bytes !== undefined) {
        at = writeMessage(out, at, bytes, 0, entries.length(i), entries.isLast(i), first)
        first = false
        i++
        continue
      }
      const run = runEnd(entries, i, until)
      const span = Buffer.allocUnsafe(entries.position(run - 1) + entries.length(run - 1) - start)
      if (!(await source.readSegment(segment, start, span))) throw endsEarly(segment, start + span.length)
      for (; i < run; i++) {
        const position = entries.position(i) - start
        at = writeMessage(out, at, span, position, entries.length(i), entries.isLast(i), first)
        first = false
      }
    }
    yield out.subarray(0, at)
    if (i < to) await othersTurn()
  }
}

const endsEarly = (segment: number, position: number): Error =>
  new Error(`journal segment ${segment} ends before ${position}`)

/** One entry that no piece has room for, in pieces as `MakePieces` says: it may be a gigabyte, and has many readers. */
async function* largeEntry(
  source: LogSource,
  entries: ShapeTail,
  i: number,
  isFirst: boolean,
  buffer: Buffer | undefined
): AsyncGenerator<Buffer> {
  const segment = entries.segment(i)
  const position = entries.position(i)
  const ending = endOfMessage(entries.isLast(i))
  const length = entries.length(i) - ending.length
  for (let done = 0; done < length;) {
    const room = buffer ?? Buffer.allocUnsafeSlow(pieceBytes)
    const at = done > 0 || isFirst ? 0 : room.write(",", 0)
    const bytes = Math.min(room.length - at, length - done)
    const into = room.subarray(at, at + bytes)
    const known = source.memory(segment, position + done, bytes)
    if (known !== undefined) {
      known.copy(into)
      await othersTurn()
    } else if (!(await source.readSegment(segment, position + done, into)))
      throw endsEarly(segment, position + done + bytes)
    done += bytes
    yield room.subarray(0, at + bytes)
  }
  if (ending.length > 0) yield ending.written
}

const startIn = async (index: FileHandle, file: LogFile, after: LogOffset): Promise<number> => {
  try {
    return (await positionAfter(index, file.entries, after)) ?? file.bytes
  } finally {
    await index.close()
  }
}

/** End of the entries from `from` to `to` that make up one piece. */
const groupEnd = (entries: ShapeTail, from: number, to: number, limit: number): number => {
  let size = 0
  let i = from
  while (i < to) {
    size += entries.length(i) + entryExtraBytes
    if (size > limit && i > from) break
    i++
  }
  return i
}

/** End of the entries from `from` on that one read of the segment gives without much else between them. */
const runEnd = (entries: ShapeTail, from: number, until: number): number => {
  const segment = entries.segment(from)
  const start = entries.position(from)
  let useful = entries.length(from)
  let i = from + 1
  // Releases up to now have written entries of one transaction in another order than that of their offsets.
  while (i < until && entries.segment(i) === segment && entries.position(i) > entries.position(i - 1)) {
    useful += entries.length(i)
    const bytes = entries.position(i) + entries.length(i) - start
    if (bytes > pieceBytes * 2 || bytes > useful * 4 + 4096) break
    i++
  }
  return i
}

/** A whole snapshot chunk, or one that is still growing, in pieces. */
export async function* snapshotPieces(
  source: LogSource,
  shape: ShapeState,
  index: number,
  buffer: Buffer | undefined
): AsyncGenerator<Buffer> {
  const path = snapshotChunkFile(source.paths, shape.handle, index)
  let at = 0
  for (;;) {
    const chunk = shape.snapshotChunks[index]
    if (chunk !== undefined) {
      if (chunk._tag === "File") {
        yield* at === 0
          ? wholeFile(source.integrity, path, chunk, buffer)
          : filePieces(source.integrity, path, at, chunk.bytes, buffer)
        return
      }
      const bytes = source.memory(chunk.segment, chunk.position, chunk.bytes)
      if (bytes !== undefined) {
        yield Buffer.from(bytes)
        return
      }
      const read = Buffer.allocUnsafe(chunk.bytes)
      if (!(await source.readSegment(chunk.segment, chunk.position, read)))
        throw new Error("journal segment ends early")
      yield read
      return
    }
    const running = shape.running
    if (shape.dropped || running === undefined) throw new Error("the snapshot was given up")
    const progress = running.progress()
    if (running.index === index && running.writtenBytes > at) {
      const end = running.writtenBytes
      yield* filePieces(source.integrity, path, at, end, buffer)
      at = end
      continue
    }
    await progress
  }
}
