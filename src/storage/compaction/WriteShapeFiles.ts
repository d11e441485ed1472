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

/** Gives each file its number and its bytes. */
const writeFiles = async (
  files: ShapeFiles,
  outputs: AsyncIterable<FoldOutput>,
  begin: (index: number) => Promise<FileSink>
): Promise<void> => {
  let sink: FileSink | undefined
  try {
    for await (const output of outputs) {
      const growing: FileSink = (sink ??= await begin(take(files.numbers)))
      if ("piece" in output) await growing.add(output.piece)
      else {
        sink = undefined
        await growing.end(output.end)
      }
      await files.pause()
    }
  } finally {
    await sink?.close()
  }
}

/** Writes a whole file and makes it durable; its name is not yet. */
const toDisk = async (
  { engine }: ShapeFiles,
  path: string,
  ended: (end: FileEnd) => Promise<void>
): Promise<FileSink> => {
  const file: DiskFile = await engine.paths.disk.openToWrite(path, "empty")
  let at = 0
  return {
    add: async (piece) => {
      await writeFully(file, piece, at)
      at += piece.length
    },
    end: async (end) => {
      try {
        if (engine.options.durableWrites) await file.sync()
      } finally {
        await file.close()
      }
      await ended(end)
    },
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
  await writeFiles(files, rows, (index) => {
    const path = snapshotChunkFile(engine.paths, handle, index)
    return toDisk(files, path, async ({ bytes, crc }) => {
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
  await writeFiles(files, log, (index) => {
    const path = logChunkFile(engine.paths, handle, index)
    const ended = (end: FileEnd, extents: LogFile["extents"]) => written.push(logFileOf(index, end, extents))
    return packing === undefined
      ? toDisk(files, path, async (end) => void ended(end, undefined))
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
