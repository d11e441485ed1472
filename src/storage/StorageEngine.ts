import { Effect } from "effect"
import {
  claimEpoch,
  type EpochRecord,
  highestClaim,
  publishEpoch,
  secureEpoch,
  withdrawClaim
} from "./journal/Epochs.ts"
import { Complaints } from "./Complaints.ts"
import { discardDisordered } from "./DiscardShape.ts"
import { noHooks } from "./EngineHooks.ts"
import type { EngineOptions, TakenOver } from "./EngineOptions.ts"
import { JournalReader } from "./journal/JournalReader.ts"
import { loadStorage, type SegmentEnds } from "./LoadStorage.ts"
import { type Certainty, readEverything } from "./ReadEverything.ts"
import { JournalWriter } from "./journal/JournalWriter.ts"
import { Steps } from "../telemetry/Steps.ts"
import { RecentBytes } from "./journal/RecentBytes.ts"
import type { JournalEnd, Notice } from "./records/Records.ts"
import { SegmentProofs } from "./segments/SegmentProofs.ts"
import { SegmentFiles } from "./segments/SegmentFiles.ts"
import type { ShapeState } from "./state/ShapeState.ts"
import { ShapeStore } from "./state/ShapeStore.ts"
import { createLayout, type StoragePaths } from "./disk/StorageDir.ts"
import { nameLostShapes } from "./checkpoint/LostShapes.ts"
import { isGone } from "./disk/DiskFault.ts"
import { SharedLook } from "../shared/SharedLook.ts"
import { pause, systemTimers, type Timers } from "../shared/Timers.ts"
import { eagerPollMillis, idlePollMillis, readAgainMillis, secureMillis } from "./StorageTimings.ts"
import { Waiters } from "./state/Waiters.ts"

const always = () => Promise.resolve(true)
const nobodyKnows = () => Promise.resolve(undefined)

/**
 * The shapes of a storage directory, kept up to date by reading its journal (following) or by writing it. At any time
 * it does one of the two; readers of shapes notice no difference.
 */
export class StorageEngine {
  readonly paths: StoragePaths
  readonly timers: Timers
  readonly waiters: Waiters
  readonly options: EngineOptions
  recent: RecentBytes
  segments: SegmentFiles
  private readonly proofs: SegmentProofs
  /** An index counted that should not have. */
  private isRefuted = false
  store: ShapeStore
  segmentEnds: SegmentEnds = new Map()
  private withoutCheckpoint = true
  /** The first segment that was read when storage was loaded. */
  firstSegment = 1
  reader: JournalReader | undefined
  writer: JournalWriter | undefined
  /** A writer that is on its way out: what it has composed is still in its memory. */
  leaving: JournalWriter | undefined
  private loop: Promise<void> | undefined
  /** Completes when the epoch that is written is durable itself. */
  private secured: Promise<void> = Promise.resolve()
  /** The look for later epochs that is under way, and the one that is to follow it. */
  private readonly fence = new SharedLook(() => this.lookForClaims())
  private following = false
  private wakeUp: (() => void) | undefined
  private lookAgain = false
  /** After a failure: not even somebody in a hurry is a reason to look sooner. */
  private backingOff = false
  /** Who waits for a look at the journal that begins after they asked. */
  private asking: Array<() => void> = []
  private takingOver = false
  /** How often a follower looks for new records while somebody waits for them. */
  eagerPollMillis = eagerPollMillis
  /** LSN up to which the stream has been processed by this process, shapes or no shapes. */
  processedLsn = 0n
  readonly hooks = noHooks()

  constructor(options: EngineOptions) {
    this.options = options
    this.timers = options.timers ?? systemTimers
    this.waiters = new Waiters(this.timers)
    this.paths = options.paths
    this.recent = new RecentBytes(options.recentBytes)
    this.proofs = new SegmentProofs(this.paths)
    this.segments = new SegmentFiles(this.paths, this.proofs)
    this.store = this.freshStore()
    this.complaints = new Complaints(this.timers, this.warn)
  }

  private freshStore(): ShapeStore {
    return new ShapeStore({
      waiters: this.waiters,
      chunkBytesThreshold: this.options.chunkBytesThreshold,
      onDropped: (shape, reason) => {
        this.hooks.onDropped(shape, reason)
        for (const listener of this.hooks.onGone) listener(shape)
      },
      onDisorder: (shape) => discardDisordered(this, shape)
    })
  }

  /** The first segment whose entries have not been moved to log files, by this instance or by one it followed. */
  get oldestSegment(): number {
    return Math.max(this.firstSegment, this.store.movedSegment + 1)
  }

