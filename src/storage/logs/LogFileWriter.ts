import { crc32 } from "node:zlib"
import { makeDirectories, readWhole, writeFully } from "../disk/Files.ts"
import { copyInTurns, crcInTurns } from "../../shared/LargeBytes.ts"
import { indexRowBytes, logIndexFile, writeIndexRow } from "./LogFileIndex.ts"
import { endOfMessage, markedLength, writeMessage } from "../records/Message.ts"
import { levelWithoutLogIndexes } from "../levels/Levels.ts"
import type { LogFile, Notice } from "../records/Records.ts"
import { growFile, type Packing, repack } from "../packs/FileGrowth.ts"
import type { SegmentFiles } from "../segments/SegmentFiles.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { ShapeTail } from "../state/ShapeTail.ts"
import {
  logChunkFile,
  segmentFile,
  shapeDir,
  snapshotChunkFile,
  type StoragePaths
} from "../disk/StorageDir.ts"

/** Segments that are moved together are read as a whole up to this size; from a larger one entries are read singly. */
const wholeSegmentsBytes = 96 << 20
/** A longer entry is copied with everything else in between. */
const largeEntryBytes = 4 << 20
const parallelShapes = 8

type Moved = Extract<Notice, { t: "moved" }>["shapes"][number]

interface Source {
  /** The segment, where all of it is in memory. */
  readonly whole: (segment: number) => Buffer | undefined
  readonly take: (segment: number, position: number, length: number) => Promise<Buffer>
}

/** Segments that are moved in one go: all from `first` to `last`. */
interface MovedSegments {
  readonly paths: StoragePaths
  readonly first: number
  readonly last: number
  readonly segments: SegmentFiles
  readonly shapes: Iterable<ShapeState>
  readonly durableWrites: boolean
  /** Of what is stored: see `levels/Levels.ts`. */
  readonly level: number
  /** Where storage stands in a bucket, and files here are copies. */
  readonly packing?: Packing
  /** Packs of which little is needed any more: what is goes into new ones. */
  readonly sparsePacks?: ReadonlySet<string>
}

/**
 * Copies the entries that stand in these segments to their shapes' log files, and makes those durable. Positions in the
 * files follow from what the shapes' state says, so doing it again writes the same bytes to the same places. With a bucket, packs
 * hold them when this completes, and what is returned says where.
 */
export const moveSegments = async (options: MovedSegments): Promise<ReadonlyArray<Moved>> => {
  const source = await openSource(options)
  const moved: Array<Moved> = []
  const { last, sparsePacks } = options
  const work = [...options.shapes].filter(
    (shape) =>
      !shape.dropped && (concerns(shape, last) || (sparsePacks !== undefined && standsIn(shape, sparsePacks)))
  )
  let next = 0
  const worker = async () => {
    for (let shape = work[next++]; shape !== undefined; shape = work[next++]) {
      const result = await moveShape(options, shape, source)
      if (result !== undefined) moved.push(result)
    }
  }
  await Promise.all(Array.from({ length: parallelShapes }, worker))
  await options.packing?.packs.finish()
  if (options.durableWrites && moved.length > 0) await options.paths.disk.syncDirectory(options.paths.shapes)
  return moved
}

const concerns = (shape: ShapeState, segment: number): boolean =>
  shape.mayStandInJournal &&
  ((shape.tail !== undefined && shape.tail.count > 0 && shape.tail.segment(0) <= segment) ||
    shape.snapshotChunks.some((chunk) => chunk._tag === "Journal" && chunk.segment <= segment))

const openSource = async ({ paths, first, last, segments }: MovedSegments): Promise<Source> => {
  const wholes = new Map<number, Buffer>()
  let bytes = 0
  for (let segment = first; segment <= last; segment++) {
    const size = await segments.sizeOf(segment)
    if (bytes + size > wholeSegmentsBytes) continue
    bytes += size
    const whole = await readWhole(paths.disk, segmentFile(paths, segments.epochOf(segment) ?? 0, segment))
    if (whole !== undefined) wholes.set(segment, whole)
  }
  return {
    whole: (segment) => wholes.get(segment),
    take: async (segment, position, length) => {
      const whole = wholes.get(segment)
      // Where files are seen late, it may have been read when it was shorter.
      if (whole !== undefined && position + length <= whole.length)
        return whole.subarray(position, position + length)
      const taken = Buffer.allocUnsafe(length)
      if (!(await segments.read(segment, position, taken)))
        throw new Error(`journal segment ${segment} is shorter than its entries`)
      return taken
    }
  }
}

