import { compareOffsets, type LogOffset } from "../../shapes/LogOffset.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { internDefinition } from "../../shapes/InternDefinition.ts"
import type { ShapesByTable } from "../../shapes/ShapesByTable.ts"
import { identityDigest } from "./IdentityDigest.ts"
import { applyMove } from "./ApplyMove.ts"
import type { DormantShapes } from "./DormantShapes.ts"
import { decidedEntries, includedIn } from "./IncludedEntries.ts"
import { KnownShapes } from "./KnownShapes.ts"
import { LostHistory } from "./LostHistory.ts"
import { PendingItems } from "./PendingItems.ts"
import { EntryPlace, placeItems, type Places, TouchedShapes } from "./PlaceItems.ts"
import { RecentXids } from "./RecentXids.ts"
import { ownLevels, unsaidLevel } from "../levels/Levels.ts"
import { StorageTooNew } from "../levels/StorageTooNew.ts"
import type { Notice } from "../records/Records.ts"
import { decodeSource, startsHistory, type StreamSource } from "../records/StoredSource.ts"
import { ShapeState } from "./ShapeState.ts"
import { ShapeTail } from "./ShapeTail.ts"
import type { Waiter, Waiters } from "./Waiters.ts"

/**
 * All live shapes and their logs' positions, as they follow from the records applied so far. The one place where
 * records take effect: on the active instance while it composes them, on a follower and in recovery while they are read.
 */
export class ShapeStore {
  private known = new KnownShapes()
  readonly recentXids = new RecentXids()
  private readonly pending = new PendingItems()
  private readonly pendingLate = new PendingItems()
  private readonly touched = new TouchedShapes()

  /** The level of what is stored, see `levels/Levels.ts`: the highest that anything stored has spoken of. */
  level: number = unsaidLevel
  nextId = 1
  source: StreamSource | undefined = undefined
  /** The source's slot was found to be of no use. */
  slotIsLost = false
  /** Commit LSN of the last transaction applied; a transaction at or below it has been seen before. */
  lastCommitLsn = 0n
  /** Its id, as far as that is known. */
  lastCommitXid: number | undefined = undefined
  /** Everything up to here is in the journal, or concerns no shape. */
  positionLsn = 0n
  /** Shapes with sub-selects have everything up to here, and what follows is still to come; `undefined`: they have all of it. */
  behindLsn: bigint | undefined = undefined
  /** Shapes without sub-selects of which the same is so, by their ids. Empty while none is behind. */
  readonly lateIds = new Set<number>()
  /** How often a shape was given another definition. */
  redefinitions = 0
  /** They are woken whenever that changes. */
  readonly behindWaiters = new Set<Waiter>()
  readonly lostHistory = new LostHistory()
  /** Entries that stand in the journal, over all shapes, by segment. */
  readonly entriesBySegment = new Map<number, number>()
  readonly removed: Array<ShapeState> = []
  /** Entries of this segment, and of those before it, stand in log files. */
  movedSegment = 0

  private readonly newestLevel: number
  private readonly waiters: Waiters
  readonly chunkBytesThreshold: number
  private readonly onDropped: (shape: ShapeState, reason: string) => void
  private readonly onDisorder: (shape: ShapeState) => void
  /** Shapes that the transaction at hand would put out of order. */
  private readonly disordered = new Set<ShapeState>()
  private readonly places: Places

  constructor(options: {
    readonly waiters: Waiters
    readonly chunkBytesThreshold: number
    /** The highest level that this release reads. */
    readonly newestLevel?: number
    readonly onDropped?: (shape: ShapeState, reason: string) => void
    /** Entries came that do not follow those that the shape has, so it was dropped. */
    readonly onDisorder?: (shape: ShapeState) => void
  }) {
    this.waiters = options.waiters
    this.newestLevel = options.newestLevel ?? ownLevels.newest
    this.chunkBytesThreshold = options.chunkBytesThreshold
    this.onDropped = options.onDropped ?? (() => {})
    this.onDisorder = options.onDisorder ?? (() => {})
    this.places = {
      get: (id) => this.known.get(id),
      // An id in the journal is never given out again, even if nothing else is known of its shape.
      unknown: (id) => {
        if (id >= this.nextId) this.nextId = id + 1
      },
      touched: this.touched,
      disordered: this.disordered
    }
  }

  /** Everything up to here is in the journal for every shape, or concerns none: the stream goes on from here. */
  get resumeLsn(): bigint {
    const { behindLsn, positionLsn } = this
    return behindLsn !== undefined && behindLsn < positionLsn ? behindLsn : positionLsn
  }