  readonly complaints: Complaints
  /** The directory that is written to is not there any more, or another one stands in its place. */
  isGone = false
  /** The highest epoch that was read or written here: a storage that is begun anew goes on behind it. */
  private highestEpoch = 0

  readonly warn = (message: string): void => this.options.run(Effect.logWarning(message))

  /** See `loadStorage`; `proved` is when the bytes of indexed segments have been read as well. */
  async load(): Promise<void> {
    const loaded = await loadStorage({
      paths: this.paths,
      proofs: this.proofs,
      timers: this.timers,
      recentBytes: this.options.recentBytes,
      chunkBytesThreshold: this.options.chunkBytesThreshold,
      freshStore: () => this.freshStore(),
      warn: this.warn
    })
    const before = this.store
    const oldSegments = this.segments
    const oldReader = this.reader
    this.store = loaded.store
    this.recent = loaded.recent
    this.segments = loaded.segments
    this.segmentEnds = loaded.segmentEnds
    this.reader = loaded.reader
    this.firstSegment = loaded.firstSegment
    this.withoutCheckpoint = loaded.withoutCheckpoint
    for (const shape of before.all()) if (loaded.store.get(shape.id) === undefined) shape.dropped = true
    this.isRefuted = false
    this.waiters.wakeAll()
    if (this.following) void this.proveBehind()
    await oldReader?.close()
    await oldSegments.close()
  }

  /** Keeps reading what the active instance writes, until `stopFollowing`. */
  follow(): void {
    if (this.following) return
    this.following = true
    this.loop = this.followLoop()
    void this.proveBehind()
  }

  private async proveBehind(): Promise<void> {
    const { segments } = this
    if ((await segments.proveAll()) || this.segments !== segments) return
    this.isRefuted = true
    this.lookNow()
  }

  /** Completes when every index that counts has proved right. Not while following, which sees to it by itself. */
  async proved(): Promise<void> {
    while (!(await this.segments.proveAll())) await this.load()
  }

  private async followLoop(): Promise<void> {
    while (this.following) {
      this.lookAgain = false
      const asked = this.asking.length
      try {
        const reader = this.reader
        const result = reader === undefined || this.isRefuted ? "stale" : await reader.poll()
        if (result === "stale") await this.load()
        if (result === "progress") {
          this.store.removed.length = 0
          continue
        }
        // A segment that has lost its end: what comes behind it is read in a while.
        if (result !== "behind") for (const resolve of this.asking.splice(0, asked)) resolve()
      } catch (error) {
        this.complaints.about(
          "reading",
          `Cannot read the journal in ${this.paths.root}: ${String(error)}. Trying again.`
        )
        this.backingOff = true
        await this.sleep(readAgainMillis)
        this.backingOff = false
      }
      if (this.lookAgain) continue
      if (this.waiters.count > 0) await this.sleep(this.eagerPollMillis)
      else {
        // Whoever comes to wait during the long sleep ends it.
        this.waiters.onFirst = () => this.wakeUp?.()
        await this.sleep(idlePollMillis)
        this.waiters.onFirst = undefined
      }
    }
    if (!this.takingOver) this.answerAll()
  }

  private answerAll(): void {
    for (const resolve of this.asking.splice(0)) resolve()
  }

