import { FreshLook } from "../../shared/Coalesce.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { pause } from "../../shared/Timers.ts"
import type { TakenOver } from "../EngineOptions.ts"
import { nameLostShapes } from "../checkpoint/LostShapes.ts"
import { closeGate } from "../levels/Gate.ts"
import { type LevelRecord, writeLevelRecord } from "../levels/LevelFile.ts"
import { gatedLevel, ownLevels } from "../levels/Levels.ts"
import { segmentFile } from "../disk/StorageDir.ts"
import type { EpochRecord } from "../journal/Epochs.ts"
import { JournalWriter } from "../journal/JournalWriter.ts"
import { FileNumbers } from "../records/Compaction.ts"
import type { Notice } from "../records/Records.ts"
import { PackNames } from "../packs/PackWriter.ts"
import { markMillis, secureMillis } from "../StorageTimings.ts"
import type { RoleContext } from "./RoleContext.ts"

/** Writes the journal in a published epoch, beginning with a segment of its own. What it writes takes effect here at once. */
export class Writing {
  readonly _tag = "writing"
  readonly writer: JournalWriter
  /** Of what is moved to a bucket in this epoch. */
  readonly packNames: PackNames
  /** Of what is compacted in it. */
  readonly fileNumbers: FileNumbers
  /** Packs of compacted logs that no record speaks of yet. */
  readonly packsInTheMaking = new Set<string>()
  private readonly context: RoleContext
  private readonly record: EpochRecord
  /** Completes when the epoch itself is durable. */
  private secured: Promise<void> = Promise.resolve()
  private isSecured = false
  private cancelMark: (() => void) | undefined
  /** The look for later epochs that is under way, and the one that is to follow it. */
  private readonly fence = new FreshLook(() => this.lookForClaims())
  /** The look that began last, and which records were durable then. */
  private lastLook: { readonly durableMarker: number; readonly isFenced: Promise<boolean> } | undefined
  private hasLeft = false
  /** The directory that is written to is not there any more, or another one stands in its place. */
  isGone = false

  /** Fails when the segment cannot be begun. */
  constructor(context: RoleContext, record: EpochRecord) {
    const { contents, complaints, durability, listeners, options, paths, timers } = context
    const { epoch, previous } = record
    const segment = (previous?.segment ?? 0) + 1
    this.context = context
    this.record = record
    this.packNames = new PackNames(epoch)
    this.fileNumbers = new FileNumbers(epoch)
    contents.store.abandon()
    contents.store.abandonLate()
    contents.store.removed.length = 0
    contents.noteSegmentEnd(segment - 1)
    this.writer = new JournalWriter({
      paths,
      epoch,
      segment,
      recent: contents.recent,
      segmentBytes: options.segmentBytes,
      durableWrites: options.durableWrites,
      timers,
      ship: durability.ship,
      onDurable: (marker) => {
        this.markSoon()
        listeners.durable.tell(marker)
      },
      onShowable: () => listeners.showable.tell(),
      onShipped: (shipped) => listeners.shipped.tell(shipped),
      onRotate: (next) => {
        contents.noteSegmentEnd(next - 1)
        contents.segments.known(epoch, next)
      },
      onTrouble: (topic, message) => complaints.about(topic, message)
    })
    contents.segments.known(epoch, segment)
    if (previous === null) contents.firstSegment = segment
    contents.highestEpoch = epoch
  }

  /** Writes the first records. Shapes whose snapshot was cut off cannot be finished by anybody, and are dropped. */
  begin(): TakenOver {
    const { record, writer } = this
    const { contents, options, paths, warn } = this.context
    this.secured = this.secure()
    writer.notice({ t: "epoch", ...record })
    if (options.startsAtNewestLevel === true && record.previous === null)
      this.write({ t: "level", level: (options.levels ?? ownLevels).newest, release: batonVersion })
    // Readers elsewhere may believe in the shapes of the checkpoint that is gone.
    if (contents.lacksCheckpoint) {
      this.write({ t: "purged", reason: "the checkpoint is missing" })
      nameLostShapes(paths, warn)
    }
    const incomplete = [...contents.store.unfinished]
    if (incomplete.length > 0) {
      this.write({
        t: "dropped",
        ids: incomplete.map((shape) => shape.id),
        reason: "its snapshot was cut off"
      })
    }
    writer.flush()
    return { droppedIncomplete: incomplete.map((shape) => shape.handle) }
  }