  /** Between positions of the source and those of the journal; see `Lsn`. */
  get shift(): bigint {
    return this.source?.shift ?? 0n
  }

  /** What is kept of dormant shapes. */
  get dormant(): DormantShapes {
    return this.known.dormant
  }
  /** Given to an empty store. */
  fill(known: KnownShapes): void {
    this.known = known
    this.nextId = Math.max(this.nextId, known.highestId + 1)
  }
  /** Those that were last used before then, and are in use by nobody, become dormant. */
  sleep(beforeMillis = Infinity): void {
    if (this.dormant.count === this.count) return
    for (const shape of this.all()) if (shape.lastUsedMillis < beforeMillis) shape.sleep(this.dormant)
  }
  get count(): number {
    return this.known.count
  }
  all(fromId = 0): Generator<ShapeState, undefined> {
    return this.known.all(fromId)
  }
  get(id: number): ShapeState | undefined {
    return this.known.get(id)
  }
  byHandle(handle: string): ShapeState | undefined {
    return this.known.byHandle(handle)
  }
  byIdentity(identity: string): ShapeState | undefined {
    return this.known.byIdentity(identity)
  }
  get byTable(): ShapesByTable<ShapeState> {
    return this.known.byTable
  }
  /** Those whose first rows are not all there. */
  get unfinished(): ReadonlySet<ShapeState> {
    return this.known.unfinished
  }
  /** No handle that was ever known says that its shape was made after this; see `handleMicros`. */
  get newestMicros(): number {
    return this.known.newestMicros
  }

  /** Adds a shape that is not there yet; a known id is left as it is (records may be applied again). */
  create(id: number, handle: string, definition: ShapeDefinition, nowMillis: number): ShapeState {
    const known = this.known.get(id)
    if (known !== undefined) return known
    const interned = internDefinition(definition)
    const shape = ShapeState.made(id, handle, interned, identityDigest(interned), nowMillis)
    this.insert(shape)
    return shape
  }

  private insert(shape: ShapeState): void {
    this.known.add(shape)
    if (shape.id >= this.nextId) this.nextId = shape.id + 1
  }

  private redefine(shape: ShapeState, definition: ShapeDefinition): void {
    const interned = internDefinition(definition)
    this.redefinitions++
    this.known.redefine(shape, () => shape.redefine(interned, identityDigest(interned)))
  }

  drop(id: number, reason: string): ShapeState | undefined {
    const shape = this.known.get(id)
    if (shape === undefined) return undefined
    shape.wake()
    this.known.remove(shape)
    this.forgetTail(shape)
    shape.drop(reason)
    this.removed.push(shape)
    if (shape.waiters !== undefined) this.waiters.wake(shape.waiters, "dropped")
    shape.running?.advanced()
    this.onDropped(shape, reason)
    return shape
  }

  private forgetTail(shape: ShapeState): void {
    const tail = shape.tail
    if (tail === undefined) return
    for (let i = 0; i < tail.count; i++) this.countEntries(tail.segment(i), -1)
    shape.tail = undefined
  }

  private countEntries(segment: number, change: number): void {
    const next = (this.entriesBySegment.get(segment) ?? 0) + change
    if (next > 0) this.entriesBySegment.set(segment, next)
    else this.entriesBySegment.delete(segment)
  }

  /** The snapshot's transaction is known: forgets entries of transactions that it contains. */
  setVisibility(shape: ShapeState, visibility: Extract<Notice, { t: "visible" }>["visibility"]): void {
    if (shape.visibility !== undefined) return
    shape.setVisibility(visibility)
    const undecided = shape.undecided
    shape.undecided = undefined
    const tail = shape.tail
    if (undecided === undefined || tail === undefined) return
    const kept = decidedEntries(shape, tail, undecided, (segment) => this.countEntries(segment, -1))
    shape.tail = kept.count > 0 ? kept : undefined
    shape.recount(this.chunkBytesThreshold)
  }

  /** What follows may be of this level. Throws `StorageTooNew` where this release does not know it. */
  reachLevel(level: number, release?: string): void {
    if (level > this.newestLevel) throw new StorageTooNew(level, this.newestLevel, release)
    if (level > this.level) this.level = level
  }

