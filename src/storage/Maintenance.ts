import { rm } from "node:fs/promises"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { removeEpochsBefore } from "./Epochs.ts"
import { moveSegment } from "./LogFileWriter.ts"
import {
  type CheckpointError,
  type CheckpointHead,
  type CheckpointWriter,
  type MetaOptions,
  openCheckpointWriter
} from "./ShapeMeta.ts"
import { listDirectory, shapeDir } from "./StorageDir.ts"
import type { StorageEngine } from "./StorageEngine.ts"

export interface MaintenanceOptions {
  /** Finished segments that may stay before their entries are moved to log files. */
  readonly retainedSegments: number
  /** Entries that may stand in the journal, over all shapes: bounds the memory for their positions. */
  readonly retainedEntries: number
  readonly meta: MetaOptions
  /** How long files that nobody needs any more are left to readers that are in the middle of them. */
  readonly removalDelayMillis: number
}

/**
 * Housekeeping of the writing instance: moves what has become old from the journal to the shapes' log files, writes
 * checkpoints, removes segments and the files of dropped shapes. Every destructive step comes after the record that
 * justifies it is durable and our epoch was still the newest; a fenced-off instance stops here.
 */
export class Maintenance {
  private readonly engine: StorageEngine
  private readonly options: MaintenanceOptions
  private checkpoint: CheckpointWriter | undefined
  private doomed: Array<{ readonly segment: number; readonly atMillis: number }> = []
  private collected = false
  private readonly startedAtMillis: number

  constructor(engine: StorageEngine, options: MaintenanceOptions) {
    this.engine = engine
    this.options = options
    this.startedAtMillis = engine.timers.nowMillis()
  }

  /** One round. Call again after a segment has been finished, and every few seconds. */
  round(): Effect.Effect<void, CheckpointError, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      while (this.isDue()) {
        if (!(yield* this.moveOldest())) break
      }
      yield* Effect.promise(() => this.removeDoomed())
      yield* Effect.promise(() => this.removeDropped())
      if (
        !this.collected &&
        this.engine.timers.nowMillis() - this.startedAtMillis > this.options.removalDelayMillis
      ) {
        this.collected = true
        yield* Effect.promise(() => this.collectOrphans())
      }
    })
  }

  private isDue(): boolean {
    const writer = this.engine.writer
    if (writer === undefined) return false
    if (this.engine.firstSegment >= writer.segment) return false
    if (writer.segment - this.engine.firstSegment > this.options.retainedSegments) return true
    let entries = 0
    for (const count of this.engine.store.entriesBySegment.values()) entries += count
    return entries > this.options.retainedEntries
  }

  private async fenced(): Promise<boolean> {
    return this.engine.isFenced()
  }

  /** Moves the oldest segment. False when that has to wait. */
  private moveOldest(): Effect.Effect<boolean, CheckpointError, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const engine = this.engine
      const segment = engine.firstSegment
      const epoch = engine.segments.epochOf(segment)
      const ends = engine.segmentEnds.get(segment)
      const writer = engine.writer
      if (epoch === undefined || ends === undefined || writer === undefined) return false
      for (const shape of engine.store.all()) {
        // Which of its entries count is not known yet.
        if (shape.undecided !== undefined && (shape.tail?.segment(0) ?? Infinity) <= segment) return false
      }
      if (!(yield* Effect.promise(() => engine.settled()))) return false
      const shapes = yield* Effect.tryPromise({
        try: () =>
          moveSegment({
            paths: engine.paths,
            epoch,
            segment,
            segments: engine.segments,
            shapes: engine.store.all(),
            durableWrites: engine.options.durableWrites
          }),
        catch: (cause) => cause
      }).pipe(
        Effect.catch((cause) =>
          Effect.as(
            Effect.logWarning(
              `Cannot move journal segment ${segment} to log files: ${String(cause)}. Tried again later.`
            ),
            undefined
          )
        )
      )
      if (shapes === undefined || engine.writer !== writer) return false
      engine.write({ t: "moved", segment, shapes })
      if (!(yield* Effect.promise(() => engine.settled()))) return false
      engine.firstSegment = segment + 1
      yield* this.writeCheckpoint({
        epoch: engine.segments.epochOf(segment + 1) ?? writer.epoch,
        segment: segment + 1,
        nextId: engine.store.nextId,
        lastCommitLsn: String(ends.lastCommitLsn),
        positionLsn: String(ends.positionLsn),
        source: engine.store.source ?? null
      })
      this.doomed.push({
        segment,
        atMillis: this.engine.timers.nowMillis() + this.options.removalDelayMillis
      })
      return true
    })
  }

  /** Writes a checkpoint for the present first segment, so that the next start is fast. */
  writeCheckpointNow(): Effect.Effect<void, CheckpointError, Scope.Scope> {
    return Effect.suspend(() => {
      const engine = this.engine
      const writer = engine.writer
      if (writer === undefined) return Effect.void
      const segment = engine.firstSegment
      const ends = engine.segmentEnds.get(segment - 1)
      const epoch = engine.segments.epochOf(segment)
      if (ends === undefined || epoch === undefined) return Effect.void
      return this.writeCheckpoint({
        epoch,
        segment,
        nextId: engine.store.nextId,
        lastCommitLsn: String(ends.lastCommitLsn),
        positionLsn: String(ends.positionLsn),
        source: engine.store.source ?? null
      })
    })
  }

  private writeCheckpoint(head: CheckpointHead): Effect.Effect<void, CheckpointError, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const epoch = this.engine.writer?.epoch
      if (epoch === undefined) return
      this.checkpoint ??= yield* openCheckpointWriter(this.engine.paths, epoch, this.options.meta)
      yield* this.checkpoint.write(this.engine.store, head)
      yield* Effect.promise(() => removeEpochsBefore(this.engine.paths, head.epoch))
    })
  }

  private async removeDoomed(): Promise<void> {
    const due = this.doomed.filter((d) => d.atMillis <= this.engine.timers.nowMillis())
    if (due.length === 0 || (await this.fenced())) return
    this.doomed = this.doomed.filter((d) => d.atMillis > this.engine.timers.nowMillis())
    for (const { segment } of due) {
      await this.engine.segments.remove(segment)
      this.engine.segmentEnds.delete(segment - 1)
    }
  }

  private async removeDropped(): Promise<void> {
    const { store, paths } = this.engine
    if (store.removed.length === 0) return
    const dropped = store.removed.splice(0)
    if (!(await this.engine.settled())) return
    for (const shape of dropped) await rm(shapeDir(paths, shape.handle), { recursive: true, force: true })
  }

  /** Files of shapes that no record speaks of: left over from a crash. */
  private async collectOrphans(): Promise<void> {
    const { store, paths } = this.engine
    const found = await listDirectory(paths.shapes)
    if (!(await this.engine.settled())) return
    for (const name of found) {
      if (store.byHandle(name) === undefined)
        await rm(join(paths.shapes, name), { recursive: true, force: true })
    }
  }
}