  /**
   * Raises the level of what is stored: from now on writes what releases below `to` cannot read. False when another instance
   * has taken over meanwhile. Each step may be done again after a crash; nothing of the new level is written before all are done.
   */
  async raiseLevel(to: number, record: LevelRecord): Promise<boolean> {
    const { contents, paths } = this.context
    if (await this.isFenced()) return false
    if (to >= gatedLevel) await closeGate(paths)
    await writeLevelRecord(paths, record)
    if (to > contents.store.level) this.write({ t: "level", level: to, release: batonVersion })
    return this.settled()
  }

  /** Writes a notice and applies it. */
  write(notice: Notice): void {
    this.writer.notice(notice)
    this.context.contents.store.apply(notice)
  }

  /**
   * Whether somebody else has claimed a later epoch: then nothing that is written here counts any more. Callers that ask
   * while a look is under way share the next one, since theirs must begin after they asked. Completes only when this epoch
   * is durable.
   */
  isFenced(): Promise<boolean> {
    return this.fence.ask()
  }

  private lookForClaims(): Promise<boolean> {
    const { durableMarker } = this.writer
    const isFenced = this.look()
    this.lastLook = { durableMarker, isFenced }
    return isFenced
  }

  private async look(): Promise<boolean> {
    const { writer } = this
    const { durability } = this.context
    const [highest, isThere] = await Promise.all([
      durability.highestClaim(writer.epoch),
      writer.isThere(false)
    ])
    // Its own claim, or the file that it writes to, has been removed: nothing that goes there is there for anybody.
    if (highest < writer.epoch || !isThere) this.isGone = true
    if (highest <= writer.epoch && !this.isGone) await this.secured
    return this.hasLeft || highest > writer.epoch || this.isGone
  }

  /** Looks whether what is written still stands where a successor would look for it. To be asked from time to time. */
  async checkPlace(): Promise<void> {
    if (!(await this.writer.isThere(true))) this.isGone = true
  }

  /** The journal that this epoch goes on from is still there: nobody has removed or replaced storage since it was read. */
  async standsOnJournal(): Promise<boolean> {
    const { paths } = this.context
    const { previous } = this.record
    return (
      previous !== null &&
      (await paths.disk.stat(segmentFile(paths, previous.epoch, previous.segment))) !== undefined
    )
  }

  /** True once every record written so far is durable and, at that moment, nobody had claimed a later epoch. */
  async settled(): Promise<boolean> {
    const { marker } = this.writer
    const isDurable = this.writer.durableMarker >= marker
    if (!(await this.writer.durable())) return false
    const { lastLook } = this
    // One that began when they were durable has begun after this was asked for: who confirms the same sync has mostly begun it.
    const isFenced =
      isDurable || lastLook === undefined || lastLook.durableMarker < marker
        ? this.isFenced()
        : lastLook.isFenced
    return !(await isFenced)
  }

  /** Nothing that this epoch writes counts before it is there to stay; a disk that refuses is asked again for ever. */
  private async secure(): Promise<void> {
    const { record } = this
    const { complaints, durability, timers } = this.context
    while (!this.hasLeft) {
      try {
        await durability.secure(record)
        this.isSecured = true
        return
      } catch (error) {
        complaints.about(
          "epoch",
          `Cannot make epoch ${record.epoch} durable: ${String(error)}; retrying every ${secureMillis} ms. Nothing is acknowledged and no shape is made meanwhile.`
        )
        await this.checkPlace().catch(() => {})
        if (this.isGone) return
        await pause(timers, secureMillis)
      }
    }
  }

  private markSoon(): void {
    const { durability, timers } = this.context
    if (durability.markDurable === undefined || this.cancelMark !== undefined || this.hasLeft) return
    this.cancelMark = timers.after(markMillis, () => {
      this.cancelMark = undefined
      void this.mark()
    })
  }

  /** Says how far the journal is durable: see `Durability.markDurable`. It need not succeed. */
  async mark(): Promise<void> {
    if (this.isSecured) await this.context.durability.markDurable?.(this.writer.durableEnd).catch(() => {})
  }

  /** From now on everybody who asks is told that nothing counts. */
  leave(): void {
    this.hasLeft = true
    this.cancelMark?.()
  }

  async close(): Promise<void> {
    this.leave()
    await this.writer.close()
  }
}