  /** Applies a notice that was read from, or just written to, the journal. */
  apply(notice: Notice): void {
    switch (notice.t) {
      case "epoch":
      case "segment":
        return
      case "level":
        this.reachLevel(notice.level, notice.release)
        return
      case "source":
        if (startsHistory(this.source, notice)) this.recentXids.forget()
        this.source = decodeSource(notice)
        this.slotIsLost = false
        if (notice.lost !== undefined) this.lostHistory.add(notice.lost)
        return
      case "slotLost":
        this.slotIsLost = true
        return
      case "created":
        this.create(notice.id, notice.handle, notice.definition, notice.atMillis)
        return
      case "redefined": {
        const shape = this.known.get(notice.id)
        if (shape !== undefined) this.redefine(shape, notice.definition)
        return
      }
      case "visible": {
        const shape = this.known.get(notice.id)
        if (shape !== undefined) this.setVisibility(shape, notice.visibility)
        return
      }
      case "chunk": {
        const shape = this.known.get(notice.id)
        if (shape === undefined) return
        shape.setChunk(notice.index, { _tag: "File", bytes: notice.bytes, crc: notice.crc })
        shape.dirty = true
        this.wake(shape)
        return
      }
      case "complete": {
        const shape = this.known.get(notice.id)
        if (shape === undefined) return
        shape.snapshotComplete = true
        this.known.unfinished.delete(shape)
        shape.dirty = true
        this.wake(shape)
        return
      }
      case "dropped":
        for (const id of notice.ids) {
          this.drop(id, notice.reason)
          // Where the record of its creation was damaged, this one says that there was a shape.
          if (id >= this.nextId) this.nextId = id + 1
        }
        return
      case "purged":
        for (const id of Array.from(this.known.all(), (shape) => shape.id)) this.drop(id, notice.reason)
        this.reachBehind(null)
        return
      case "moved":
        this.movedSegment = Math.max(this.movedSegment, notice.segment)
        for (const moved of notice.shapes) {
          const shape = this.known.get(moved.id)
          if (shape === undefined) continue
          applyMove(shape, moved, notice.segment, this, (segment) => this.countEntries(segment, -1))
        }
        return
      case "compacted":
        this.known.get(notice.id)?.setCompaction(notice.compaction, notice.files)
        return
      case "position": {
        const lsn = BigInt(notice.lsn)
        if (lsn > this.positionLsn) this.positionLsn = lsn
        for (const xid of notice.xids ?? []) this.recentXids.push(xid)
        return
      }
      case "passed":
        for (const xid of notice.xids) this.recentXids.push(xid)
        return
      case "behind":
        this.reachBehind(notice.lsn)
        return
      case "late":
        return notice.ids.forEach((id) => void this.lateIds.add(id))
      case "retracted":
        for (const id of notice.ids) this.pending.retracted.add(id)
    }
  }

  private reachBehind(lsn: string | null): void {
    this.behindLsn = lsn === null ? undefined : BigInt(lsn)
    if (lsn === null) this.lateIds.clear()
    this.waiters.wake(this.behindWaiters, "changed")
  }

  inlineChunk(id: number, index: number, segment: number, position: number, bytes: number): void {
    const shape = this.known.get(id)
    if (shape === undefined || shape.snapshotChunks[index]?._tag === "File") return
    shape.setChunk(index, { _tag: "Journal", segment, position, bytes })
    shape.dirty = true
  }

  /** One message of an open transaction, for the shapes in `ids[from .. from + shapes]`. */
  item(
    op: number,
    position: number,
    length: number,
    ids: Uint32Array,
    from: number,
    shapes: number,
    isLate = false
  ): void {
    const pending = isLate ? this.pendingLate : this.pending
    pending.add(op, position, length, ids, from, shapes)
  }

  itemFromBuffer(
    op: number,
    position: number,
    length: number,
    buffer: Buffer,
    idsAt: number,
    shapes: number,
    isLate = false
  ): void {
    const pending = isLate ? this.pendingLate : this.pending
    pending.addFromBuffer(op, position, length, buffer, idsAt, shapes)
  }

  /** True when the open transaction has something for a shape. */
  get hasPending(): boolean {
    return this.pending.items > 0
  }
  get hasPendingLate(): boolean {
    return this.pendingLate.items > 0
  }

  /** Shapes for which something stands in the transactions that are open. */
  pendingIds(): ReadonlyArray<number> {
    return [...this.pending.shapeIds(), ...this.pendingLate.shapeIds()]
  }

  abandon(): void {
    this.pending.clear()
  }
  abandonLate(): void {
    this.pendingLate.clear()
  }

