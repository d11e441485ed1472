import type { LogOffset } from "../../shapes/LogOffset.ts"
import { snapshotEnd } from "../../shapes/LogOffset.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { type PackedDefinition, packDefinition, unpackDefinition } from "../../shapes/PackedDefinition.ts"
import type { MemberTable, WhereClause } from "../../where/index.ts"
import type { Extent, LogFile, SnapshotVisibility } from "../records/Records.ts"
import { logFileEnd } from "../records/Records.ts"
import type { RunningSnapshot } from "./RunningSnapshot.ts"
import type { ShapeHandle } from "../ShapeLogs.ts"
import type { ShapeTail } from "./ShapeTail.ts"
import { isContained, type SnapshotFilter, snapshotFilter } from "./SnapshotFilter.ts"
import type { Waiter } from "./Waiters.ts"

/** Where a whole snapshot chunk is: in its file, or still in the journal. */
type SnapshotChunk =
  | {
      readonly _tag: "File"
      readonly bytes: number
      readonly crc: number
      /** Where in packs of the bucket it stands; without them it is an object of its own, if there is a bucket. */
      readonly extents?: ReadonlyArray<Extent>
    }
  | { readonly _tag: "Journal"; readonly segment: number; readonly position: number; readonly bytes: number }

/** What is known of a snapshot. Shapes that are made at the same time share it. */
interface Snapshot {
  readonly visibility: SnapshotVisibility
  readonly filter: SnapshotFilter
  readonly containedBefore: bigint | undefined
}

let latest: Snapshot | undefined

const snapshotOf = (visibility: SnapshotVisibility): Snapshot => {
  if (latest !== undefined && isSame(latest.visibility, visibility)) return latest
  const { containedBefore } = visibility
  latest = {
    visibility,
    filter: snapshotFilter(visibility),
    containedBefore: containedBefore === undefined ? undefined : BigInt(containedBefore)
  }
  return latest
}

const isSame = (a: SnapshotVisibility, b: SnapshotVisibility): boolean =>
  a.xmin === b.xmin &&
  a.xmax === b.xmax &&
  a.containedBefore === b.containedBefore &&
  a.xipList.join() === b.xipList.join()

/** Those of nearly all shapes, most of the time. */
const noChunks: ReadonlyArray<SnapshotChunk> = []
const noFiles: ReadonlyArray<LogFile> = []

const isOne = (chunks: SnapshotChunk | ReadonlyArray<SnapshotChunk>): chunks is SnapshotChunk =>
  "_tag" in chunks

/** Everything one instance knows about a live shape. Changed only by `ShapeStore` and the snapshot's writer. */
export class ShapeState implements ShapeHandle {
  readonly id: number
  readonly handle: string
  private readonly template: PackedDefinition["template"]
  private readonly sql: PackedDefinition["sql"]
  private readonly constants: PackedDefinition["constants"]
  /** Digest of `shapeIdentity(definition)`. */
  readonly identity: string
  dropped = false
  createdAtMillis: number
  lastUsedMillis: number

  private snapshot: Snapshot | undefined = undefined
  /** Transactions contained in the snapshot may still come. */
  private filters = false
  /** Transactions seen before the snapshot's visibility was known. */
  undecided: Array<{ readonly tx: bigint; readonly xid: number }> | undefined = undefined

  /** One alone stands without a list. */
  private chunks: SnapshotChunk | ReadonlyArray<SnapshotChunk> = noChunks
  snapshotComplete = false
  /** This process is making the shape, and nobody may be told of it yet: its creation is not known to be durable. */
  unannounced = false
  /** The snapshot that this process is writing. */
  running: RunningSnapshot | undefined = undefined

  files: ReadonlyArray<LogFile> = noFiles
  tail: ShapeTail | undefined = undefined
  /** Raw bytes of entries since the last chunk boundary. */
  openChunkBytes = 0
  end: LogOffset = snapshotEnd

  waiters: Set<Waiter> | undefined = undefined
  /** Mark used while a transaction is applied: each touched shape is listed once. */
  touchedBy = 0
  /** Changed since the last checkpoint. */
  dirty = true

  get hasCondition(): boolean {
    return this.sql !== undefined || this.template.common.where !== undefined
  }

