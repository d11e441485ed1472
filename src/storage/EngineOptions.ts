import type { Effect } from "effect"
import type { ObjectStore } from "../bucket/ObjectStore.ts"
import type { BucketStatus } from "./BucketStatus.ts"
import type { Durability } from "./durability/Durability.ts"
import type { LevelRange } from "./levels/Levels.ts"
import type { WrittenChain } from "./packs/BucketCollector.ts"
import type { StoragePaths } from "./disk/StorageDir.ts"
import type { Timers } from "../shared/Timers.ts"

export interface EngineOptions {
  readonly paths: StoragePaths
  readonly chunkBytesThreshold: number
  readonly segmentBytes: number
  /** Of this release; another one's in tests. */
  readonly levels?: LevelRange
  /** Memory for the latest bytes of the journal. */
  readonly recentBytes: number
  /** What is written is synced. False for storage that is to vanish with the process, or that is only a copy. */
  readonly durableWrites: boolean
  /** Absent: the directory is all there is, and instances may share it. */
  readonly durability?: Durability
  /** A position is recorded this often while nothing comes that concerns a shape; absent: every second. */
  readonly positionMillis?: number
  /** New storage has the newest level at once: no older release will ever read it. */
  readonly startsAtNewestLevel?: boolean
  /** The directory goes with the process. */
  readonly removeOnClose: boolean
  /** All of storage stands there, and files of shapes in the directory are copies. */
  readonly bucket?: ObjectStore
  /** How the bucket stands; absent where another process writes there. */
  readonly bucketStatus?: BucketStatus
  /** What counts, where storage stands in a bucket: what nobody needs there any more is collected by its writer. */
  readonly chain?: WrittenChain
  /** So much may copies of shapes' files take; without it another process looks after that. */
  readonly cacheBytes?: number
  readonly run: (effect: Effect.Effect<void>) => void
  readonly timers?: Timers
}

export interface TakenOver {
  /** Handles of the shapes that were dropped because nobody can finish their snapshots. */
  readonly droppedIncomplete: ReadonlyArray<string>
}
