import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { Compaction } from "./CompactionState.ts"
import type { StoredSource } from "./StoredSource.ts"

/**
 * What the journal holds. Everything an instance knows about its shapes follows from these records, applied in
 * order; the code that applies them is the same for the active instance, a follower, and recovery.
 */
export const recordKind = {
  /** JSON `Notice`: everything that is rare. */
  notice: 1,
  /** One part of a transaction, binary: see `TransactionPart.ts`. */
  transaction: 2,
  /** A whole snapshot chunk that is too small for a file of its own: u32 shape id, u32 chunk index, bytes. */
  inlineChunk: 3,
  /**
   * The same as a transaction, for shapes that had to wait for it: ordinary ones that commit later may stand before it. For each
   * shape what it already has is no news. From level 3 on.
   */
  lateTransaction: 4
} as const

export interface SnapshotVisibility {
  /** 64-bit transaction ids, as `pg_current_snapshot()` prints them. */
  readonly xmin: string
  readonly xmax: string
  readonly xipList: ReadonlyArray<string>
  /** LSN before which the commit records of all transactions stand that it contains, as far as that is known. */
  readonly containedBefore?: string
}

/**
 * Consecutive bytes of a file of a shape, as they stand in an object `packs/<pack>` of a bucket. Those of one file, one after
 * the other, make up all of it.
 */
export interface Extent {
  readonly pack: string
  /** Position in the pack. */
  readonly at: number
  readonly bytes: number
  readonly crc: number
}

/** One file of a shape's log that holds entries moved out of the journal. */
export interface LogFile {
  readonly index: number
  /** Length of the file: the entries joined with commas. */
  readonly bytes: number
  /** CRC-32 of the file. */
  readonly crc: number
  /** CRC-32 of the index beside it; absent where there is none, see `LogFileIndex.ts`. */
  readonly indexCrc?: number
  readonly entries: number
  /** Sum of the entries' own lengths: what chunk boundaries are decided by. */
  readonly entryBytes: number
  /** Offset of the last entry. */
  readonly endTx: string
  readonly endOp: number
  /** The chunk has reached its size: the file never grows again. */
  readonly closed: boolean
  /** Where it stands in the bucket; absent without one. */
  readonly extents?: ReadonlyArray<Extent>
}

/** A small chunk of first rows that is a file now. */
interface MovedChunk {
  readonly index: number
  readonly bytes: number
  readonly crc: number
  /** Where it stands in the bucket. Absent without one; a chunk that was a file from the beginning is an object of its own. */
  readonly extents?: ReadonlyArray<Extent>
}

/** Commits between these this storage has never had, and somebody may know of; see `LostHistory`. */
export type StoredGap = readonly [after: string, before: string, afterMembers?: string]