  private sleep(millis: number): Promise<void> {
    if (!this.following) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        cancel()
        this.wakeUp = undefined
        resolve()
      }
      const cancel = this.timers.after(millis, done)
      this.wakeUp = done
    })
  }

  /** Somebody needs what the journal holds now: look at once. */
  lookNow(): void {
    this.lookAgain = true
    if (!this.backingOff) this.wakeUp?.()
  }

  /** Completes when everything that stands in the journal now has been read; at once on the instance that writes it. */
  catchUp(): Promise<void> {
    if (!this.following && !this.takingOver) return Promise.resolve()
    return new Promise((resolve) => {
      this.asking.push(resolve)
      this.lookNow()
    })
  }

  /** The epoch that is written or read, and where reading has got to; zeros before there is any. */
  get at(): JournalEnd {
    const { writer, reader } = this
    if (writer !== undefined)
      return { epoch: writer.epoch, segment: writer.segment, position: writer.position }
    return reader?.end ?? { epoch: 0, segment: 0, position: 0 }
  }

  async stopFollowing(): Promise<void> {
    this.following = false
    this.wakeUp?.()
    await this.loop
    this.loop = undefined
  }

  /**
   * Becomes the writer: claims the next epoch, reads the rest of the journal, and begins a segment of its own. Call with
   * the lock held. Shapes whose snapshot was cut off cannot be finished by anybody and are dropped.
   *
   * `holdsLock` is asked before the claim, at which a present writer gives up, and again before the epoch is published,
   * after which a present writer's records do not count: a process that was frozen may have lost the lock that it believes
   * to have got just now. When the answer is no, this stays a follower, and the result is `undefined`.
   */
  async takeOver(
    holdsLock: () => Promise<boolean> = always,
    steps = new Steps(this.timers.nowMillis),
    confirmedLsn: Certainty["confirmedLsn"] = nobodyKnows
  ): Promise<TakenOver | undefined> {
    this.takingOver = true
    await this.stopFollowing()
    steps.done("unfollow")
    try {
      const taken = await this.becomeWriter({ holdsLock, confirmedLsn }, steps)
      if (taken === undefined) this.follow()
      return taken
    } catch (error) {
      this.follow()
      // Part of it may have been removed: the next attempt finds it whole.
      if (isGone(error)) await createLayout(this.paths)
      throw error
    } finally {
      this.takingOver = false
      if (!this.following) this.answerAll()
    }
  }

  private async becomeWriter(certainty: Certainty, steps: Steps): Promise<TakenOver | undefined> {
    const { holdsLock } = certainty
    if (!(await holdsLock())) return undefined
    steps.done("lock")
    // Somebody has written here before, who made it first.
    if ((this.reader?.epoch ?? 0) === 0) await createLayout(this.paths)
    steps.done("layout")
    this.highestEpoch = Math.max(this.highestEpoch, this.reader?.epoch ?? 0)
    const epoch = await claimEpoch(this.paths, this.highestEpoch)
    steps.done("claim")
    if (this.reader === undefined) await this.load()
    const isWhole = await readEverything(this, certainty).catch(async (error: unknown) => {
      // It is tried again, and each claim that stays would be one more to look past.
      await withdrawClaim(this.paths, epoch)
      throw error
    })
    steps.done("journal")
    const reader = this.reader
    const previous = reader === undefined || reader.epoch === 0 ? null : reader.end
    if (!isWhole || !(await holdsLock())) {
      await withdrawClaim(this.paths, epoch)
      return undefined
    }
    steps.done("lock")
    await publishEpoch(this.paths, { epoch, previous })
    steps.done("epoch")
    const segment = (previous?.segment ?? 0) + 1
    await reader?.close()
    this.store.abandon()
    this.store.removed.length = 0
    this.noteSegmentEnd(segment - 1)
    const writer = new JournalWriter({
      paths: this.paths,
      epoch,
      segment,
      recent: this.recent,
      segmentBytes: this.options.segmentBytes,
      durableWrites: this.options.durableWrites,
      timers: this.timers,
      onDurable: (marker) => this.hooks.onDurable(marker),
      onRotate: (next) => {
        this.noteSegmentEnd(next - 1)
        this.segments.known(epoch, next)
      },
      onTrouble: (topic, message) => this.complaints.about(topic, message)
    })
    this.segments.known(epoch, segment)
    if (previous === null) this.firstSegment = segment
    this.writer = writer
    this.isGone = false
    this.highestEpoch = epoch
    this.secured = this.options.durableWrites ? this.secure(writer, { epoch, previous }) : Promise.resolve()
    writer.notice({ t: "epoch", epoch, previous })
    // What came before the first segment stands in a checkpoint that is gone: readers elsewhere may believe in its shapes.
    if (this.withoutCheckpoint && this.firstSegment > 1) {
      this.write({ t: "purged", reason: "the checkpoint is missing" })
      nameLostShapes(this.paths, this.warn)
    }
    const incomplete = Array.from(this.store.all()).filter((shape) => !shape.snapshotComplete)
    if (incomplete.length > 0) {
      this.write({
        t: "dropped",
        ids: incomplete.map((shape) => shape.id),
        reason: "its snapshot was cut off"
      })
    }
    for (const shape of this.store.all()) shape.dirty = true
    writer.flush()
    steps.done("first record")
    this.processedLsn = this.store.positionLsn
    return { droppedIncomplete: incomplete.map((shape) => shape.handle) }
  }

  /** Nothing that this epoch writes counts before it is there to stay; a disk that refuses is asked again for ever. */
  private async secure(writer: JournalWriter, record: EpochRecord): Promise<void> {
    while (this.writer === writer) {
      try {
        return await secureEpoch(this.paths, record)
      } catch (error) {
        this.complaints.about(
          "epoch",
          `Cannot make epoch ${record.epoch} durable: ${String(error)}; retrying every ${secureMillis} ms. Nothing is acknowledged and no shape is made meanwhile.`
        )
        await this.checkPlace().catch(() => {})
        if (this.isGone) return
        await pause(this.timers, secureMillis)
      }
    }
  }

  /** Only the first time: a follower that begins in the middle of the next segment has read more. */
  private noteSegmentEnd(segment: number): void {
    if (this.segmentEnds.has(segment)) return
    this.segmentEnds.set(segment, {
      lastCommitLsn: this.store.lastCommitLsn,
      positionLsn: this.store.positionLsn
    })
  }

  /** Writes a notice and applies it. Only while writing. */
  write(notice: Notice): void {
    this.writer?.notice(notice)
    this.store.apply(notice)
  }

  /**
   * Whether somebody else has claimed a later epoch: then nothing we write counts any more. Callers that ask while a look
   * is under way share the next one, since theirs must begin after they asked. Completes only when our own epoch is durable.
   */
  readonly isFenced = (): Promise<boolean> => this.fence.ask()

  private async lookForClaims(): Promise<boolean> {
    const { writer } = this
    if (writer === undefined) return true
    const [highest, isThere] = await Promise.all([highestClaim(this.paths), writer.isThere(false)])
    if (highest < writer.epoch || !isThere) this.lost(writer)
    if (highest <= writer.epoch && !this.isGone) await this.secured
    return this.writer !== writer || highest > writer.epoch || this.isGone
  }

  /** Our own claim, or the file that is written to, has been removed: nothing that goes there is there for anybody. */
  private lost(writer: JournalWriter): void {
    if (this.writer === writer) this.isGone = true
  }

  /** Looks whether what is written still stands where a successor would look for it. For the writer, from time to time. */
  async checkPlace(): Promise<void> {
    const { writer } = this
    if (writer !== undefined && !(await writer.isThere(true))) this.lost(writer)
  }

  /** True once every record written so far is durable and, at that moment, nobody had claimed a later epoch. */
  async settled(): Promise<boolean> {
    const writer = this.writer
    if (writer === undefined || !(await writer.durable())) return false
    return !(await this.isFenced())
  }

  /** Everything composed goes to disk (unless that takes longer than `limitMillis`), then this becomes a follower. */
  async release(limitMillis: number): Promise<void> {
    const writer = this.writer
    if (writer === undefined) return
    this.writer = undefined
    this.leaving = writer
    writer.abandonTransaction()
    this.store.abandon()
    const end: JournalEnd = { epoch: writer.epoch, segment: writer.segment, position: writer.position }
    const whole = await new Promise<boolean>((resolve) => {
      const cancel = this.timers.after(limitMillis, () => resolve(false))
      void writer.durable().then((durable) => {
        cancel()
        resolve(durable)
      })
    })
    const closing = writer.close()
    if (!whole || writer.isFailing || this.isGone) {
      // A disk that hangs must not hold up anything else; what it has is what counts, and is read when it can be.
      this.options.run(Effect.promise(() => closing))
      this.leaving = undefined
      this.reader = undefined
    } else {
      await closing
      this.leaving = undefined
      this.reader = new JournalReader({
        paths: this.paths,
        store: this.store,
        recent: this.recent,
        from: end,
        onDamage: this.warn,
        onSegment: (epoch, segment) => {
          this.noteSegmentEnd(segment - 1)
          this.segments.readingFrom(epoch, segment)
        }
      })
    }
    this.follow()
  }

  /** A view of journal bytes that are in memory. */
  memory(segment: number, position: number, length: number): Buffer | undefined {
    const writer = this.writer ?? this.leaving
    return writer === undefined
      ? this.recent.slice(segment, position, length)
      : writer.memory(segment, position, length)
  }

  /** See `RecentBytes.age`. */
  ageRecent(): void {
    const writer = this.writer ?? this.leaving
    if (writer === undefined) this.recent.age()
    else writer.ageRecent()
  }

  live(shape: { readonly id: number; readonly handle: string }): ShapeState | undefined {
    const found = this.store.get(shape.id)
    return found?.handle === shape.handle ? found : undefined
  }

  async close(): Promise<void> {
    await this.stopFollowing()
    await this.writer?.close()
    await this.reader?.close()
    await this.proofs.close()
    await this.segments.close()
    if (this.options.removeOnClose) await this.paths.disk.removeTree(this.paths.root)
  }
}
