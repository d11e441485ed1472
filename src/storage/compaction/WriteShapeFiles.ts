import type { DiskFile } from "../disk/Disk.ts"
import { makeDirectories, writeFully } from "../disk/Files.ts"
import { logChunkFile, shapeDir, snapshotChunkFile } from "../disk/StorageDir.ts"
import { growFile, type Packing } from "../packs/FileGrowth.ts"
import type { Base } from "../records/CompactionState.ts"
import { storedOffset } from "../records/Compaction.ts"
import type { FileNumbers } from "../records/Compaction.ts"
import type { LogFile } from "../records/Records.ts"
import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { StorageEngine } from "../StorageEngine.ts"
import type { FileEnd, FoldOutput } from "./FoldWork.ts"

/** What it takes to write files of one shape that nobody knows of yet. */
export interface ShapeFiles {
  readonly engine: Pick<StorageEngine, "keepFile" | "options" | "paths">
  readonly handle: string
  readonly numbers: FileNumbers
  readonly packing: Packing | undefined
  readonly pause: () => Promise<void>
}

const take = (numbers: FileNumbers): number => {
  const number = numbers.take()
  if (number === undefined) throw new Error("this epoch has no more numbers for files")
  return number
}

/** Where the bytes of one file go. */
interface FileSink {
  readonly add: (piece: Uint8Array) => Promise<void>
  /** All of it is there. */
  readonly end: (end: FileEnd) => Promise<void>
  /** Nothing more comes, and it counts for nothing. */
  readonly close: () => Promise<void>
}

/** Files that are one another's company when they are made durable. */
const syncedTogether = 32

/** A file that has all its bytes, and waits for being made durable. */
interface WrittenFile {
  readonly file: DiskFile
  readonly ended: () => Promise<void>
}

/**
 * Makes files durable many at a time: to wait for the disk once for each small one takes many times as long as all else, and a file
 * system does for one what it does for all that were written before.
 */
class SyncTogether {
  private readonly isDurable: boolean
  private waiting: Array<WrittenFile> = []

  constructor(isDurable: boolean) {
    this.isDurable = isDurable
  }

  async add(written: WrittenFile): Promise<void> {
    this.waiting.push(written)
    if (this.waiting.length >= syncedTogether) await this.settle()
  }

  /** Those that were added are durable, and closed, and their ends told in the order in which they came. */
  async settle(): Promise<void> {
    const all = this.waiting
    this.waiting = []
    const outcomes = await Promise.allSettled(all.map(({ file }) => this.finish(file)))
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason
    for (const { ended } of all) await ended()
  }

  private async finish(file: DiskFile): Promise<void> {
    try {
      if (this.isDurable) await file.sync()
    } finally {
      await file.close()
    }
  }

  /** They count for nothing. */
  async abandon(): Promise<void> {
    await Promise.allSettled(this.waiting.splice(0).map(({ file }) => file.close()))
  }
}

/** Gives each file its number and its bytes. */
const writeFiles = async (
  files: ShapeFiles,
  outputs: AsyncIterable<FoldOutput>,
  begin: (index: number, syncing: SyncTogether) => Promise<FileSink>
): Promise<void> => {
  const syncing = new SyncTogether(files.engine.options.durableWrites)
  let sink: FileSink | undefined
  try {
    for await (const output of outputs) {
      const growing: FileSink = (sink ??= await begin(take(files.numbers), syncing))
      if ("piece" in output) await growing.add(output.piece)
      else {
        sink = undefined
        await growing.end(output.end)
      }
      await files.pause()
    }
    await syncing.settle()
  } finally {
    await sink?.close()
    await syncing.abandon()
  }
}

/** Writes a whole file, which is durable before its end is told; its name is not yet. */
const toDisk = async (
  { engine }: ShapeFiles,
  path: string,
  syncing: SyncTogether,
  ended: (end: FileEnd) => Promise<void>
): Promise<FileSink> => {
  const file: DiskFile = await engine.paths.disk.openToWrite(path, "empty")
  let at = 0
  return {
    add: async (piece) => {
      await writeFully(file, piece, at)
      at += piece.length
    },
    end: (end) => syncing.add({ file, ended: () => ended(end) }),
    close: () => file.close()
  }
}

const directoryOf = async ({ engine, handle }: ShapeFiles): Promise<string> => {
  const directory = shapeDir(engine.paths, handle)
  await makeDirectories(engine.paths.disk, directory)
  return directory
}

/** Writes the rows, which stand at a place of the log, as a base: durable, and in the bucket if there is one. */
export const writeBase = async (
  files: ShapeFiles,
  rows: AsyncIterable<FoldOutput>,
  at: LogOffset,
  madeAtMillis: number
): Promise<Base> => {
  const { engine, handle } = files
  const directory = await directoryOf(files)
  const chunks: Array<Base["chunks"][number]> = []
  await writeFiles(files, rows, (index, syncing) => {
    const path = snapshotChunkFile(engine.paths, handle, index)
    return toDisk(files, path, syncing, async ({ bytes, crc }) => {
      await engine.keepFile(path)
      chunks.push({ index, bytes, crc })
    })
  })
  if (engine.options.durableWrites) await engine.paths.disk.syncDirectory(directory)
  return { chunks, at: storedOffset(at), madeAtMillis }
}

/** Writes a folded log: durable, and in the bucket if there is one. */
export const writeFolded = async (
  files: ShapeFiles,
  log: AsyncIterable<FoldOutput>
): Promise<ReadonlyArray<LogFile>> => {
  const { engine, handle, packing } = files
  const directory = await directoryOf(files)
  const written: Array<LogFile> = []
  await writeFiles(files, log, (index, syncing) => {
    const path = logChunkFile(engine.paths, handle, index)
    const ended = (end: FileEnd, extents: LogFile["extents"]) => written.push(logFileOf(index, end, extents))
    return packing === undefined
      ? toDisk(files, path, syncing, async (end) => void ended(end, undefined))
      : toPacks(packing, path, ended)
  })
  await packing?.packs.finish()
  if (engine.options.durableWrites) await engine.paths.disk.syncDirectory(directory)
  return written
}

/** A file that stands in packs of a bucket; it goes there as a whole. */
const toPacks = async (
  packing: Packing,
  path: string,
  ended: (end: FileEnd, extents: LogFile["extents"]) => void
): Promise<FileSink> => {
  const pieces: Array<Uint8Array> = []
  return {
    add: async (piece) => void pieces.push(piece),
    end: async (end) => ended(end, await growFile(packing, path, { bytes: 0 }, Buffer.concat(pieces))),
    close: async () => {}
  }
}

const logFileOf = (
  index: number,
  { at, bytes, crc, entries, entryBytes }: FileEnd,
  extents: LogFile["extents"]
): LogFile => {
  if (at === undefined) throw new Error("a file of a log has a place where it ends")
  return {
    index,
    bytes,
    crc,
    entries,
    entryBytes,
    endTx: String(at.tx),
    endOp: at.op,
    closed: true,
    ...(extents === undefined ? {} : { extents })
  }
}