export type Notice =
  /** First record of an epoch, with all that its own file says: a power cut may leave either of them. See `EpochRecord`. */
  | {
      readonly t: "epoch"
      readonly epoch: number
      readonly previous: JournalEnd | null
      readonly release?: string
      readonly newest?: number
      readonly before?: ReadonlyArray<{ readonly epoch: number; readonly previous: JournalEnd | null }>
    }
  /** First record of any other segment: the one before it ends at `end`, and not where its bytes seem to end. */
  | { readonly t: "segment"; readonly end: number }
  /** What follows may be of this level, which `release` has raised: a reader that does not know it must not read on. */
  | { readonly t: "level"; readonly level: number; readonly release: string }
  /** Which database and slot the changes come from. A different source makes all shapes worthless. */
  | (StoredSource & {
      readonly t: "source"
      /** Shapes were compared with the database; see `LostHistory`. */
      readonly lost?: StoredGap
    })
  /** The slot is of no use any more: the next holder of the lock makes a new one, and then writes the source again. */
  | { readonly t: "slotLost" }
  | {
      readonly t: "created"
      readonly id: number
      readonly handle: string
      readonly definition: ShapeDefinition
      readonly atMillis: number
      /** Later records of the segment refer to this one by it: see `CreatedLike`. */
      readonly number?: number
    }
  /**
   * The shape follows another table than before, or the same otherwise, and its readers do not notice. Releases that do not know
   * of it start over with the source that follows.
   */
  | { readonly t: "redefined"; readonly id: number; readonly definition: ShapeDefinition }
  /** The snapshot's transaction is known; changes of transactions it contains are not part of the log. */
  | { readonly t: "visible"; readonly id: number; readonly visibility: SnapshotVisibility }
  /** A snapshot chunk is whole and durable in its file. */
  | {
      readonly t: "chunk"
      readonly id: number
      readonly index: number
      readonly bytes: number
      readonly crc: number
    }
  | { readonly t: "complete"; readonly id: number; readonly chunks: number }
  | { readonly t: "dropped"; readonly ids: ReadonlyArray<number>; readonly reason: string }
  /** All shapes are dropped. */
  | { readonly t: "purged"; readonly reason: string }
  /** The log entries of these shapes that stood in `segment` are now durable in their log files. */
  | {
      readonly t: "moved"
      readonly segment: number
      readonly shapes: ReadonlyArray<{
        readonly id: number
        readonly files: ReadonlyArray<LogFile>
        /** Inline snapshot chunks that are files now. */
        readonly chunks: ReadonlyArray<MovedChunk>
      }>
    }
  /**
   * What compaction has made of a shape is this from now on, and is durable. `files`: folded log files, which take the place of
   * those up to `compaction.folded`. From level 3 on.
   */
  | {
      readonly t: "compacted"
      readonly id: number
      readonly compaction: Compaction
      readonly files?: ReadonlyArray<LogFile>
    }
  /** Nothing for any shape up to `lsn`: written before `lsn` is acknowledged. `xids` as in `passed`. */
  | { readonly t: "position"; readonly lsn: string; readonly xids?: ReadonlyArray<number> }
  /**
   * Transactions that concerned no shape. They are never sent again, and may still be invisible to snapshots: the writer
   * that makes the next shape has to know of them.
   */
  | { readonly t: "passed"; readonly xids: ReadonlyArray<number> }
  /**
   * Shapes with sub-selects have everything up to `lsn` and nothing for certain beyond, whatever other records say, and their
   * entries follow in late transactions; `null`: they have everything that all others have. From level 3 on.
   */
  | { readonly t: "behind"; readonly lsn: string | null }
  /**
   * The same holds for these shapes, which have no sub-selects, for as long as some are behind: their table was truncated. Stands
   * behind a `behind`, and before any transaction that they lack.
   */
  | { readonly t: "late"; readonly ids: ReadonlyArray<number> }
  /** The ordinary transaction that is open has nothing for these shapes, whatever its parts say. From level 3 on. */
  | { readonly t: "retracted"; readonly ids: ReadonlyArray<number> }

/** Whether the stream of changes, read once more, brings about what the notice says: then nobody minds if it is lost. */
export const isReproducible = ({ t }: Notice): boolean =>
  t === "position" ||
  t === "passed" ||
  t === "segment" ||
  t === "epoch" ||
  t === "behind" ||
  t === "late" ||
  t === "retracted"

/**
 * How a `created` notice stands in the journal when its definition is that of an earlier record of the same segment, but
 * for the text and the constants of its clause. Made and read by `CreatedRecords.ts`.
 */
export interface CreatedLike {
  readonly t: "createdLike"
  readonly id: number
  readonly handle: string
  readonly atMillis: number
  /** The `number` of that record. */
  readonly like: number
  readonly sql?: string
  readonly constants?: ReadonlyArray<string>
}

/** The end of an epoch's journal: everything after it is ignored by everyone. */
export interface JournalEnd {
  readonly epoch: number
  readonly segment: number
  readonly position: number
}

export const encodeNotice = (notice: Notice | CreatedLike): Buffer =>
  Buffer.from(JSON.stringify(notice), "utf8")

/** The caller has verified the checksum, so the payload is what was written. */
export const decodeNotice = (payload: Buffer): Notice | CreatedLike =>
  JSON.parse(payload.toString("utf8")) as Notice | CreatedLike

export const logFileEnd = (file: LogFile): LogOffset => ({ tx: BigInt(file.endTx), op: file.endOp })
