import { beforeAll } from "../../shapes/LogOffset.ts"
import { FileIntegrity } from "../disk/FileIntegrity.ts"
import { logChunkFile } from "../disk/StorageDir.ts"
import { wholeFile } from "../logs/FilePieces.ts"
import type { Packing } from "../packs/FileGrowth.ts"
import { PackWriter } from "../packs/PackWriter.ts"
import { isMadeByCompaction, logBegins, storedOffset } from "../records/Compaction.ts"
import type { Compaction } from "../records/CompactionState.ts"
import { type LogFile, logFileEnd } from "../records/Records.ts"
import type { Writing } from "../roles/Writing.ts"
import type { ShapeLogs } from "../ShapeLogs.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import type { StorageEngine } from "../StorageEngine.ts"
import { DiskSpill } from "./DiskSpill.ts"
import type { FoldAside } from "./FoldAside.ts"
import { type FoldJob, FoldWork, type RunningFold } from "./FoldWork.ts"
import type { RestingWork } from "./RestingWork.ts"
import { withBase } from "./Policy.ts"
import { readBytes } from "./ReadWholeLog.ts"
import { bytesBehind, firstRowsBytes } from "./ShapeLook.ts"
import { type ShapeFiles, writeBase, writeFolded } from "./WriteShapeFiles.ts"

export interface CompactionWork {
  readonly engine: StorageEngine
  /** In whose epoch files are made. */
  readonly writing: Writing
  readonly logs: Pick<ShapeLogs["Service"], "read">
  readonly pace: RestingWork
  /** Characters of messages in memory, about. */
  readonly budget: number
  /** Absent: logs are folded here. */
  readonly aside: FoldAside | undefined
}

/** Folded without a rest: here a fraction of a millisecond, and in a thread what outweighs being asked for it. */
const hereCharacters = 32 * 1024
const asideCharacters = 1 << 20

/** The folded files are read and written again only for so much more: so a byte is not written for ever. */
const growthPerFold = 0.5
const mostLists = 1024

/** The files of one shape's log made smaller, and its rows as of the end of its log: files that nobody is told of here. */
export class CompactShape {
  private readonly work: CompactionWork
  private readonly shape: ShapeState
  private readonly packs: Array<string> = []

  constructor(work: CompactionWork, shape: ShapeState) {
    this.work = work
    this.shape = shape
  }

  private get files(): ShapeFiles {
    const { engine, pace, writing } = this.work
    return {
      engine,
      handle: this.shape.handle,
      numbers: writing.fileNumbers,
      packing: this.packing,
      pause: pace.rest
    }
  }

  private get packing(): Packing | undefined {
    const { engine, writing } = this.work
    const { bucket } = engine.options
    if (bucket === undefined) return undefined
    const asking = { store: bucket, timers: engine.timers, isOver: () => engine.writing !== writing }
    const names = { next: () => this.named(writing.packNames.next()) }
    return { disk: engine.paths.disk, store: bucket, packs: new PackWriter(asking, names) }
  }

  private named(pack: string): string {
    this.packs.push(pack)
    this.work.writing.packsInTheMaking.add(pack)
    return pack
  }

  /** The journal speaks of what was made, or nobody will. */
  end(): void {
    for (const pack of this.packs.splice(0)) this.work.writing.packsInTheMaking.delete(pack)
  }

  private async folding<A>(
    makes: FoldJob["makes"],
    inputBytes: number,
    run: (fold: RunningFold) => Promise<A>
  ): Promise<A> {
    const { aside, budget, engine, pace, writing } = this.work
    const name = `compaction-${writing.fileNumbers.take() ?? 0}`
    const spill = new DiskSpill(engine.paths.disk, engine.paths.root, name)
    const lists = Math.min(mostLists, 2 + Math.ceil((2 * inputBytes) / budget))
    const job = { makes, fileBytes: engine.options.chunkBytesThreshold, budget, lists }
    const { rest } = pace
    const there = { ...job, charactersPerPause: asideCharacters }
    const inThread = await aside?.begin(there, inputBytes, spill, rest)
    try {
      return await run(inThread ?? new FoldWork({ ...job, charactersPerPause: hereCharacters }, spill, rest))
    } finally {
      if (inThread !== undefined) aside?.finish(inThread)
      await spill.clear().catch(() => {})
    }
  }

  /**
   * Folds the log files that do not grow any more, but the last: moves go on from that. `undefined` where there is too little that is
   * not folded yet.
   */
  async fold(
    leastBytes: number
  ): Promise<{ readonly compaction: Compaction; readonly files: ReadonlyArray<LogFile> } | undefined> {
    const { shape } = this
    const inputs = closedBefore(shape.files)
    const last = inputs.at(-1)
    let plainBytes = 0
    let foldedBytes = 0
    for (const { bytes, index } of inputs)
      if (isMadeByCompaction(index)) foldedBytes += bytes
      else plainBytes += bytes
    if (last === undefined || plainBytes < Math.max(leastBytes, growthPerFold * foldedBytes)) return undefined
    const begins = logBegins(shape.compaction)
    const files = await this.folding({ logBehind: begins }, plainBytes + foldedBytes, async (fold) => {
      for (const file of inputs) await this.addFile(fold, file)
      return writeFolded(this.files, fold.outputs())
    })
    const none: Compaction = { bases: [], hasFirstRows: true, marks: [] }
    return { compaction: { ...(shape.compaction ?? none), folded: storedOffset(logFileEnd(last)) }, files }
  }

  private async addFile(fold: RunningFold, file: LogFile): Promise<void> {
    const { engine, pace } = this.work
    const integrity = new FileIntegrity(engine.paths.disk, engine.files)
    const path = logChunkFile(engine.paths, this.shape.handle, file.index)
    for await (const piece of wholeFile(integrity, path, file, undefined)) {
      await fold.add(piece)
      await pace.rest()
    }
  }

  /** Makes a base of the rows as they are at the end of the log. */
  async base(): Promise<Compaction> {
    const { shape } = this
    const { engine, logs, pace } = this.work
    const bytes = firstRowsBytes(shape) + bytesBehind(shape, beforeAll)
    return this.folding("rows", bytes, async (fold) => {
      const at = await readBytes(logs, shape, beforeAll, shape.end, async (piece) => {
        await fold.add(piece)
        await pace.rest()
      })
      const base = await writeBase(this.files, fold.outputs(), at, engine.timers.epochMillis())
      return withBase(shape.compaction, base)
    })
  }
}

/** Files at the beginning of a log that do not grow any more, without the last file of all. */
const closedBefore = (files: ReadonlyArray<LogFile>): ReadonlyArray<LogFile> => {
  const before = files.slice(0, -1)
  const open = before.findIndex(({ closed }) => !closed)
  return open < 0 ? before : before.slice(0, open)
}