  constructor(id: number, handle: string, definition: ShapeDefinition, identity: string, nowMillis: number) {
    this.id = id
    this.handle = handle
    const { constants, sql, template } = packDefinition(definition)
    this.template = template
    this.sql = sql
    this.constants = constants
    this.identity = identity
    this.createdAtMillis = nowMillis
    this.lastUsedMillis = nowMillis
  }

  /** Made anew each time it is asked for. */
  get definition(): ShapeDefinition {
    const { constants, sql, template } = this
    return unpackDefinition({ constants, sql, template })
  }

  /** The definition for those who do not need its clause, which may be left out: nothing is made. */
  get common(): ShapeDefinition {
    return this.template.common
  }

  /** What its condition depends on in the database besides the table; see `WhereClause.uses`. */
  get uses(): ReadonlyArray<string> {
    return this.sharedClause?.uses ?? []
  }

  /** The tables that sub-selects of its condition read; see `WhereClause.members`. */
  get members(): ReadonlyArray<MemberTable> {
    return this.sharedClause?.members ?? []
  }

  private get sharedClause(): Pick<WhereClause, "uses" | "members"> | undefined {
    return this.template.form?.clause ?? this.template.common.where
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
    return this.snapshot?.visibility
  }

  setVisibility(visibility: SnapshotVisibility): void {
    this.snapshot = snapshotOf(visibility)
    this.filters = true
    this.dirty = true
  }

  setChunk(index: number, chunk: SnapshotChunk): void {
    const chunks = this.snapshotChunks.slice()
    chunks[index] = chunk
    this.snapshotChunks = chunks
  }

  get snapshotChunks(): ReadonlyArray<SnapshotChunk> {
    const { chunks } = this
    return isOne(chunks) ? [chunks] : chunks
  }

  set snapshotChunks(chunks: ReadonlyArray<SnapshotChunk>) {
    const [first] = chunks
    this.chunks = chunks.length === 1 && first !== undefined ? first : chunks
  }

  /** Adds a log file, or puts it in the place of what was known of it. */
  setFile(file: LogFile): void {
    const at = this.files.findIndex((known) => known.index === file.index)
    if (at < 0) this.files = [...this.files, file]
    else if ((this.files[at]?.entries ?? 0) <= file.entries) this.files = this.files.with(at, file)
  }

  /**
   * Whether the log holds the transaction's changes; `undefined` while the snapshot's visibility is unknown. Transaction
   * ids do not tell by themselves: of two that commit at the same time, the one whose record comes first in the WAL may
   * be the one that snapshots show last.
   */
  includes(tx: bigint, xid: number): boolean | undefined {
    const { snapshot } = this
    if (snapshot === undefined) return undefined
    if (!this.filters) return true
    const { containedBefore } = snapshot
    if (containedBefore !== undefined && tx >= containedBefore) {
      this.filters = false
      return true
    }
    return !isContained(snapshot.filter, xid)
  }

  /** The same for a transaction that may come after later ones have been asked about, or once more. */
  includesLate(tx: bigint, xid: number): boolean | undefined {
    const { snapshot } = this
    if (snapshot === undefined) return undefined
    const { containedBefore } = snapshot
    return (containedBefore !== undefined && tx >= containedBefore) || !isContained(snapshot.filter, xid)
  }

  /** True when it is known without transaction ids that the log holds all changes from `tx` on. */
  includesAllFrom(tx: bigint): boolean {
    const { snapshot } = this
    if (snapshot === undefined) return false
    if (this.filters && snapshot.containedBefore !== undefined && tx >= snapshot.containedBefore)
      this.filters = false
    return !this.filters
  }

  /** The end of what has been moved to files; `0_inf` when nothing has. */
  filesEnd(): LogOffset {
    const last = this.files.at(-1)
    return last === undefined ? snapshotEnd : logFileEnd(last)
  }

  /** Recomputes what follows from files and tail, after the head of the tail has changed. */
  recount(chunkBytesThreshold: number): void {
    const open = this.files.at(-1)
    this.openChunkBytes = open === undefined || open.closed ? 0 : open.entryBytes
    this.end = this.filesEnd()
    const tail = this.tail
    if (tail === undefined) return
    for (let i = 0; i < tail.count; i++) {
      this.openChunkBytes += tail.length(i)
      if (this.openChunkBytes >= chunkBytesThreshold) {
        tail.markChunkEnd(i)
        this.openChunkBytes = 0
      }
    }
    if (tail.count > 0) this.end = tail.offset(tail.count - 1)
  }
}
