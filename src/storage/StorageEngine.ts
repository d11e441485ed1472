import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { systemTimers, type Timers } from "../shared/Timers.ts"
import { Steps } from "../telemetry/Steps.ts"
import { noCompactions } from "./compaction/CompactionCounts.ts"
import { noPressure } from "./compaction/StoragePressure.ts"
import { Complaints } from "./Complaints.ts"
import { discardDisordered } from "./DiscardShape.ts"
import { isGone } from "./disk/DiskFault.ts"
import { createLayout, type StoragePaths } from "./disk/StorageDir.ts"
import type { Durability } from "./durability/Durability.ts"
import { sharedDirectory } from "./durability/SharedDirectory.ts"
import { EngineListeners } from "./EngineListeners.ts"
import type { EngineOptions, TakenOver } from "./EngineOptions.ts"
import type { EpochRecord } from "./journal/Epochs.ts"
import type { JournalWriter } from "./journal/JournalWriter.ts"
import type { SegmentEnds } from "./LoadStorage.ts"
import type { JournalEnd } from "./records/Records.ts"
import { ChunkUploads } from "./packs/ChunkUploads.ts"
import { FileCache } from "./packs/FileCache.ts"
import { FileFetcher } from "./packs/FileFetcher.ts"
import { Askers } from "./roles/Askers.ts"
import { roleAfter, type RoleEvent, type RoleName, type RolesBefore } from "./roles/EngineRole.ts"
import { Following } from "./roles/Following.ts"
import { JournalReading } from "./roles/JournalReading.ts"
import { Leaving } from "./roles/Leaving.ts"
import { Opened } from "./roles/Opened.ts"
import type { Certainty } from "./roles/ReadEverything.ts"
import type { RoleContext } from "./roles/RoleContext.ts"
import { StorageContents } from "./roles/StorageContents.ts"
import { TakingOver } from "./roles/TakingOver.ts"
import { Writing } from "./roles/Writing.ts"
import type { SegmentFiles } from "./segments/SegmentFiles.ts"
import type { ShapeState } from "./state/ShapeState.ts"
import type { ShapeStore } from "./state/ShapeStore.ts"
import type { BucketStatus } from "./BucketStatus.ts"
import { Waiters } from "./state/Waiters.ts"
import * as timings from "./StorageTimings.ts"

type Role = Opened | Following | TakingOver | Writing | Leaving | { readonly _tag: "closed" }

const closed: Role = { _tag: "closed" }

const always = () => Promise.resolve(true)
const nobodyKnows = () => Promise.resolve(undefined)

/**
 * The shapes of a storage directory, kept up to date by reading its journal or by writing it. What the engine can do
 * besides belongs to its role of the moment (`roles/EngineRole.ts` has which follows on which); readers of shapes notice
 * no difference.
 */
export class StorageEngine {
  readonly paths: StoragePaths
  readonly timers: Timers
  readonly waiters: Waiters
  readonly options: EngineOptions
  readonly complaints: Complaints
  readonly listeners = new EngineListeners()
  readonly compactions = noCompactions()
  readonly pressure = noPressure()
  /** Where storage stands in a bucket that this process may write. */
  get bucketStatus(): BucketStatus | undefined {
    return this.options.bucketStatus
  }
  /** How often a follower looks for new records while somebody waits for them. */
  eagerPollMillis = timings.eagerPollMillis
  /** LSN up to which the stream has been processed by this process, shapes or no shapes. */
  processedLsn = 0n
  /**
   * Up to here the writer before may have told its clients of changes that storage does not have, which the stream brings once
   * more. `undefined`: this process does not write, or does not know yet.
   */
  toldLsn: bigint | undefined
  private readonly durability: Durability
  /** Where the files of shapes come from that are not here; absent where the directory is all there is. */
  readonly files: FileFetcher | undefined
  /** Absent, too, where another process looks after the copies. */
  readonly cache: FileCache | undefined
  private readonly uploads: ChunkUploads | undefined
  private readonly contents: StorageContents
  private readonly context: RoleContext
  private role: Role