/**
 * Writes a part of a file. Nothing is ever cut off: who was fenced off in the middle of this writes, whenever it goes on,
 * the bytes that are there already, in a file that may have grown since.
 */
const writePart = async (
  { durableWrites, paths }: MovedSegments,
  path: string,
  bytes: Buffer,
  position: number
): Promise<void> => {
  const file = await paths.disk.openToWrite(path, "any")
  try {
    await writeFully(file, bytes, position)
    if (durableWrites) await file.sync()
  } finally {
    await file.close()
  }
}

/** Adds a piece to a file, of which this much is known. Gives what is known of its place besides. */
const addPiece = async (
  options: MovedSegments,
  path: string,
  known: Pick<LogFile, "bytes" | "extents">,
  piece: Buffer
): Promise<Pick<LogFile, "extents">> => {
  if (options.packing !== undefined) return { extents: await growFile(options.packing, path, known, piece) }
  await writePart(options, path, piece, known.bytes)
  return {}
}

/** Small chunks of first rows stand in the journal, too. */
const moveChunks = async (
  options: MovedSegments,
  shape: ShapeState,
  source: Source
): Promise<Array<Moved["chunks"][number]>> => {
  const chunks: Array<Moved["chunks"][number]> = []
  for (let index = 0; index < shape.snapshotChunks.length; index++) {
    const chunk = shape.snapshotChunks[index]
    if (chunk === undefined || chunk._tag !== "Journal" || chunk.segment > options.last) continue
    const content = await source.take(chunk.segment, chunk.position, chunk.bytes)
    const path = snapshotChunkFile(options.paths, shape.handle, index)
    const place = await addPiece(options, path, { bytes: 0 }, content)
    chunks.push({ index, bytes: chunk.bytes, crc: crc32(content), ...place })
  }
  return chunks
}

/** What entries come to in a log file, and their rows in the index beside it, if it has one. */
interface LogPiece {
  readonly bytes: Buffer
  readonly rows: Buffer
  /** Sum of the entries' own lengths. */
  readonly entryBytes: number
}

/** As `writeMessage`. */
const writeLargeMessage = async (
  out: Buffer,
  at: number,
  source: Buffer,
  isLast: boolean,
  isFirst: boolean
): Promise<number> => {
  const ending = endOfMessage(isLast)
  const length = source.length - ending.length
  const start = isFirst ? at : at + out.write(",", at, "latin1")
  await copyInTurns(source, out, start, 0, length)
  return start + length + ending.written.copy(out, start + length)
}

const composePiece = async (
  tail: ShapeTail,
  from: number,
  end: number,
  before: LogFile,
  isIndexed: boolean,
  source: Source
): Promise<LogPiece> => {
  let size = 0
  for (let k = from; k < end; k++) size += markedLength(tail.length(k), tail.isLast(k)) + 1
  const bytes = Buffer.allocUnsafe(size)
  const rows = Buffer.allocUnsafe(isIndexed ? (end - from) * indexRowBytes : 0)
  let at = 0
  let entryBytes = 0
  for (let k = from; k < end; k++) {
    const length = tail.length(k)
    const isFirst = before.bytes === 0 && k === from
    const start = before.bytes + at + (isFirst ? 0 : 1)
    const segment = tail.segment(k)
    const position = tail.position(k)
    const isLast = tail.isLast(k)
    const whole = source.whole(segment)
    if (length > largeEntryBytes) {
      const taken = await source.take(segment, position, length)
      at = await writeLargeMessage(bytes, at, taken, isLast, isFirst)
    } else if (whole !== undefined && position + length <= whole.length)
      at = writeMessage(bytes, at, whole, position, length, isLast, isFirst)
    else {
      const taken = await source.take(segment, position, length)
      at = writeMessage(bytes, at, taken, 0, length, isLast, isFirst)
    }
    const written = before.bytes + at - start
    if (isIndexed) writeIndexRow(rows, k - from, tail.txHigh(k), tail.txLow(k), tail.op(k), start, written)
    entryBytes += length
  }
  return { bytes: bytes.subarray(0, at), rows, entryBytes }
}