  /** Makes the open transaction visible: all of it at once, for every shape. */
  commit(commitLsn: bigint, endLsn: bigint, xid: number, segment: number): void {
    this.place(this.pending, commitLsn, xid, segment, false)
    this.reached(commitLsn, endLsn, xid)
    this.show(commitLsn)
  }

  /**
   * Makes the open late transaction visible. It says nothing of how far the journal has got, and shapes that have its commit
   * or a later one already, because the stream was read once more, stay as they are.
   */
  commitLate(commitLsn: bigint, xid: number, segment: number): void {
    this.place(this.pendingLate, commitLsn, xid, segment, true)
    this.show(commitLsn)
  }

  private place(
    pending: PendingItems,
    commitLsn: bigint,
    xid: number,
    segment: number,
    isLate: boolean
  ): void {
    const entries = placeItems(
      pending,
      new EntryPlace(commitLsn, xid, segment, this.chunkBytesThreshold),
      isLate,
      this.places
    )
    pending.clear()
    if (entries > 0) this.countEntries(segment, entries)
  }

  /** What has been placed is there for readers. */
  private show(commitLsn: bigint): void {
    const { touched } = this
    let end: LogOffset = { tx: commitLsn, op: 0 }
    for (let i = 0; i < touched.count; i++) {
      const shape = touched.at(i)
      const tail = shape.tail
      if (tail === undefined) continue
      tail.markLast(tail.count - 1)
      // It ends where its tail does, and nobody waits for it.
      if (shape.isDormant) continue
      const op = tail.op(tail.count - 1)
      // One for all shapes of which it is the last row.
      if (op !== end.op) end = { tx: commitLsn, op }
      shape.end = end
      this.wake(shape)
    }
    touched.clear()
    if (this.disordered.size > 0) this.reportDisorder()
  }

  private reportDisorder(): void {
    const shapes = Array.from(this.disordered)
    this.disordered.clear()
    for (const shape of shapes) if (!shape.dropped) this.dropDisordered(shape)
  }

  private dropDisordered(shape: ShapeState): void {
    this.drop(shape.id, "its log is out of order")
    this.onDisorder(shape)
  }

  /**
   * What committing the transactions of a whole segment, in order, comes to for one shape, whose entries these are. Those of
   * late ones it may have already. `xidOf` is only asked when its snapshot may contain some of them.
   */
  adopt(
    id: number,
    segment: number,
    entries: ShapeTail,
    hasLate: boolean,
    xidOf: (tx: bigint) => number
  ): void {
    const shape = this.known.get(id)
    if (shape === undefined) {
      if (id >= this.nextId) this.nextId = id + 1
      return
    }
    let from = 0
    if (hasLate) from = entries.firstAfter({ tx: shape.end.tx, op: Infinity })
    else if (shape.tail === undefined && shape.files.length > 0)
      from = entries.firstAfter({ tx: shape.filesEnd().tx, op: Infinity })
    let added = entries
    if (from < entries.count && !shape.includesAllFrom(entries.tx(from))) {
      added = includedIn(shape, entries, from, xidOf)
      from = 0
    }
    if (from === added.count) return
    shape.wake()
    const tail = (shape.tail ??= new ShapeTail())
    const first = tail.count
    if (first > 0 && compareOffsets(added.offset(from), tail.offset(first - 1)) <= 0)
      return this.dropDisordered(shape)
    tail.append(added, from, added.count)
    this.countEntries(segment, added.count - from)
    const { chunkBytesThreshold } = this
    let { openChunkBytes } = shape
    for (let i = first; i < tail.count; i++) {
      openChunkBytes += tail.length(i)
      if (openChunkBytes < chunkBytesThreshold) continue
      tail.markChunkEnd(i)
      openChunkBytes = 0
    }
    shape.openChunkBytes = openChunkBytes
    shape.end = tail.offset(tail.count - 1)
    this.wake(shape)
  }

  /** Everything up to these positions is in the journal. */
  reached(lastCommitLsn: bigint, positionLsn: bigint, xid?: number): void {
    if (lastCommitLsn > this.lastCommitLsn) {
      this.lastCommitLsn = lastCommitLsn
      this.lastCommitXid = xid
    }
    if (positionLsn > this.positionLsn) this.positionLsn = positionLsn
  }

  wake(shape: ShapeState): void {
    if (shape.waiters !== undefined && shape.waiters.size > 0) this.waiters.wake(shape.waiters, "changed")
  }
}