  constructor(options: EngineOptions) {
    this.options = options
    this.timers = options.timers ?? systemTimers
    this.waiters = new Waiters(this.timers)
    this.paths = options.paths
    this.durability = options.durability ?? sharedDirectory(options.paths, options.durableWrites)
    this.complaints = new Complaints(this.timers, this.warn)
    this.contents = new StorageContents({
      options,
      timers: this.timers,
      waiters: this.waiters,
      warn: this.warn,
      onDropped: (shape, reason) => this.listeners.dropped.tell(shape, reason),
      onDisorder: (shape) => discardDisordered(this, shape)
    })
    const { bucket, cacheBytes } = options
    const shapeOf = (handle: string) => this.store.byHandle(handle)
    if (cacheBytes !== undefined)
      this.cache = new FileCache({
        paths: this.paths,
        timers: this.timers,
        bytes: cacheBytes,
        shapeOf,
        isLoaded: () => this.role._tag !== "opened" && this.role._tag !== "closed"
      })
    if (bucket !== undefined) {
      const asking = { store: bucket, timers: this.timers, isOver: () => this.writer === undefined }
      this.uploads = new ChunkUploads(asking, this.paths)
      this.files = new FileFetcher({
        store: bucket,
        paths: this.paths,
        timers: this.timers,
        shapeOf,
        onUsed: (path, bytes) => this.cache?.used(path, bytes),
        onTrouble: (topic, message) => this.complaints.about(topic, message)
      })
    }
    this.context = {
      paths: this.paths,
      options,
      durability: this.durability,
      timers: this.timers,
      waiters: this.waiters,
      listeners: this.listeners,
      complaints: this.complaints,
      contents: this.contents,
      warn: this.warn,
      eagerPollMillis: () => this.eagerPollMillis
    }
    this.role = new Opened(new JournalReading(this.contents, undefined))
  }

  private readonly warn = (message: string, code: FaultCode, times?: number): void =>
    this.options.run(reportFault(code, times === undefined ? { message } : { message, times }))

  get store(): ShapeStore {
    return this.contents.store
  }
  get segments(): SegmentFiles {
    return this.contents.segments
  }
  get segmentEnds(): SegmentEnds {
    return this.contents.segmentEnds
  }
  /** The first segment whose entries have not been moved to log files, by this instance or by one it followed. */
  get oldestSegment(): number {
    return this.contents.oldestSegment
  }

  /** What only the writer of the journal can do; `undefined` in every other role. */
  get writing(): Writing | undefined {
    return this.role._tag === "writing" ? this.role : undefined
  }
  get writer(): JournalWriter | undefined {
    return this.writing?.writer
  }
  /** The same while the last of what it has composed is being made durable, too. */
  get lastWriter(): JournalWriter | undefined {
    const { role } = this
    return role._tag === "writing" || role._tag === "leaving" ? role.writer : undefined
  }

  /** Whether nobody can have told a client of more than what is known here: it writes, and has everything up to `toldLsn`. */
  get knowsAllTold(): boolean {
    const { lastWriter, processedLsn, store, toldLsn } = this
    if (lastWriter === undefined || toldLsn === undefined) return false
    const { behindLsn, positionLsn } = store
    const lsn = processedLsn > positionLsn ? processedLsn : positionLsn
    return lsn >= toldLsn && (behindLsn === undefined || behindLsn >= toldLsn)
  }

  /** The epoch that is written or read, and where that has got to; zeros before there is any. */
  get at(): JournalEnd {
    const { role } = this
    switch (role._tag) {
      case "opened":
      case "following":
      case "takingOver":
        return role.reading.end
      case "writing":
      case "leaving":
        return { epoch: role.writer.epoch, segment: role.writer.segment, position: role.writer.position }
      case "closed":
        return { epoch: 0, segment: 0, position: 0 }
    }
  }

  /** As `at`; while storage is being loaded, how far that has got. */
  get readingAt(): JournalEnd {
    return this.contents.loading?.end ?? this.at
  }

  /** The present role, if the event leads from it to `to`; `undefined` if it changes nothing. */
  private from<Event extends RoleEvent, To extends RoleName>(
    event: Event,
    to: To
  ): Extract<Role, { readonly _tag: RolesBefore<Event, To> }> | undefined {
    const { role } = this
    const next = roleAfter(role._tag, event)
    if (next === null)
      throw new Error(`A storage engine that is ${role._tag} cannot ${event}. This is a bug.`)
    if (next !== to || role._tag === to) return undefined
    // The table is the proof: these are the roles from which it leads there.
    return role as Extract<Role, { readonly _tag: RolesBefore<Event, To> }>
  }

  /** Reads what storage holds, see `loadStorage`. Before `follow` and `takeOver`, which do it by themselves after that. */
  async load(): Promise<void> {
    if (this.role._tag === "opened") await this.role.reading.load()
  }

  /** Completes when every index that counts has proved right. Other roles than `opened` see to it by themselves. */
  async proved(): Promise<void> {
    if (this.role._tag === "opened") await this.role.proved()
  }

  /** Keeps reading what the active instance writes, until it is this one. */
  follow(): void {
    const from = this.from("follow", "following")
    if (from?._tag === "opened") this.beginFollowing(from.reading, new Askers())
  }

  private beginFollowing(reading: JournalReading, askers: Askers): void {
    const following = new Following(this.context, reading, askers)
    this.role = following
    following.begin()
  }

  /** Somebody needs what the journal holds now: look at once. */
  lookNow(): void {
    if (this.role._tag === "following") this.role.lookNow()
  }

  /** Completes when everything that stands in the journal now has been read; at once on the instance that writes it. */
  async catchUp(): Promise<void> {
    if (this.writing !== undefined) return
    await this.durability.catchUp()
    const { role } = this
    if (role._tag === "following") await role.catchUp()
    else if (role._tag === "takingOver") await role.askers.ask()
  }

