import type { LogOffset } from "../../shapes/LogOffset.ts"
import { compareOffsets, snapshotEnd } from "../../shapes/LogOffset.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { handleMicros } from "../../shapes/Handle.ts"
import { sharedClause } from "../../shapes/InternDefinition.ts"
import { type PackedDefinition, packDefinition, unpackDefinition } from "../../shapes/PackedDefinition.ts"
import type { MemberTable } from "../../where/index.ts"
import { baseOf, filesAfter, isMadeByCompaction } from "../records/Compaction.ts"
import type { Compaction } from "../records/CompactionState.ts"
import type { LogFile, SnapshotVisibility } from "../records/Records.ts"
import { logFileEnd } from "../records/Records.ts"
import { dropReasonOf } from "../../telemetry/DropReason.ts"
import type { Dropped, ShapeHandle } from "../ShapeLogs.ts"
import { snapshotOf } from "./KnownSnapshot.ts"
import { asleep, type EntryAt } from "./AsleepEntries.ts"
import type { DormantShapes } from "./DormantShapes.ts"
import type { RunningSnapshot } from "./RunningSnapshot.ts"
import { noChunks, noFiles, type ShapeFields, type SnapshotChunk } from "./ShapeFields.ts"
import type { ShapeTail } from "./ShapeTail.ts"
import { storedRecord } from "./StoredRecord.ts"
import { isContained } from "./SnapshotFilter.ts"
import type { Waiter } from "./Waiters.ts"

const isOne = (chunks: SnapshotChunk | ReadonlyArray<SnapshotChunk>): chunks is SnapshotChunk =>
  "_tag" in chunks

/**
 * Everything one instance knows about a live shape. Changed only by `ShapeStore` and the snapshot's writer.
 *
 * It is awake, and then has its fields as an object, or dormant: then it is this small object and a record
 * (`DormantRecord.ts`). Nobody who asks can tell. Who changes something wakes it, who only looks at it does not. Beside the
 * record stands its tail, which most dormant shapes have none of.
 */
export class ShapeState implements ShapeHandle {
  readonly id: number
  /** The fields, or the place of its record. */
  private state: ShapeFields | number
  private places: DormantShapes | undefined
  private ownTail: ShapeTail | undefined = undefined

  /** `places`: where its record is, if `state` is a place. */
  constructor(id: number, state: ShapeFields | number, places?: DormantShapes) {
    this.id = id
    this.state = state
    this.places = places
  }

  /** One that is new. */
  static made(
    id: number,
    handle: string,
    definition: ShapeDefinition,
    identity: string,
    nowMillis: number
  ): ShapeState {
    const { constants, sql, template } = packDefinition(definition)
    return new ShapeState(id, {
      handle,
      template,
      sql,
      constants,
      identity,
      dropped: false,
      createdAtMillis: nowMillis,
      lastUsedMillis: nowMillis,
      snapshot: undefined,
      filters: false,
      undecided: undefined,
      chunks: noChunks,
      snapshotComplete: false,
      unannounced: false,
      running: undefined,
      compaction: undefined,
      files: noFiles,
      openChunkBytes: 0,
      end: snapshotEnd,
      waiters: undefined,
      touchedBy: 0,
      dirty: true
    })
  }

  // Awake and dormant

  get isDormant(): boolean {
    return typeof this.state === "number"
  }

  /** Its fields, to be looked at. */
  private get own(): ShapeFields {
    const { state } = this
    return typeof state === "number" ? this.record.look(state, this.ownTail) : state
  }

  private get record(): DormantShapes {
    // What is dormant has a place there.
    return this.places as DormantShapes
  }

  /** Its fields, to be changed. */
  private woken(): ShapeFields {
    const { state } = this
    if (typeof state !== "number") return state
    const fields = this.record.look(state, this.ownTail)
    this.record.remove(state)
    this.state = fields
    if (this.ownTail !== undefined) this.ownTail.openBytes = -1
    return fields
  }

  /** It has its fields as an object from now on. */
  wake(): void {
    this.woken()
  }

  /** From now on it is a record in `places`, unless it is in use. True if it is dormant now. */
  sleep(places: DormantShapes): boolean {
    const { state } = this
    if (typeof state === "number") return true
    const bytes = { rows: this.rowFileBytes, log: this.logFileBytes }
    const place = places.addShape(this.id, state, this.ownTail, bytes)
    if (place === undefined) return false
    this.state = place
    this.places = places
    return true
  }

