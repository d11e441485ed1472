import type { Dropped } from "../ShapeLogs.ts"
import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { PackedDefinition } from "../../shapes/PackedDefinition.ts"
import type { Compaction } from "../records/CompactionState.ts"
import type { Extent, LogFile } from "../records/Records.ts"
import type { KnownSnapshot } from "./KnownSnapshot.ts"
import type { RunningSnapshot } from "./RunningSnapshot.ts"
import type { Waiter } from "./Waiters.ts"

/** Where a whole snapshot chunk is: in its file, or still in the journal. */
export type SnapshotChunk =
  | {
      readonly _tag: "File"
      readonly bytes: number
      readonly crc: number
      /** Where in packs of the bucket it stands; without them it is an object of its own, if there is a bucket. */
      readonly extents?: ReadonlyArray<Extent>
    }
  | { readonly _tag: "Journal"; readonly segment: number; readonly position: number; readonly bytes: number }

/** Those of nearly all shapes, most of the time. */
export const noChunks: ReadonlyArray<SnapshotChunk> = []
export const noFiles: ReadonlyArray<LogFile> = []

/** What is known of a shape that is awake. */
export interface ShapeFields extends PackedDefinition {
  readonly handle: string
  template: PackedDefinition["template"]
  sql: PackedDefinition["sql"]
  constants: PackedDefinition["constants"]
  /** Digest of `shapeIdentity(definition)`. */
  identity: string
  dropped: Dropped
  createdAtMillis: number
  lastUsedMillis: number
  snapshot: KnownSnapshot | undefined
  /** Transactions contained in the snapshot may still come. */
  filters: boolean
  /** Transactions seen before the snapshot's visibility was known. */
  undecided: Array<{ readonly tx: bigint; readonly xid: number }> | undefined
  /** One alone stands without a list. */
  chunks: SnapshotChunk | ReadonlyArray<SnapshotChunk>
  snapshotComplete: boolean
  /** This process is making the shape, and nobody may be told of it yet: its creation is not known to be durable. */
  unannounced: boolean
  /** The snapshot that this process is writing. */
  running: RunningSnapshot | undefined
  /** What compaction has made of it, if anything. */
  compaction: Compaction | undefined
  files: ReadonlyArray<LogFile>
  /** Raw bytes of entries since the last chunk boundary. */
  openChunkBytes: number
  end: LogOffset
  waiters: Set<Waiter> | undefined
  /** Mark used while a transaction is applied: each touched shape is listed once. */
  touchedBy: number
  /** Changed since the last checkpoint. */
  dirty: boolean
}