  /**
   * Becomes the writer: claims the next epoch, reads the rest of the journal, and begins a segment of its own. Call with
   * the lock held. Shapes whose snapshot was cut off cannot be finished by anybody and are dropped.
   *
   * `holdsLock` is asked before the claim, at which a present writer gives up, and again before the epoch is published,
   * after which a present writer's records do not count: a process that was frozen may have lost the lock that it believes
   * to have got just now. When the answer is no, this stays a follower, and the result is `undefined`. What a bucket refuses is tried
   * again only as long as it `isWanted`.
   */
  async takeOver(
    holdsLock: () => Promise<boolean> = always,
    steps = new Steps(this.timers.nowMillis),
    confirmedLsn: Certainty["confirmedLsn"] = nobodyKnows,
    isWanted = () => true
  ): Promise<TakenOver | undefined> {
    const from = this.from("takeOver", "takingOver")
    if (from === undefined) return undefined
    const askers = from._tag === "following" ? from.askers : new Askers()
    const takingOver = new TakingOver(this.context, from.reading, askers)
    this.role = takingOver
    if (from._tag === "following") await from.leave()
    steps.done("unfollow")
    try {
      const epoch = await takingOver.run({ holdsLock, confirmedLsn }, steps, isWanted)
      if (epoch !== undefined) return this.beginWriting(epoch, steps)
      await this.giveUp()
      return undefined
    } catch (error) {
      await this.giveUp()
      // Part of it may have been removed: the next attempt finds it whole.
      if (isGone(error)) await createLayout(this.paths)
      throw error
    }
  }

  private beginWriting(record: EpochRecord, steps: Steps): TakenOver | undefined {
    const from = this.from("won", "writing")
    if (from === undefined) return undefined
    const writing = new Writing(this.context, record)
    this.role = writing
    const taken = writing.begin()
    steps.done("first record")
    this.processedLsn = this.store.positionLsn
    this.toldLsn = undefined
    from.askers.answerAll()
    return taken
  }

  private async giveUp(): Promise<void> {
    const from = this.from("gaveUp", "following")
    if (from !== undefined) this.beginFollowing(from.reading, from.askers)
    await this.durability.giveUp()
  }

  /** Everything composed goes to disk (unless that takes longer than `limitMillis`), then this becomes a follower. */
  async release(limitMillis: number): Promise<void> {
    const from = this.from("release", "leaving")
    if (from === undefined) return
    from.leave()
    const leaving = new Leaving(this.context, from)
    this.role = leaving
    const reading = await leaving.run(limitMillis)
    if (this.from("left", "following") === undefined) await reading.close()
    else this.beginFollowing(reading, new Askers())
    // Those who were shown what was written see that it was all.
    this.listeners.showable.tell()
  }

  /** Whether what this process writes counts no more, or it does not write at all. See `Writing`. */
  isFenced(): Promise<boolean> {
    return this.writing?.isFenced() ?? Promise.resolve(true)
  }

  /** True once every record written so far is durable and, at that moment, nobody had claimed a later epoch. */
  settled(): Promise<boolean> {
    return this.writing?.settled() ?? Promise.resolve(false)
  }

  /**
   * A file of a shape was written whole: it is there to stay when this completes, wherever the shape is read. Fails with a
   * `BucketFault` or a `DiskFault`. Where the disk is all there is, who has written it has synced it.
   */
  keepFile(path: string): Promise<void> {
    return this.uploads?.keep(path) ?? Promise.resolve()
  }

  /** See `Durability.keepCheckpoint`. */
  async keepCheckpoint(): Promise<boolean> {
    return this.writing !== undefined && (await this.durability.keepCheckpoint?.()) === true
  }

  /** A view of journal bytes that are in memory. */
  memory(segment: number, position: number, length: number): Buffer | undefined {
    const { lastWriter } = this
    return lastWriter === undefined
      ? this.contents.recent.slice(segment, position, length)
      : lastWriter.memory(segment, position, length)
  }

  /** Whether these bytes, which `memory` has given, never change. What a follower reads into is not used again. */
  isLasting(bytes: Buffer): boolean {
    return this.lastWriter === undefined || this.lastWriter.isLasting(bytes)
  }

  /** See `RecentBytes.age`. To be called from time to time. */
  ageRecent(): void {
    const { lastWriter } = this
    if (lastWriter === undefined) this.contents.recent.age()
    else lastWriter.ageRecent()
  }

  live(shape: { readonly id: number; readonly handle: string }): ShapeState | undefined {
    const found = this.store.get(shape.id)
    return found?.handle === shape.handle ? found : undefined
  }

  async close(): Promise<void> {
    const from = this.from("close", "closed")
    if (from === undefined) return
    this.role = closed
    await from.close()
    await this.contents.close()
    if (this.options.removeOnClose) await this.paths.disk.removeTree(this.paths.root)
  }
}