  /**
   * Adds an entry to one that is dormant, of a transaction that it does not have yet, or has another entry of: it stays dormant. Gives
   * `asleep.unsaid` where it has to be woken first, and then nothing has happened.
   */
  receiveAsleep(entry: EntryAt): number {
    const { ownTail, record } = this
    const tail = ownTail ?? record.tails.make()
    const became = record.receive(this.state as number, tail, entry)
    if (became >= asleep.first) this.ownTail = tail
    else if (ownTail === undefined) tail.release()
    return became
  }

  /** See `storedRecord`: `number` is that of its template. */
  stored(number: number): Buffer | undefined {
    return storedRecord(this.id, number, this.own)
  }

  // Fields

  get handle(): string {
    const { state } = this
    return typeof state === "number" ? this.record.handleAt(state) : state.handle
  }
  /** When it was made, as its handle says it; see `handleMicros`. */
  get handleMicros(): number | undefined {
    const { state } = this
    return typeof state === "number" ? this.record.handleMicrosAt(state) : handleMicros(state.handle)
  }
  get identity(): string {
    const { state } = this
    return typeof state === "number" ? this.record.identityAt(state) : state.identity
  }
  get dropped(): Dropped {
    const { state } = this
    return typeof state !== "number" && state.dropped
  }
  set dropped(dropped: Dropped) {
    this.woken().dropped = dropped
  }
  get createdAtMillis(): number {
    const { state } = this
    return typeof state === "number" ? this.record.createdAt(state) : state.createdAtMillis
  }
  get lastUsedMillis(): number {
    const { state } = this
    return typeof state === "number" ? this.record.lastUsedAt(state) : state.lastUsedMillis
  }
  /** That somebody else reads it, as another process tells, is no reason to wake it. */
  set lastUsedMillis(millis: number) {
    const { state } = this
    if (typeof state === "number") this.record.setLastUsed(state, millis)
    else state.lastUsedMillis = millis
  }
  get undecided(): ShapeFields["undecided"] {
    const { state } = this
    return typeof state === "number" ? undefined : state.undecided
  }
  set undecided(undecided: ShapeFields["undecided"]) {
    this.woken().undecided = undecided
  }
  get snapshotComplete(): boolean {
    const { state } = this
    return typeof state === "number" || state.snapshotComplete
  }
  set snapshotComplete(complete: boolean) {
    // A journal that is read again says it again.
    if (complete !== this.snapshotComplete) this.woken().snapshotComplete = complete
  }
  get unannounced(): boolean {
    const { state } = this
    return typeof state !== "number" && state.unannounced
  }
  set unannounced(unannounced: boolean) {
    this.woken().unannounced = unannounced
  }
  get running(): RunningSnapshot | undefined {
    const { state } = this
    return typeof state === "number" ? undefined : state.running
  }
  set running(running: RunningSnapshot | undefined) {
    this.woken().running = running
  }
  get compaction(): Compaction | undefined {
    const { state } = this
    if (typeof state === "number" && !this.record.hasHistoryAt(state)) return undefined
    return this.own.compaction
  }
  set compaction(compaction: Compaction | undefined) {
    this.woken().compaction = compaction
  }
  get files(): ReadonlyArray<LogFile> {
    const { state } = this
    if (typeof state === "number" && !this.record.hasHistoryAt(state)) return noFiles
    return this.own.files
  }
  set files(files: ReadonlyArray<LogFile>) {
    this.woken().files = files
  }
  get openChunkBytes(): number {
    return this.own.openChunkBytes
  }
  set openChunkBytes(bytes: number) {
    this.woken().openChunkBytes = bytes
  }
  get end(): LogOffset {
    const { state } = this
    if (typeof state !== "number") return state.end
    const tail = this.ownTail
    // Asked of all shapes at a takeover.
    if (this.record.isWithoutLogAt(state)) return snapshotEnd
    return tail !== undefined && this.record.endsWithTailAt(state)
      ? tail.offset(tail.count - 1)
      : this.own.end
  }
  set end(end: LogOffset) {
    this.woken().end = end
  }
  get waiters(): Set<Waiter> | undefined {
    const { state } = this
    return typeof state === "number" ? undefined : state.waiters
  }
  set waiters(waiters: Set<Waiter> | undefined) {
    this.woken().waiters = waiters
  }
  get touchedBy(): number {
    const { state } = this
    return typeof state === "number" ? 0 : state.touchedBy
  }
  set touchedBy(mark: number) {
    this.woken().touchedBy = mark
  }
  get dirty(): boolean {
    const { state } = this
    return typeof state === "number" ? this.record.isDirtyAt(state) : state.dirty
  }
  set dirty(dirty: boolean) {
    const { state } = this
    if (typeof state === "number") this.record.setDirty(state, dirty)
    else state.dirty = dirty
  }
  /** Whoever adds to it wakes the shape before. */
  get tail(): ShapeTail | undefined {
    return this.ownTail
  }
  set tail(tail: ShapeTail | undefined) {
    this.woken()
    if (this.ownTail !== tail) this.ownTail?.release()
    this.ownTail = tail
  }

