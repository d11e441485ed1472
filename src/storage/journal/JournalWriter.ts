import type { ComplaintTopic } from "../ComplaintTopics.ts"
import { ByteWriter } from "../../shared/ByteWriter.ts"
import { CreatedEncoder } from "../records/CreatedRecords.ts"
import type { DiskFile } from "../disk/Disk.ts"
import { isInPlace, isLinked } from "../disk/FileInPlace.ts"
import { allDone } from "../disk/Files.ts"
import { frameHeaderBytes, frameOf } from "../disk/Frame.ts"
import type { RecentBytes } from "./RecentBytes.ts"
import { encodeNotice, isReproducible, type JournalEnd, type Notice, recordKind } from "../records/Records.ts"
import { segmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import { pause, type Timers } from "../../shared/Timers.ts"
import { Progress, type ProgressOptions } from "./WriteProgress.ts"
import { OpenTransactions, partBytes, type PartMemory, type TransactionWriter } from "./TransactionWriter.ts"
import { journalRetryMillis, showMillis, syncGapMillis } from "../StorageTimings.ts"

/** Memory that records are composed in before other memory takes its place. */
const arenaBytes = 1 << 20
/** With room for the part that is open when an arena is full, so that it seldom has to be copied into a larger one. */
const arenaCapacityBytes = arenaBytes + partBytes + 64 * 1024
/** Arenas kept for use again. Fresh ones all the time would have the garbage collector run all the time. */
const spareArenas = 2

interface Range {
  readonly file: DiskFile
  readonly segment: number
  readonly buffer: Buffer
  readonly from: number
  readonly to: number
  readonly position: number
  readonly closeAfter: boolean
  readonly marker: number
}

/**
 * The writing end of the journal of one epoch: records are composed in memory and written in groups. While one group
 * is on its way to the disk the next one gathers, so a group is as large as the load makes it.
 *
 * Composing is synchronous and never waits. A marker (a count of bytes) says which records a group made durable.
 * A full disk, or another passing error, is retried for ever: nothing is lost, nothing is acknowledged meanwhile.
 *
 * With `ship` a group is only written to the disk, and becomes durable when it has got to where it is shipped.
 */
export class JournalWriter implements PartMemory {
  readonly out = new ByteWriter(arenaCapacityBytes)
  readonly epoch: number
  segment: number
  /** Position in the segment of the first byte of `out.buffer`. */
  base = 0
  /** Bytes of `out` that are whole records, and those of them already handed to the disk. */
  private sealedTo = 0
  private handedOver = 0
  /** Those of them that followers may read although they have not been handed over. */
  private shown = 0
  /** Groups that were written to their file, which is one, and not synced. */
  private unsynced: Array<Range> = []
  private syncedMillis = -Infinity
  private cancelSync: (() => void) | undefined
  /** The last group that is being synced. */
  private syncing: Range | undefined
  private cancelShow: (() => void) | undefined
  private showing: Promise<void> | undefined
  /** Arenas that were put aside, with the marker at their end: once that is durable nobody writes from them any more. */
  private readonly putAside = new Map<ArrayBufferLike, number>()
  private readonly spare: Array<Buffer> = []
  private readonly transactions: OpenTransactions
  private file: DiskFile
  private appended = 0
  private queue: Array<Range> = []
  private writing = false
  /** Completes when the groups that are on their way to the disk have got there. */
  private groups: Promise<void> = Promise.resolve()
  private failing = false
  /** After a failure to begin a segment: when to try again. */
  private beginAgainMillis = 0
  readonly progress: Progress
  /** The segment whose directory entry is durable. */
  private namedSegment = -1
  closed = false

  private readonly paths: StoragePaths
  private readonly recent: RecentBytes
  private readonly segmentBytes: number
  private readonly durableWrites: boolean
  private readonly timers: Timers
  private readonly listeners: {
    readonly onRotate: (segment: number) => void
    readonly onTrouble: (topic: ComplaintTopic, message: string) => void
  }

  /** It begins `segment` of `epoch`. */
  constructor(
    options: ProgressOptions & {
      readonly paths: StoragePaths
      readonly recent: RecentBytes
      readonly segmentBytes: number
      readonly durableWrites: boolean
      readonly timers: Timers
      readonly onRotate: (segment: number) => void
    }
  ) {
    this.paths = options.paths
    this.epoch = options.epoch
    this.segment = options.segment
    this.recent = options.recent
    this.segmentBytes = options.segmentBytes
    this.durableWrites = options.durableWrites
    this.timers = options.timers
    this.listeners = options
    this.file = this.openSegment()
    this.progress = new Progress(options)
    this.transactions = new OpenTransactions(this)
  }

  /** The transaction that is being composed from the stream as it comes. */
  get ordinary(): TransactionWriter {
    return this.transactions.ordinary
  }
  /** Beside it, one whose commit may stand before those of ordinary ones that are written already. */
  get late(): TransactionWriter {
    return this.transactions.late
  }

  private openSegment(): DiskFile {
    return this.paths.disk.create(segmentFile(this.paths, this.epoch, this.segment))
  }

  /** Whether the file that is written to is there for others. With `thorough` also whether it stands where they look for it. */
  async isThere(thorough: boolean): Promise<boolean> {
    const { file } = this
    const isThere = isLinked(file).then((linked) => linked && (!thorough || isInPlace(this.paths.disk, file)))
    // Once the next segment is begun, this one may be closed.
    return isThere.then(
      (there) => there || this.file !== file || this.closed,
      (error: unknown) => {
        if (this.file !== file || this.closed) return true
        throw error
      }
    )
  }

  /** Bytes composed so far: records before it are durable once `durableMarker` has reached it. */
  get marker(): number {
    return this.appended
  }
  /** Composed, and still only in memory. */
  get unwrittenBytes(): number {
    return this.appended - this.progress.writtenMarker
  }
  get durableMarker(): number {
    return this.progress.durableMarker
  }
  /** Without `ship`: up to where the journal is durable. */
  get durableEnd(): JournalEnd {
    return { epoch: this.epoch, ...this.progress.syncedTo }
  }
  /** With `ship`: up to where others may be shown what is not durable yet. */
  get showable(): { readonly segment: number; readonly position: number } {
    return this.progress.showable
  }
  get isFailing(): boolean {
    return this.failing
  }
  /** Where the next record will stand. */
  get position(): number {
    return this.base + this.out.length
  }

  /** Not while a part is open. Returns the position of the payload in the segment. */
  private append(kind: number, payload: Uint8Array, reproducible: boolean): number {
    this.makeRoom()
    const position = this.base + this.out.length
    const frame = frameOf(kind, payload)
    this.out.append(frame)
    this.sealedTo = this.out.length
    this.appended += frame.length
    if (!reproducible) this.progress.composedForGood(this.segment, position, this.appended)
    return position + frameHeaderBytes
  }

  /** Appends a record; inside a transaction the open part is closed first, records do not nest. */
  appendBetween(kind: number, payload: Uint8Array): { readonly segment: number; readonly position: number } {
    this.prepare()
    const segment = this.segment
    return { segment, position: this.append(kind, payload, false) }
  }

  notice(notice: Notice): void {
    this.prepare()
    this.append(recordKind.notice, this.created.encode(notice, this.segment), isReproducible(notice))
  }

  private prepare(): void {
    this.transactions.seal()
    this.rotateIfFull()
  }

  private readonly created = new CreatedEncoder()

  /** For the transactions that are composed here; see `PartMemory`. */
  sealed(from: number): void {
    this.appended += this.out.length - from
    this.sealedTo = this.out.length
  }

  /** Bytes of the segment that are in memory, if they hold the range; a view, valid until the next write. */
  memory(segment: number, position: number, length: number): Buffer | undefined {
    if (segment !== this.segment || position < this.base) return this.recent.slice(segment, position, length)
    const at = position - this.base
    return this.out.buffer.subarray(at, at + length)
  }

  /** Whether these bytes, which `memory` has given, never change: those of a large row do not. */
  isLasting({ buffer }: Buffer): boolean {
    return buffer !== this.out.buffer.buffer && !this.putAside.has(buffer)
  }

  /** Before a new record: full memory is put aside (readers still find it) and fresh memory taken. */
  makeRoom(): void {
    if (this.out.length < arenaBytes || this.transactions.hasPart) return
    this.enqueue(false)
    this.putArenaAside(this.segment)
    this.base += this.out.length
    this.freshArena()
  }

  /** See `PartMemory`. No part is open. */
  adopt(record: Buffer): number {
    this.enqueue(false)
    if (this.out.length > 0) this.putArenaAside(this.segment)
    this.base += this.out.length
    this.out.buffer = record
    this.out.length = record.length
    this.sealedTo = record.length
    this.handedOver = 0
    this.shown = 0
    this.appended += record.length
    return this.base
  }

  /** Readers find it for a while; memory that they find no more is for composing again. */
  private putArenaAside(segment: number): void {
    const { buffer, length } = this.out
    const { writtenMarker } = this.progress
    if (buffer.length === arenaCapacityBytes) this.putAside.set(buffer.buffer, this.appended)
    const aside = buffer.subarray(0, length)
    for (const dropped of this.recent.add(segment, this.base, aside, this.appended, writtenMarker)) {
      const end = this.putAside.get(dropped.buffer)
      if (end === undefined) continue
      this.putAside.delete(dropped.buffer)
      if (this.spare.length < spareArenas) this.spare.push(Buffer.from(dropped.buffer, 0, arenaCapacityBytes))
    }
  }

  /** See `RecentBytes.age`. Nothing is forgotten while part of it can be found in memory only. */
  ageRecent(): void {
    if (this.progress.writtenMarker < this.appended) return
    for (const dropped of this.recent.age()) this.putAside.delete(dropped.buffer)
  }

  private freshArena(): void {
    this.out.buffer = this.spare.pop() ?? Buffer.allocUnsafeSlow(arenaCapacityBytes)
    this.out.length = 0
    this.sealedTo = 0
    this.handedOver = 0
    this.shown = 0
  }

  /**
   * Before a record or transaction, never after one: a follower that is told of the new segment must have dealt with all that
   * stands in the old one.
   */
  rotateIfFull(): void {
    if (
      this.base + this.out.length < this.segmentBytes ||
      this.transactions.hasPart ||
      this.transactions.hasAny
    )
      return
    if (this.timers.nowMillis() < this.beginAgainMillis) return
    let next: DiskFile
    const previous = { segment: this.segment }
    this.segment++
    try {
      next = this.openSegment()
    } catch (error) {
      // The old segment simply goes on growing until the disk accepts a new one.
      this.segment = previous.segment
      this.beginAgainMillis = this.timers.nowMillis() + journalRetryMillis
      this.listeners.onTrouble(
        "segment",
        `cannot begin journal segment ${previous.segment + 1}: ${String(error)}; the one before it goes on growing`
      )
      return
    }
    this.segment = previous.segment
    this.enqueue(true)
    const end = this.base + this.out.length
    this.putArenaAside(previous.segment)
    this.segment = previous.segment + 1
    this.file = next
    this.base = 0
    this.freshArena()
    // The new file is there before the last bytes of the old one are: readers must not leave that one too soon.
    const head = frameOf(recordKind.notice, encodeNotice({ t: "segment", end }))
    this.out.append(head)
    this.sealedTo = this.out.length
    this.appended += head.length
    this.listeners.onRotate(this.segment)
  }

  private enqueue(closeAfter: boolean): void {
    if (this.sealedTo === this.handedOver && !closeAfter) return
    this.queue.push({
      file: this.file,
      segment: this.segment,
      buffer: this.out.buffer,
      from: this.handedOver,
      to: this.sealedTo,
      position: this.base + this.handedOver,
      closeAfter,
      marker: this.appended
    })
    this.handedOver = this.sealedTo
  }

  /** Sends what has been composed on its way to the disk. Cheap when there is nothing, or when a group is under way. */
  flush(): void {
    if (this.closed) return
    if (this.writing) return this.showSoon()
    this.writing = true
    this.groups = this.run()
  }

  /**
   * While a disk takes its time to sync a group, what is composed meanwhile is written all the same, for followers to read:
   * their clients need not wait for the disk. It counts for nothing yet. Its own group writes it once more, and syncs it.
   */
  private showSoon(): void {
    if (this.syncing === undefined || this.cancelShow !== undefined || this.showing !== undefined) return
    this.cancelShow = this.timers.after(showMillis, () => {
      this.cancelShow = undefined
      this.showing = this.show().finally(() => (this.showing = undefined))
    })
  }

  private async show(): Promise<void> {
    const { syncing } = this
    const { buffer } = this.out
    const from = Math.max(this.shown, this.handedOver)
    if (syncing === undefined || this.sealedTo <= from) return
    // Never beyond bytes that are not written yet: they would look damaged.
    const writtenTo = syncing.position + syncing.to - syncing.from
    if (syncing.segment !== this.segment || writtenTo !== this.base + this.handedOver) return
    try {
      const bytesWritten = await this.file.write(buffer, from, this.sealedTo - from, this.base + from)
      if (buffer === this.out.buffer) this.shown = from + bytesWritten
    } catch {
      // Its group will meet the same error, and report it.
    }
  }

  /** Afterwards nobody writes but for the group at hand: files may be closed, and memory used again. */
  private async endShow(): Promise<void> {
    this.syncing = undefined
    this.cancelShow?.()
    this.cancelShow = undefined
    if (this.showing !== undefined) await this.showing
  }

  private async run(): Promise<void> {
    for (;;) {
      if (!this.closed) this.enqueue(false)
      const ranges = this.queue
      this.queue = []
      for (const range of ranges) {
        await this.put(range)
        if (range.closeAfter) await this.sync()
      }
      if (this.unsynced.length > 0 && this.isSyncDue()) await this.sync()
      else if (ranges.length === 0) break
    }
    this.writing = false
    if (this.unsynced.length > 0) this.syncLater()
  }

  /** Syncs that follow each other at once would take the disk from Postgres, whose commits wait for it. */
  private isSyncDue(): boolean {
    return (
      this.closed || this.progress.isAwaited || this.timers.nowMillis() >= this.syncedMillis + syncGapMillis
    )
  }

  private syncLater(): void {
    const waitMillis = this.syncedMillis + syncGapMillis - this.timers.nowMillis()
    this.cancelSync ??= this.timers.after(Math.max(0, waitMillis), () => {
      this.cancelSync = undefined
      this.flush()
    })
  }

  /** Writes a group to its file. Where that is not enough, it counts once it is synced. */
  private async put(range: Range): Promise<void> {
    const isWritten = await this.untilTaken(range, () => this.write(range))
    if (this.durableWrites) this.unsynced.push(range)
    else await this.done(range, isWritten)
  }

  private async write({ buffer, file, from, position, to }: Range): Promise<void> {
    let at = from
    while (at < to) at += await file.write(buffer, at, to - at, position + at - from)
  }

  /** Makes durable what was written, all of which stands in one file. */
  private async sync(): Promise<void> {
    const ranges = this.unsynced
    const last = ranges.at(-1)
    if (last === undefined) return
    let isAgain = false
    const isSynced = await this.untilTaken(last, async () => {
      // What a sync that fails was to save may be gone from the file, and a later one would say nothing of that.
      if (isAgain) for (const range of ranges) await this.write(range)
      isAgain = true
      this.syncing = last
      await allDone([
        last.file.sync(),
        ...(this.namedSegment < last.segment ? [this.paths.disk.syncDirectory(this.paths.journal)] : [])
      ]).finally(() => this.endShow())
      this.namedSegment = last.segment
    })
    this.unsynced = []
    this.syncedMillis = this.timers.nowMillis()
    for (const range of ranges) await this.done(range, isSynced)
  }

  /** Repeats what the disk refuses until it takes it. False: by then nobody wanted it any more. */
  private async untilTaken({ segment }: Range, work: () => Promise<void>): Promise<boolean> {
    while (!(this.closed && this.failing)) {
      try {
        await work()
        this.failing = false
        return true
      } catch (error) {
        this.failing = true
        this.listeners.onTrouble(
          "writing",
          `cannot write journal segment ${segment}: ${String(error)}; retrying every ${journalRetryMillis} ms`
        )
        await pause(this.timers, journalRetryMillis)
      }
    }
    return false
  }

  private async done(range: Range, isThere: boolean): Promise<void> {
    const { closeAfter, file, from, marker, position, segment, to } = range
    // What a file system may say when it is closed does not matter any more.
    if (closeAfter) await file.close().catch(() => {})
    if (isThere) this.progress.wrote({ segment, position, length: to - from, marker }, closeAfter)
  }

  /** The same as `durable` for what is in its file, and may not be durable yet. */
  written(): Promise<boolean> {
    if (this.unwrittenBytes === 0) return Promise.resolve(true)
    if (this.closed) return Promise.resolve(false)
    const written = this.progress.written(this.appended)
    this.flush()
    return written
  }

  /** Resolves with true when every record composed before now is durable, with false if the writer was closed before. */
  durable(): Promise<boolean> {
    const marker = this.appended
    if (this.durableMarker >= marker) return Promise.resolve(true)
    if (this.closed) return Promise.resolve(false)
    const durable = this.progress.durable(marker)
    this.flush()
    return durable
  }

  /** What has been written, and waits to be synced. */
  private flushLast(): void {
    if (this.writing || this.unsynced.length === 0) return
    this.writing = true
    this.groups = this.run()
  }

  /** Stops writing, after the group that is under way. What was composed later than that is not on disk. */
  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.cancelSync?.()
    this.flushLast()
    await this.groups
    await this.progress.close()
    this.recent.add(this.segment, this.base, this.out.buffer.subarray(0, this.out.length))
    await this.file.close()
  }
}
