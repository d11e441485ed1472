import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { removeEpochsBefore } from "./journal/Epochs.ts"
import type { JournalWriter } from "./journal/JournalWriter.ts"
import { moveSegments } from "./logs/LogFileWriter.ts"
import { OldLogIndexes } from "./logs/OldLogIndexes.ts"
import type { CheckpointError, CheckpointHead, MetaOptions } from "./checkpoint/CheckpointFile.ts"
import { type CheckpointWriter, openCheckpointWriter } from "./checkpoint/CheckpointWriter.ts"
import { BucketCollector } from "./packs/BucketCollector.ts"
import { PackWriter } from "./packs/PackWriter.ts"
import { SegmentIndexer } from "./SegmentIndexer.ts"
import { type StorageFault, fromDisk } from "./disk/DiskFault.ts"
import { parseSegmentFile, shapeDir } from "./disk/StorageDir.ts"
import { encodeSource } from "./records/StoredSource.ts"
import type { StorageEngine } from "./StorageEngine.ts"

/**
 * A backlog of small segments is moved together, up to so many and so large: what a move costs depends on the number of
 * shapes, whose files are made durable each time, more than on the number of bytes.
 */
const segmentsPerMove = 64
const bytesPerMove = 48 << 20

interface MaintenanceOptions {
  /** Finished segments that may stay before their entries are moved to log files. */
  readonly retainedSegments: number
  /** Entries that may stand in the journal, over all shapes: bounds the memory for their positions. */
  readonly retainedEntries: number
  readonly meta: MetaOptions
  /** How long files that nobody needs any more are left to readers that are in the middle of them. */
  readonly removalDelayMillis: number
  /** Segments, and what is added to one, get an index from this size on. */
  readonly indexStepBytes?: number
}

/**
 * Housekeeping of the writing instance: moves what has become old from the journal to the shapes' log files, writes
 * checkpoints, removes segments, the files of dropped shapes and what a lower level of storage has left. Every destructive step comes after the record that
 * justifies it is durable and our epoch was still the newest; a fenced-off instance stops here.
 */
export class Maintenance {
  private readonly engine: StorageEngine
  private readonly options: MaintenanceOptions
  private checkpoint: CheckpointWriter | undefined
  private readonly doomed = new Map<
    string,
    { readonly epoch: number; readonly segment: number; readonly atMillis: number }
  >()
  private readonly indexer: SegmentIndexer
  private readonly oldLogIndexes: OldLogIndexes
  private readonly collector: BucketCollector | undefined
  private collected = false
  private readonly startedAtMillis: number

  constructor(engine: StorageEngine, options: MaintenanceOptions) {
    this.engine = engine
    this.options = options
    this.indexer = new SegmentIndexer(engine, options.indexStepBytes)
    this.oldLogIndexes = new OldLogIndexes(engine, options.removalDelayMillis)
    this.startedAtMillis = engine.timers.nowMillis()
    const { bucket, chain } = engine.options
    if (bucket !== undefined && chain !== undefined)
      this.collector = new BucketCollector({
        store: bucket,
        chain,
        timers: engine.timers,
        epoch: engine.writer?.epoch ?? 0,
        shapes: () => engine.store,
        inTheMaking: () => engine.writing?.packsInTheMaking ?? [],
        settled: () => engine.settled()
      })
  }

  /** A checkpoint has got into the bucket: what it makes superfluous there is collected in the next round. */
  checkpointKept(): void {
    this.collector?.hurry()
  }

