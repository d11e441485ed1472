import type { DiskFile } from "../disk/Disk.ts"
import type { PieceSource } from "../../shared/Pieces.ts"
import { ShareTurns } from "../../shared/ShareTurns.ts"
import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { FileIntegrity } from "../disk/FileIntegrity.ts"
import { filePieces, pieceBytes, wholeFile } from "./FilePieces.ts"
import type { Lending } from "./Lending.ts"
import { positionAfter } from "./LogFileSearch.ts"
import { endOfMessage, markedLength, writeMessage } from "../records/Message.ts"
import type { LogFile } from "../records/Records.ts"
import type { LogPlan } from "./ReadPlan.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import type { ShapeTail } from "../state/ShapeTail.ts"
import { logChunkFile, snapshotChunkFile, type StoragePaths } from "../disk/StorageDir.ts"

/** What a read needs from the storage it reads. */
export interface LogSource {
  readonly paths: StoragePaths
  /** Bytes of the journal that are in memory; a view that is valid until something else runs. */
  readonly memory: (segment: number, position: number, length: number) => Buffer | undefined
  readonly lending: Lending
  readonly readSegment: (segment: number, position: number, into: Buffer) => Promise<boolean>
  readonly integrity: FileIntegrity
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

/** What is in memory is there without waiting, and a socket may take it at once: many readers of much would let nobody else in. */
const turns = new ShareTurns()

/**
 * The planned part of the log, in pieces. The entries are noted when this is called: what is appended, or moved to
 * files, while the reader takes its time changes nothing.
 */
export const logPieces = (source: LogSource, shape: ShapeState, plan: LogPlan): PieceSource => {
  const entries = plan.from === plan.to ? undefined : shape.tail?.frozen()
  return (buffer) => piecesOf(source, shape.handle, plan, entries, buffer)
}

async function* piecesOf(
  source: LogSource,
  handle: string,
  { after, file, from, to }: LogPlan,
  entries: ShapeTail | undefined,
  buffer: Buffer | undefined
): AsyncGenerator<Buffer> {
  const limit = buffer?.length ?? pieceBytes
  let first = true
  if (file !== undefined) {
    const path = logChunkFile(source.paths, handle, file.index)
    await source.integrity.check(path, file)
    const position = await startIn(await source.integrity.open(path, file.bytes), file, after)
    for await (const piece of filePieces(source.integrity, path, position, file.bytes, buffer)) {
      first = false
      yield piece
    }
  }
  if (entries === undefined) return
  for (let i = from; i < to;) {
    await turns.next(limit)
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
  }
}

const endsEarly = (segment: number, position: number): Error =>
  new Error(`journal segment ${segment} ends before ${position}`)

/** One entry that no piece has room for, in pieces as `PieceSource` says: it may be a gigabyte, and has many readers. */
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
    if (done > 0) await turns.next(pieceBytes)
    const lent = buffer === undefined ? undefined : lentPiece(source, segment, position + done, length - done)
    if (lent !== undefined) {
      try {
        if (done === 0 && !isFirst) yield comma
        yield lent
      } finally {
        source.lending.back(lent)
      }
      done += lent.length
      continue
    }
    const room = buffer ?? Buffer.allocUnsafeSlow(pieceBytes)
    const at = done > 0 || isFirst ? 0 : room.write(",", 0)
    const bytes = Math.min(room.length - at, length - done)
    const into = room.subarray(at, at + bytes)
    const known = source.memory(segment, position + done, bytes)
    if (known !== undefined) known.copy(into)
    else if (!(await source.readSegment(segment, position + done, into)))
      throw endsEarly(segment, position + done + bytes)
    done += bytes
    yield room.subarray(0, at + bytes)
  }
  if (ending.length > 0) yield ending.written
}

const comma = Buffer.from(",")

/** What of the journal's memory may be sent without a copy. To be given back. */
const lentPiece = (
  { lending, memory }: LogSource,
  segment: number,
  position: number,
  length: number
): Buffer | undefined => {
  const bytes = memory(segment, position, Math.min(length, pieceBytes))
  return bytes !== undefined && lending.lend(bytes) ? bytes : undefined
}

const startIn = async (open: DiskFile, file: LogFile, after: LogOffset): Promise<number> => {
  try {
    return await positionAfter(open, file.bytes, after)
  } finally {
    await open.close()
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
    const chunk = shape.chunkAt(index)
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