  // Definition

  /** What it has in common with all definitions that differ in the text and the constants of their clauses only. */
  get template(): PackedDefinition["template"] {
    const { state } = this
    return typeof state === "number" ? this.record.templateAt(state) : state.template
  }

  /** It is gone for ever, for a reason as the journal has it. */
  drop(reason: string): void {
    this.dropped = dropReasonOf(reason) === "quota" ? "forRoom" : "gone"
  }

  /** Only Postgres can evaluate its condition. */
  get isDecidedByPostgres(): boolean {
    return sharedClause(this.template)?.classification === "postgres"
  }

  get hasCondition(): boolean {
    const { state } = this
    const hasSql = typeof state === "number" ? this.record.hasSqlAt(state) : state.sql !== undefined
    return hasSql || this.template.common.where !== undefined
  }

  /** `definition` is interned; `identity` is its. */
  redefine(definition: ShapeDefinition, identity: string): void {
    Object.assign(this.woken(), packDefinition(definition), { identity, dirty: true })
  }

  /** Made anew each time it is asked for. */
  get definition(): ShapeDefinition {
    const { state } = this
    return unpackDefinition(typeof state === "number" ? this.record.definitionAt(state) : state)
  }

  /** The definition for those who do not need its clause, which may be left out: nothing is made. */
  get common(): ShapeDefinition {
    return this.template.common
  }

  /** What its condition depends on in the database besides the table; see `WhereClause.uses`. */
  get uses(): ReadonlyArray<string> {
    return sharedClause(this.template)?.uses ?? []
  }

  /** The tables that sub-selects of its condition read; see `WhereClause.members`. */
  get members(): ReadonlyArray<MemberTable> {
    return sharedClause(this.template)?.members ?? []
  }

  /** The first rows can be read, and will stay readable. */
  get readable(): boolean {
    return (
      !this.unannounced &&
      this.visibility !== undefined &&
      (this.snapshotComplete || this.snapshotChunks.length > 0 || this.running?.readable === true)
    )
  }

  get visibility(): SnapshotVisibility | undefined {
    return this.own.snapshot?.visibility
  }

  setVisibility(visibility: SnapshotVisibility): void {
    const fields = this.woken()
    fields.snapshot = snapshotOf(visibility)
    fields.filters = true
    fields.dirty = true
  }

  setChunk(index: number, chunk: SnapshotChunk): void {
    const chunks = this.snapshotChunks.slice()
    chunks[index] = chunk
    this.snapshotChunks = chunks
  }

  get snapshotChunks(): ReadonlyArray<SnapshotChunk> {
    const { chunks } = this.own
    return isOne(chunks) ? [chunks] : chunks
  }

  set snapshotChunks(chunks: ReadonlyArray<SnapshotChunk>) {
    const [first] = chunks
    this.woken().chunks = chunks.length === 1 && first !== undefined ? first : chunks
  }

  /** The chunk of first rows, or of a base, with this index. */
  chunkAt(index: number): SnapshotChunk | undefined {
    if (!isMadeByCompaction(index)) return this.snapshotChunks[index]
    const chunk = baseOf(this.compaction, index)?.chunks.find((known) => known.index === index)
    return chunk === undefined ? undefined : { _tag: "File", bytes: chunk.bytes, crc: chunk.crc }
  }

  /** Of the rows that a client is given first, and of those that they have taken the place of. */
  get rowBytes(): number {
    let bytes = 0
    for (const chunk of this.snapshotChunks) bytes += chunk?.bytes ?? 0
    for (const { chunks } of this.compaction?.bases ?? []) for (const chunk of chunks) bytes += chunk.bytes
    return bytes
  }