  /** One round. Call again after a segment has been finished, and every few seconds. */
  round(): Effect.Effect<void, CheckpointError | StorageFault, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      yield* this.writeIndexes()
      while (this.isDue()) {
        const head = yield* this.moveOldest()
        if (head === undefined || !(yield* this.writeCheckpoint(head))) break
        yield* this.writeIndexes()
      }
      yield* fromDisk(() => this.removeDoomed())
      yield* fromDisk(() => this.removeDropped())
      yield* fromDisk(() => this.oldLogIndexes.removeSome())
      yield* fromDisk(async () => this.collector?.round())
      if (
        !this.collected &&
        this.engine.timers.nowMillis() - this.startedAtMillis > this.options.removalDelayMillis
      ) {
        yield* fromDisk(() => this.collectOrphans())
        this.collected = true
      }
      if (yield* fromDisk(() => this.engine.keepCheckpoint())) this.checkpointKept()
    })
  }

  private writeIndexes(): Effect.Effect<void> {
    return Effect.tryPromise({ try: () => this.indexer.round(), catch: (cause) => cause }).pipe(
      Effect.catch((cause) =>
        reportFault(
          "BATON-STORAGE-HOUSEKEEPING",
          `Cannot write the index of a journal segment: ${String(cause)}. Tried again later; without it a start takes longer, and nothing else.`
        )
      )
    )
  }

  private isDue(): boolean {
    const { oldestSegment, store, writer } = this.engine
    if (writer === undefined) return false
    if (oldestSegment >= writer.segment) return false
    if (writer.segment - oldestSegment > this.options.retainedSegments) return true
    let entries = 0
    for (const count of store.entriesBySegment.values()) entries += count
    return entries > this.options.retainedEntries
  }

  /** The last of the segments to move together, beginning with the oldest. */
  private async lastToMove(writer: JournalWriter): Promise<number> {
    const { oldestSegment, segments, segmentEnds } = this.engine
    const end = Math.min(oldestSegment + segmentsPerMove, writer.segment - this.options.retainedSegments)
    let last = oldestSegment
    let bytes = await segments.sizeOf(last)
    while (last + 1 < end && segmentEnds.has(last + 1)) {
      bytes += await segments.sizeOf(last + 1)
      if (bytes > bytesPerMove) break
      last++
    }
    return last
  }

  /** Moves the oldest segments. Returns what the next checkpoint begins with; `undefined` when moving has to wait. */
  private moveOldest(): Effect.Effect<CheckpointHead | undefined, StorageFault> {
    return Effect.gen({ self: this }, function* () {
      const engine = this.engine
      const first = engine.oldestSegment
      const writer = engine.writer
      if (engine.segments.epochOf(first) === undefined || writer === undefined) return undefined
      const segment = yield* fromDisk(() => this.lastToMove(writer))
      const ends = engine.segmentEnds.get(segment)
      if (ends === undefined) return undefined
      for (const shape of engine.store.all()) {
        // Which of its entries count is not known yet.
        if (shape.undecided !== undefined && (shape.tail?.segment(0) ?? Infinity) <= segment) return undefined
      }
      if (!(yield* fromDisk(() => engine.settled()))) return undefined
      const shapes = yield* Effect.tryPromise({
        try: () =>
          moveSegments({
            paths: engine.paths,
            first,
            last: segment,
            segments: engine.segments,
            shapes: engine.store.all(),
            durableWrites: engine.options.durableWrites,
            level: engine.store.level,
            ...this.packing(writer)
          }),
        catch: (cause) => cause
      }).pipe(
        Effect.catch((cause) =>
          Effect.as(
            reportFault(
              "BATON-STORAGE-HOUSEKEEPING",
              `Cannot move the journal's segments ${first} to ${segment} to log files: ${String(cause)}. Tried again later.`
            ),
            undefined
          )
        )
      )
      if (shapes === undefined || engine.writer !== writer) return undefined
      engine.writing?.write({ t: "moved", segment, shapes })
      if (!(yield* fromDisk(() => engine.settled()))) return undefined
      this.collector?.repacked()
      const lost = engine.store.lostHistory.stored()
      return {
        epoch: engine.segments.epochOf(segment + 1) ?? writer.epoch,
        segment: segment + 1,
        nextId: engine.store.nextId,
        lastCommitLsn: String(ends.lastCommitLsn),
        positionLsn: String(ends.positionLsn),
        ...(ends.behindLsn === undefined ? {} : { behindLsn: String(ends.behindLsn) }),
        ...(ends.lateIds.length === 0 ? {} : { lateIds: ends.lateIds }),
        source: engine.store.source === undefined ? null : encodeSource(engine.store.source),
        ...(lost.length === 0 ? {} : { lost }),
        level: engine.store.level
      }
    })
  }

  /** Where files of shapes go to beside this disk. */
  private packing(
    writer: JournalWriter
  ): Pick<Parameters<typeof moveSegments>[0], "packing" | "sparsePacks"> {
    const { options, paths, timers, writing } = this.engine
    if (options.bucket === undefined || writing === undefined) return {}
    const asking = { store: options.bucket, timers, isOver: () => this.engine.writer !== writer }
    const packs = new PackWriter(asking, writing.packNames)
    const packing = { disk: paths.disk, store: options.bucket, packs }
    const sparsePacks = this.collector?.sparse
    return sparsePacks === undefined ? { packing } : { packing, sparsePacks }
  }

  /** False when another instance has taken over meanwhile: then it is not written. */
  private writeCheckpoint(
    head: CheckpointHead
  ): Effect.Effect<boolean, CheckpointError | StorageFault, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { engine } = this
      const epoch = engine.writer?.epoch
      if (epoch === undefined) return false
      this.checkpoint ??= yield* openCheckpointWriter(engine.paths, epoch, this.options.meta)
      if (!(yield* this.checkpoint.write(engine.store, head, () => engine.settled()))) return false
      yield* fromDisk(() => removeEpochsBefore(engine.paths, head.epoch))
      yield* fromDisk(() => this.doomSegments(head.segment))
      return true
    })
  }

  /**
   * Files of the journal that nobody reads from now on: those before `first`, where a new instance begins, whichever writer has
   * left them behind, and those that stand outside of what counts, because their writer was fenced off.
   */
  private async doomSegments(first: number): Promise<void> {
    const { paths, segments, timers, writer } = this.engine
    if (writer === undefined) return
    const atMillis = timers.nowMillis() + this.options.removalDelayMillis
    for (const name of await paths.disk.list(paths.journal)) {
      const file = parseSegmentFile(name)
      if (file === undefined || file.epoch > writer.epoch || this.doomed.has(name)) continue
      if (file.segment < first || segments.epochOf(file.segment) !== file.epoch)
        this.doomed.set(name, { ...file, atMillis })
    }
  }

  private async removeDoomed(): Promise<void> {
    const { paths, segments, segmentEnds, timers } = this.engine
    const due = [...this.doomed].filter(([, { atMillis }]) => atMillis <= timers.nowMillis())
    if (due.length === 0 || (await this.engine.isFenced())) return
    for (const [name, { epoch, segment }] of due) {
      this.doomed.delete(name)
      if (segments.epochOf(segment) === epoch) {
        await segments.forget(segment)
        segmentEnds.delete(segment - 1)
      }
      await paths.disk.remove(join(paths.journal, name))
    }
  }

  private async removeDropped(): Promise<void> {
    const { store, paths } = this.engine
    if (store.removed.length === 0) return
    const dropped = store.removed.splice(0)
    try {
      if (!(await this.engine.settled())) return
      for (const { handle } of dropped) {
        await paths.disk.removeTree(shapeDir(paths, handle))
        this.collector?.noteDropped(handle)
      }
    } catch (error) {
      // The next round tries again.
      store.removed.push(...dropped)
      throw error
    }
  }

  /** Files of shapes that no record speaks of, and files of which the writing was not finished: left over from a crash. */
  private async collectOrphans(): Promise<void> {
    const { store, paths, timers } = this.engine
    const found = await paths.disk.list(paths.shapes)
    const unfinished = (await paths.disk.list(paths.root)).filter((name) => name.endsWith(".tmp"))
    if (!(await this.engine.settled())) return
    for (const name of unfinished) {
      const path = join(paths.root, name)
      const mtimeMs = (await paths.disk.stat(path))?.mtimeMs ?? Infinity
      if (mtimeMs < timers.epochMillis() - this.options.removalDelayMillis) await paths.disk.remove(path)
    }
    for (const name of found) {
      if (store.byHandle(name) === undefined) await paths.disk.removeTree(join(paths.shapes, name))
    }
  }
}
