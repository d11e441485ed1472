import { basename } from "node:path"
import { CreatedDecoder } from "../records/CreatedRecords.ts"
import { dropShapesIn } from "./DamagedRecord.ts"
import { type EpochRecord, readEpochs, successor } from "./Epochs.ts"
import { rememberXids } from "./IndexedXids.ts"
import type { PollResult } from "./PollResult.ts"
import { frameHeaderBytes, isTorn, maxFramePayloadBytes, scanFrame } from "../disk/Frame.ts"
import type { RecentBytes } from "./RecentBytes.ts"
import { xidLookup } from "../segments/SegmentIndex.ts"
import { IndexMemory, type IndexTrust, type LoadedIndex, loadIndex } from "../segments/SegmentIndexFiles.ts"
import { decodeNotice, type JournalEnd, recordKind } from "../records/Records.ts"
import { startsHistory } from "../records/StoredSource.ts"
import { isFollowedOnDisk } from "../segments/SegmentFiles.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"
import { type DiskFile, longestLateMillis } from "../disk/Disk.ts"
import { isGone } from "../disk/DiskFault.ts"
import { segmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import { systemTimers } from "../../shared/Timers.ts"
import { PartsApplied } from "./PartsApplied.ts"
import { placeMillis } from "../StorageTimings.ts"

/** Memory that is read into before it is replaced by fresh memory, and what must be left of it for one more read. */
const arenaBytes = 1 << 20
const leastReadBytes = 64 * 1024

/** The first record of a segment is not longer. */
const longestHeadBytes = 1024
/** After so many looks bytes that should be there are taken for lost; later where they may just be seen late. */
const patientPolls = 100

/**
 * Reads the journal from a position on and applies it to a `ShapeStore`, across segments and epochs. It writes nothing.
 *
 * A record that is not whole yet ends the reading for now. A damaged record with a sound one behind it costs the shapes
 * it belongs to, and they are named. A segment with an index that counts is not read record by record, as far as that goes:
 * its bytes are only found to be the right ones, where `trust` allows it by somebody else and later.
 */
export class JournalReader {
  private handle: DiskFile | undefined
  private handleOf: string | undefined
  private buffer: Buffer = Buffer.alloc(0)
  /** What has been read and applied stays for readers of the latest bytes; the next read goes behind it. */
  private arena: Buffer = Buffer.alloc(0)
  private arenaUsed = 0
  private readonly parts: PartsApplied
  /** The epoch after this one, as of the last look. */
  private next: EpochRecord | undefined
  /** From where it began no way leads to the newest epoch. */
  isLost = false
  /** The present segment is not there, and nobody waits for it any more. */
  private isLostHere = false
  private pollsBehind = 0
  private behindSinceMillis = 0
  private placeSeenMillis = 0
  private epochsRead = false
  /** Whether the present segment has an index has been looked at. */
  private indexTried = false
  /** Kept from one index to the next: there is none any more once the end of the journal has been reached. */
  private indexMemory: IndexMemory | undefined
  private readonly created = new CreatedDecoder()
  epoch: number
  segment: number
  position: number
  private readonly paths: StoragePaths
  private readonly store: ShapeStore
  private readonly recent: RecentBytes
  private readonly onDamage: (message: string) => void
  private readonly onSegment: (epoch: number, segment: number) => void
  private readonly trust: IndexTrust | undefined
  private readonly mayBePassed: (epoch: number, segment: number) => boolean
  private readonly nowMillis: () => number
  private readonly firstSegment: number

  constructor(options: {
    readonly paths: StoragePaths
    readonly store: ShapeStore
    readonly recent: RecentBytes
    readonly from: JournalEnd
    readonly onDamage: (message: string) => void
    /** A file of the journal that entries may stand in. */
    readonly onSegment: (epoch: number, segment: number) => void
    /** Absent: an index counts only once the bytes that it stands for have been read. */
    readonly trust?: IndexTrust
    /**
     * Whether loading anew may lead behind a segment that is gone: not where it has led back to it. Absent: it never does.
     */
    readonly mayBePassed?: (epoch: number, segment: number) => boolean
    /** Of a clock that is never set. */
    readonly nowMillis?: () => number
  }) {
    this.paths = options.paths
    this.store = options.store
    this.parts = new PartsApplied(options.store)
    this.recent = options.recent
    this.epoch = options.from.epoch
    this.segment = options.from.segment
    this.firstSegment = options.from.segment
    this.position = options.from.position
    this.onDamage = options.onDamage
    this.onSegment = options.onSegment
    this.trust = options.trust
    this.mayBePassed = options.mayBePassed ?? (() => false)
    this.nowMillis = options.nowMillis ?? systemTimers.nowMillis
    if (this.epoch > 0) this.onSegment(this.epoch, this.segment)
  }

  get end(): JournalEnd {
    return { epoch: this.epoch, segment: this.segment, position: this.position }
  }

  /** Applies what there is, up to about a megabyte. */
  async poll(): Promise<PollResult> {
    try {
      return await this.look()
    } catch (error) {
      // A network file system says so of an open file that its owner has removed.
      if (!isGone(error)) throw error
      await this.closeFile()
      return "stale"
    }
  }

  private async look(): Promise<PollResult> {
    // What stands after the end of an epoch that is over must not be read: its writer did not know that it was over.
    if (!this.epochsRead) await this.readEpochs()
    if (this.epoch > 0 && !this.isLost) {
      if (!this.indexTried) {
        this.indexTried = true
        if (this.position === 0 && (await this.takeIndex())) return "progress"
        this.indexMemory = undefined
      }
      const applied = await this.readSome(this.limit())
      if (applied === "progress" || applied === "stale") return applied
      if (this.handle === undefined && this.position === 0 && (await this.isPassed())) return "stale"
    }
    return this.advance()
  }

  /** Applies what the index of the segment that now begins sums up. False when there is none that counts. */
  private async takeIndex(): Promise<boolean> {
    const memory = (this.indexMemory ??= new IndexMemory())
    const { epoch, segment, trust } = this
    const loaded = await loadIndex(this.paths, epoch, segment, this.limit(), memory, trust)
    if (loaded === undefined || this.parts.hasOpen) return false
    const { index, sum } = loaded
    // Transactions that have been seen before are told apart one by one.
    if (index.lastCommitLsn > 0n && index.firstCommitLsn <= this.store.lastCommitLsn) return false
    const xidOf = await this.transactionIds(loaded)
    if (xidOf === undefined) return false
    const { store } = this
    const { rare, xids } = index
    const histories: Array<boolean> = []
    for (let at = 0; at < rare.length;) {
      const from = at + frameHeaderBytes
      const end = from + rare.readUInt32LE(at)
      if (rare[at + 8] === recordKind.notice) {
        const notice = this.created.decode(rare.subarray(from, end))
        const before = store.source
        store.apply(notice)
        if (notice.t === "source") histories.push(startsHistory(before, notice))
      } else {
        const [id, chunk, position, bytes] = [0, 4, 8, 12].map((i) => rare.readUInt32LE(from + i))
        store.inlineChunk(id ?? 0, chunk ?? 0, this.segment, position ?? 0, bytes ?? 0)
      }
      at = end
    }
    rememberXids(store.recentXids, xids, histories)
    index.forEachShape((id, entries, hasLate) => store.adopt(id, segment, entries, hasLate, xidOf))
    store.reached(index.lastCommitLsn, index.positionLsn)
    this.position = index.end
    trust?.onTrusted(sum)
    return true
  }

  /** From commit LSN to transaction id, for shapes whose snapshots may contain transactions; `undefined` if that is lost. */
  private async transactionIds(loaded: LoadedIndex): Promise<((tx: bigint) => number) | undefined> {
    let isNeeded = false
    loaded.index.forEachShape((id, entries) => {
      isNeeded ||= this.store.get(id)?.includesAllFrom(entries.tx(0)) !== true
    })
    const table = isNeeded ? await loaded.table() : nothing
    return table === undefined ? undefined : xidLookup(table)
  }

  private async readEpochs(): Promise<void> {
    const next = successor(await readEpochs(this.paths, this.epoch), this.epoch)
    this.isLost = next === "lost"
    this.next = next === "lost" ? undefined : next
    this.epochsRead = true
  }

  /** Bytes of the present segment that count. */
  private limit(): number {
    const end = this.next?.previous
    if (end === undefined || end === null || end.segment > this.segment) return Infinity
    return end.segment === this.segment ? end.position : 0
  }

  /**
   * The file that reading was to go on in is not there, and something behind it is: who writes has moved what stood in it
   * and removed it, while nothing happened here. Without anything behind it, it has not been begun yet.
   */
  private async isPassed(): Promise<boolean> {
    const hasEnded = this.next?.previous != null && this.limit() > 0
    const isBehind = hasEnded || (await isFollowedOnDisk(this.paths, this))
    return isBehind && this.mayBePassed(this.epoch, this.segment)
  }

  /** Nothing more here for now: does the journal go on in another file? */
  private async advance(): Promise<PollResult> {
    await this.readEpochs()
    if (this.isLost) return "stale"
    const next = this.next
    const end = next?.previous
    if (next !== undefined && (end === null || end === undefined)) {
      this.goTo(next.epoch, 1)
      return "progress"
    }
    if (next !== undefined && end !== null && end !== undefined && end.segment <= this.segment) {
      if (end.segment < this.segment || this.position > end.position) {
        this.isLost = end.segment < this.firstSegment
        return "stale"
      }
      if (this.position < end.position) return this.readTo(end.position)
      this.goTo(next.epoch, end.segment + 1)
      return "progress"
    }
    const segmentEnd = this.epoch > 0 ? await this.announcedEnd() : undefined
    if (segmentEnd === undefined) return (await this.isReplaced()) ? "stale" : "idle"
    if (this.position < segmentEnd) return this.readTo(segmentEnd)
    this.goTo(this.epoch, this.segment + 1)
    return "progress"
  }

  /** Whether the file that is being read has lost its name: its directory was removed. Looked at from time to time. */
  private async isReplaced(): Promise<boolean> {
    const { handle, handleOf } = this
    // Where files may be seen late, each look is at a file that was just opened.
    if (handle === undefined || handleOf === undefined || this.paths.disk.mayBeLate) return false
    if (this.nowMillis() - this.placeSeenMillis < placeMillis) return false
    this.placeSeenMillis = this.nowMillis()
    const [open, named] = await Promise.all([handle.stat(), this.paths.disk.stat(handleOf)])
    return open.ino !== named?.ino
  }

  /** Where the present segment ends, as the next one of its epoch says; `undefined` as long as there is none. */
  private async announcedEnd(): Promise<number | undefined> {
    const next = await this.openNew(segmentFile(this.paths, this.epoch, this.segment + 1))
    if (next === undefined) return undefined
    try {
      const start = Buffer.alloc(longestHeadBytes)
      const bytesRead = await next.read(start, 0, start.length, 0)
      const frame = scanFrame(start, 0, bytesRead)
      if (frame._tag === "Short") return undefined
      // Without what it should say, this segment ends where its bytes do.
      if (frame._tag === "Damaged" || frame.kind !== recordKind.notice) return this.size()
      const notice = decodeNotice(start.subarray(frameHeaderBytes, frame.end))
      return notice.t === "segment" ? notice.end : this.size()
    } finally {
      await next.close()
    }
  }

  private async size(): Promise<number> {
    return (await (await this.file())?.stat())?.size ?? 0
  }

  /** Reads on to where the present segment is known to end. What is there and is no record is damaged. */
  private async readTo(end: number): Promise<PollResult> {
    const isAllThere = (await this.size()) >= end
    const applied = await this.readSome(end)
    if (applied !== "idle") {
      this.pollsBehind = 0
      return applied
    }
    if (!isAllThere && this.isPatient()) {
      // Opened anew it may show more.
      await this.closeFile()
      return "behind"
    }
    this.pollsBehind = 0
    await this.skipTo(end)
    return "progress"
  }

  private isPatient(): boolean {
    if (this.pollsBehind++ === 0) this.behindSinceMillis = this.nowMillis()
    if (this.pollsBehind <= patientPolls) return true
    return this.paths.disk.mayBeLate && this.nowMillis() - this.behindSinceMillis < longestLateMillis
  }

  /** Gives up what stands between here and the end of the segment. */
  private async skipTo(end: number): Promise<void> {
    const rest = Buffer.alloc(Math.min(end - this.position, maxFramePayloadBytes))
    const file = await this.file()
    this.isLostHere = file === undefined
    const bytesRead = (await file?.read(rest, 0, rest.length, this.position)) ?? 0
    const isOne =
      bytesRead === end - this.position &&
      bytesRead > frameHeaderBytes &&
      rest.readUInt32LE(0) === bytesRead - frameHeaderBytes
    this.dropDamaged(rest, 0, isOne ? bytesRead : undefined)
    this.position = end
  }

  private goTo(epoch: number, segment: number): void {
    if (epoch !== this.epoch) {
      this.parts.abandon()
      this.epochsRead = false
    }
    this.epoch = epoch
    this.segment = segment
    this.position = 0
    this.isLostHere = false
    this.indexTried = false
    this.created.beginSegment()
    this.onSegment(epoch, segment)
  }

  private async file(): Promise<DiskFile | undefined> {
    const path = segmentFile(this.paths, this.epoch, this.segment)
    if (this.handleOf !== path) {
      await this.closeFile()
      this.handle = await this.openNew(path)
      if (this.handle !== undefined) this.handleOf = path
    }
    return this.handle
  }

  /**
   * Opens a file that may not be there yet. Where the system remembers what is not there, nobody asks for it before the
   * directory shows it.
   */
  private async openNew(path: string): Promise<DiskFile | undefined> {
    const { disk, journal } = this.paths
    if (disk.mayBeLate && !(await disk.list(journal)).includes(basename(path))) return undefined
    return disk.open(path)
  }

  /** Nothing new is seen through the open file, which may be because it was opened before: opens it anew. */
  private async renew(): Promise<DiskFile | undefined> {
    const path = this.handleOf
    // First, because an open file may be a reason not to ask the server again.
    await this.closeFile()
    if (path === undefined) return undefined
    this.handle = await this.paths.disk.open(path)
    if (this.handle !== undefined) this.handleOf = path
    return this.handle
  }

  private async closeFile(): Promise<void> {
    const { handle } = this
    this.handle = undefined
    this.handleOf = undefined
    await handle?.close()
  }

  private async readSome(limit: number): Promise<PollResult> {
    let file = await this.file()
    let isNew = !this.paths.disk.mayBeLate
    if (file === undefined) {
      // The very first segment of an epoch appears a moment after the epoch's own file; anything else is gone for good.
      return this.position === 0 || this.isLostHere ? "idle" : "stale"
    }
    let wanted = leastReadBytes
    for (;;) {
      if (limit <= this.position) return "idle"
      const room = this.room(wanted)
      const length = Math.min(room.length, limit - this.position)
      const bytesRead = await file.read(room, 0, length, this.position)
      if (bytesRead === 0) {
        if (isNew) return "idle"
        isNew = true
        file = await this.renew()
        if (file === undefined) return "stale"
        continue
      }
      this.buffer = room
      const from = this.position
      const need = this.recent.with(this.segment, from, room.subarray(0, bytesRead), () =>
        this.applyFrames(bytesRead, limit === Infinity)
      )
      if (this.position > from) {
        const applied = this.position - from
        this.recent.add(this.segment, from, room.subarray(0, applied))
        this.arenaUsed += applied
        return "progress"
      }
      if (need > bytesRead && bytesRead === length && from + need <= (await file.stat()).size) wanted = need
      else if (isNew) return "idle"
      else {
        isNew = true
        file = await this.renew()
        if (file === undefined) return "stale"
      }
    }
  }

  /** At least `bytes` of memory that nobody looks at. */
  private room(bytes: number): Buffer {
    if (this.arena.length - this.arenaUsed < bytes) {
      this.arena = Buffer.allocUnsafeSlow(Math.max(arenaBytes, bytes))
      this.arenaUsed = 0
    }
    return this.arena.subarray(this.arenaUsed)
  }

  /**
   * Applies the whole records among the first `limit` bytes of the buffer. Returns the bytes that the next one needs. `mayBeTorn`: nobody
   * says that the segment goes on behind them.
   */
  private applyFrames(limit: number, mayBeTorn: boolean): number {
    const base = this.position
    let at = 0
    for (;;) {
      const scan = scanFrame(this.buffer, at, limit)
      if (scan._tag === "Short") {
        this.position = base + at
        return scan.needed
      }
      if (scan._tag === "Damaged") {
        const skipped = this.skipDamaged(at, limit, mayBeTorn)
        if (skipped.needed > 0 || skipped.next === at) {
          this.position = base + at
          return skipped.needed
        }
        at = skipped.next
        continue
      }
      try {
        this.applyFrame(scan.kind, base, at + frameHeaderBytes, scan.end)
      } catch (error) {
        // It is of a level that this release does not know: here reading ends.
        this.position = base + at
        throw error
      }
      at = scan.end
    }
  }

  /**
   * Steps over a damaged record if a sound one follows it; the shapes in it are dropped. `next` is where that one
   * starts, or `at`; `needed` is above zero when more bytes are needed to tell. A record that was not written to its end is where the
   * journal ends: a power cut may leave what came behind it, which was no more synced than that.
   */
  private skipDamaged(
    at: number,
    limit: number,
    mayBeTorn: boolean
  ): { readonly next: number; readonly needed: number } {
    const length = this.buffer.readUInt32LE(at)
    if (length > maxFramePayloadBytes) return { next: at, needed: 0 }
    const end = at + frameHeaderBytes + length
    const following = scanFrame(this.buffer, end, limit)
    if (following._tag === "Short") return { next: at, needed: end - at + following.needed }
    if (following._tag === "Damaged" || (mayBeTorn && isTorn(this.buffer, at, end)))
      return { next: at, needed: 0 }
    this.dropDamaged(this.buffer, at, end)
    return { next: end, needed: 0 }
  }

  private dropDamaged(buffer: Buffer, at: number, end: number | undefined): void {
    const where = `journal segment ${this.epoch}-${this.segment} at byte ${this.position + at}`
    const handles = dropShapesIn(this.store, buffer, at, end)
    this.onDamage(
      `A record is damaged in ${where}. Its shapes are dropped and their clients fetch them again: ${handles.join(", ") || "none"}.`
    )
    this.parts.abandon()
  }

  private applyFrame(kind: number, base: number, at: number, end: number): void {
    const { buffer, segment, store } = this
    if (this.parts.apply(kind, { buffer, at, end, segment, base })) return
    if (kind === recordKind.notice) store.apply(this.created.decode(buffer.subarray(at, end)))
    else if (kind === recordKind.inlineChunk) {
      const id = buffer.readUInt32LE(at)
      store.inlineChunk(id, buffer.readUInt32LE(at + 4), segment, base + at + 8, end - at - 8)
    }
  }

  async close(): Promise<void> {
    this.parts.abandon()
    await this.closeFile()
  }
}

const nothing = new Uint32Array(0)
