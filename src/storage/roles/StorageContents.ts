import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { EngineOptions } from "../EngineOptions.ts"
import { JournalReader } from "../journal/JournalReader.ts"
import { RecentBytes } from "../journal/RecentBytes.ts"
import { type LoadedStorage, loadStorage, noteEnd, type SegmentEnds } from "../LoadStorage.ts"
import { ownLevels } from "../levels/Levels.ts"
import type { JournalEnd } from "../records/Records.ts"
import { SegmentFiles } from "../segments/SegmentFiles.ts"
import { SegmentProofs } from "../segments/SegmentProofs.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { ShapeStore } from "../state/ShapeStore.ts"
import type { Waiters } from "../state/Waiters.ts"

interface ContentsOptions {
  readonly options: EngineOptions
  readonly timers: Timers
  readonly waiters: Waiters
  readonly warn: (message: string, code: FaultCode) => void
  readonly onDropped: (shape: ShapeState, reason: string) => void
  readonly onDisorder: (shape: ShapeState) => void
}

/**
 * What an instance knows of a storage directory. It passes from role to role: a follower fills it from the journal, the
 * writer goes on with it, and so does the follower after that. Loading storage anew replaces all of it at once.
 */
export class StorageContents {
  store: ShapeStore
  recent: RecentBytes
  segments: SegmentFiles
  segmentEnds: SegmentEnds = new Map()
  /** The first segment that was read when storage was loaded. */
  firstSegment = 1
  /** The highest epoch that was read or written here: a storage that is begun anew goes on behind it. */
  highestEpoch = 0
  /** What reads the journal while storage is being loaded. */
  loading: JournalReader | undefined
  private withoutCheckpoint = true
  /** Where storage was loaded anew last because the next segment was gone. */
  private goneAt: Pick<JournalEnd, "epoch" | "segment"> | undefined
  private readonly proofs: SegmentProofs
  private readonly paths: StoragePaths
  private readonly made: ContentsOptions

  constructor(made: ContentsOptions) {
    this.made = made
    this.paths = made.options.paths
    this.proofs = new SegmentProofs(this.paths)
    this.store = this.freshStore()
    this.recent = new RecentBytes(made.options.recentBytes)
    this.segments = new SegmentFiles(this.paths, this.proofs)
  }

  private freshStore(): ShapeStore {
    const { onDisorder, onDropped, options, waiters } = this.made
    return new ShapeStore({
      waiters,
      chunkBytesThreshold: options.chunkBytesThreshold,
      newestLevel: (options.levels ?? ownLevels).newest,
      onDropped,
      onDisorder
    })
  }

  /** Reads what the directory holds now, see `loadStorage`. Nothing is known of it here before `adopt`. */
  read(): Promise<LoadedStorage> {
    const { options, timers, warn } = this.made
    return loadStorage({
      paths: this.paths,
      proofs: this.proofs,
      timers,
      recentBytes: options.recentBytes,
      chunkBytesThreshold: options.chunkBytesThreshold,
      freshStore: () => this.freshStore(),
      mayBePassed: this.mayBePassed,
      warn,
      run: options.run,
      onReader: (reader) => (this.loading = reader)
    }).finally(() => (this.loading = undefined))
  }

  /** Loading anew leads behind what was moved and removed; what is lost, and not in the checkpoint either, it meets again. */
  private readonly mayBePassed = (epoch: number, segment: number): boolean => {
    const before = this.goneAt
    this.goneAt = { epoch, segment }
    return before?.epoch !== epoch || before.segment !== segment
  }

  /** What was read takes the place of what was known, whose files are returned to be closed. Everybody looks again. */
  adopt(loaded: LoadedStorage): SegmentFiles {
    const { segments, store: before } = this
    this.store = loaded.store
    this.recent = loaded.recent
    this.segments = loaded.segments
    this.segmentEnds = loaded.segmentEnds
    this.firstSegment = loaded.firstSegment
    this.withoutCheckpoint = loaded.withoutCheckpoint
    for (const shape of before.all()) if (loaded.store.get(shape.id) === undefined) shape.dropped = "gone"
    this.made.waiters.wakeAll()
    return segments
  }

  /** Reads the journal on from where this process has stopped writing it. */
  readerFrom(end: JournalEnd): JournalReader {
    return new JournalReader({
      paths: this.paths,
      store: this.store,
      recent: this.recent,
      from: end,
      nowMillis: this.made.timers.nowMillis,
      mayBePassed: this.mayBePassed,
      onDamage: (message) => this.made.warn(message, "BATON-STORAGE-DAMAGED"),
      onSegment: (epoch, segment) => {
        this.noteSegmentEnd(segment - 1)
        this.segments.readingFrom(epoch, segment)
      }
    })
  }

  /** What came before the first segment stands in a checkpoint that is gone. */
  get lacksCheckpoint(): boolean {
    return this.withoutCheckpoint && this.firstSegment > 1
  }

  /** The first segment whose entries have not been moved to log files, by this instance or by one it followed. */
  get oldestSegment(): number {
    return Math.max(this.firstSegment, this.store.movedSegment + 1)
  }

  /** Only the first time: a follower that begins in the middle of the next segment has read more. */
  noteSegmentEnd(segment: number): void {
    if (this.segmentEnds.has(segment)) return
    noteEnd(this.segmentEnds, segment, this.store)
  }

  async close(): Promise<void> {
    await this.proofs.close()
    await this.segments.close()
  }
}