const inPacks = (extents: LogFile["extents"], packs: ReadonlySet<string>): boolean =>
  extents?.some(({ pack }) => packs.has(pack)) === true

/** Whether something of the shape stands in one of these packs. */
const standsIn = (shape: ShapeState, packs: ReadonlySet<string>): boolean =>
  shape.files.some(({ extents }) => inPacks(extents, packs)) ||
  shape.snapshotChunks.some((chunk) => chunk._tag === "File" && inPacks(chunk.extents, packs))

/** Puts what else of the shape stands in sparse packs into new ones. */
const repackRest = async (
  { packing, sparsePacks }: MovedSegments,
  shape: ShapeState,
  files: Array<LogFile>,
  chunks: Array<Moved["chunks"][number]>
): Promise<void> => {
  if (packing === undefined || sparsePacks === undefined) return
  for (const file of shape.files) {
    const { extents = [], index } = file
    if (!inPacks(extents, sparsePacks) || files.some((grown) => grown.index === index)) continue
    files.push({ ...file, extents: await repack(packing, extents, sparsePacks) })
  }
  for (const [index, chunk] of shape.snapshotChunks.entries()) {
    if (chunk._tag !== "File" || !inPacks(chunk.extents, sparsePacks)) continue
    const { bytes, crc, extents = [] } = chunk
    chunks.push({ index, bytes, crc, extents: await repack(packing, extents, sparsePacks) })
  }
}

const moveShape = async (
  options: MovedSegments,
  shape: ShapeState,
  source: Source
): Promise<Moved | undefined> => {
  await makeDirectories(options.paths.disk, shapeDir(options.paths, shape.handle))
  const chunks = await moveChunks(options, shape, source)
  const files: Array<LogFile> = []
  let isNamed = chunks.length === 0
  // As it is now: a writer whose turn ends meanwhile follows its successor, whose moves take entries off the shape's own.
  const tail = shape.tail?.frozen() ?? new ShapeTail()
  const count = tail.countUpToSegment(options.last)
  let i = 0
  let current = shape.files.at(-1)
  while (i < count) {
    if (current === undefined || current.closed) {
      const index = current === undefined ? 0 : current.index + 1
      current = {
        index,
        bytes: 0,
        crc: 0,
        ...(options.level >= levelWithoutLogIndexes ? {} : { indexCrc: 0 }),
        entries: 0,
        entryBytes: 0,
        endTx: "0",
        endOp: 0,
        closed: false
      }
    }
    let end = i
    while (end < count && !tail.isChunkEnd(end)) end++
    if (end < count) end++
    const before = current
    // One that was begun with an index goes on without, at a level at which nobody reads it: see `OldLogIndexes.ts`.
    const isIndexed = before.indexCrc !== undefined && options.level < levelWithoutLogIndexes
    const { bytes, entryBytes, rows } = await composePiece(tail, i, end, before, isIndexed, source)
    if (before.entries === 0) isNamed = false
    const log = logChunkFile(options.paths, shape.handle, before.index)
    const place = await addPiece(options, log, before, bytes)
    const index = logIndexFile(options.paths, shape.handle, before.index)
    if (isIndexed) await writePart(options, index, rows, before.entries * indexRowBytes)
    else if (before.indexCrc !== undefined) await options.paths.disk.remove(index)
    current = {
      index: before.index,
      bytes: before.bytes + bytes.length,
      crc: await crcInTurns(bytes, before.crc),
      ...(isIndexed ? { indexCrc: crc32(rows, before.indexCrc) } : {}),
      entries: before.entries + end - i,
      entryBytes: before.entryBytes + entryBytes,
      endTx: String(tail.tx(end - 1)),
      endOp: tail.op(end - 1),
      closed: tail.isChunkEnd(end - 1),
      ...place
    }
    files.push(current)
    i = end
  }
  await repackRest(options, shape, files, chunks)
  if (files.length === 0 && chunks.length === 0) return undefined
  // Files that were there before have their names.
  if (options.durableWrites && !isNamed)
    await options.paths.disk.syncDirectory(shapeDir(options.paths, shape.handle))
  return { id: shape.id, files, chunks }
}