  /** See the notice `compacted`. */
  setCompaction(compaction: Compaction, made: ReadonlyArray<LogFile> | undefined): void {
    const fields = this.woken()
    fields.compaction = compaction
    fields.files = filesAfter(compaction, fields.files, made)
    if (!compaction.hasFirstRows) fields.chunks = noChunks
    fields.dirty = true
  }

  /** Adds a log file, or puts it in the place of what was known of it. */
  setFile(file: LogFile): void {
    const at = this.files.findIndex((known) => known.index === file.index)
    // Another one has taken its place: the journal is applied once more, or tells of where it stood meanwhile.
    if (at < 0 && this.files.length > 0 && compareOffsets(logFileEnd(file), this.filesEnd()) <= 0) return
    if (at < 0) this.files = [...this.files, file]
    else if ((this.files[at]?.entries ?? 0) <= file.entries) this.files = this.files.with(at, file)
  }

  /**
   * Whether the log holds the transaction's changes; `undefined` while the snapshot's visibility is unknown. Transaction
   * ids do not tell by themselves: of two that commit at the same time, the one whose record comes first in the WAL may
   * be the one that snapshots show last.
   */
  includes(tx: bigint, xid: number): boolean | undefined {
    const fields = this.own
    const { snapshot } = fields
    if (snapshot === undefined) return undefined
    if (!fields.filters) return true
    const { containedBefore } = snapshot
    if (containedBefore !== undefined && tx >= containedBefore) {
      fields.filters = false
      return true
    }
    return !isContained(snapshot.filter, xid)
  }

  /** The same for a transaction that may come after later ones have been asked about, or once more. */
  includesLate(tx: bigint, xid: number): boolean | undefined {
    const { snapshot } = this.own
    if (snapshot === undefined) return undefined
    const { containedBefore } = snapshot
    return (containedBefore !== undefined && tx >= containedBefore) || !isContained(snapshot.filter, xid)
  }

  /** True when it is known without transaction ids that the log holds all changes from `tx` on. */
  includesAllFrom(tx: bigint): boolean {
    const fields = this.own
    const { snapshot } = fields
    if (snapshot === undefined) return false
    if (fields.filters && snapshot.containedBefore !== undefined && tx >= snapshot.containedBefore)
      fields.filters = false
    return !fields.filters
  }

  /** The end of what has been moved to files; `0_inf` when nothing has. */
  filesEnd(): LogOffset {
    const last = this.files.at(-1)
    return last === undefined ? snapshotEnd : logFileEnd(last)
  }

  /** Bytes of its files with rows, replaced ones included, as far as it knows them: no file is looked at. */
  get rowFileBytes(): number {
    const { state } = this
    if (typeof state === "number") return this.record.fileBytesAt(state).rows
    const { chunks } = state
    if (isOne(chunks) && state.compaction === undefined) return chunks._tag === "File" ? chunks.bytes : 0
    let bytes = this.rowBytes
    for (const chunk of this.snapshotChunks) if (chunk?._tag === "Journal") bytes -= chunk.bytes
    return bytes
  }

  /** The same of its log. */
  get logFileBytes(): number {
    const { state } = this
    if (typeof state === "number") return this.record.fileBytesAt(state).log
    let bytes = 0
    for (const file of state.files) bytes += file.bytes
    return bytes
  }

  /** False where it is known at once that nothing of it stands in the journal. */
  get mayStandInJournal(): boolean {
    const { state } = this
    return this.ownTail !== undefined || typeof state !== "number" || this.record.mayStandInJournal(state)
  }

  /** It has a log, or was compacted. */
  get hasHistory(): boolean {
    const { state } = this
    if (this.ownTail !== undefined) return true
    if (typeof state === "number") return this.record.hasHistoryAt(state)
    return state.files.length > 0 || state.compaction !== undefined
  }

  /** Recomputes what follows from files and tail, after the head of the tail has changed. */
  recount(chunkBytesThreshold: number): void {
    const fields = this.woken()
    const open = fields.files.at(-1)
    fields.openChunkBytes = open === undefined || open.closed ? 0 : open.entryBytes
    fields.end = this.filesEnd()
    const tail = this.ownTail
    if (tail === undefined) return
    for (let i = 0; i < tail.count; i++) {
      fields.openChunkBytes += tail.length(i)
      if (fields.openChunkBytes >= chunkBytesThreshold) {
        tail.markChunkEnd(i)
        fields.openChunkBytes = 0
      }
    }
    if (tail.count > 0) fields.end = tail.offset(tail.count - 1)
  }
}
