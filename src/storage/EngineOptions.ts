import type { Effect } from "effect"
import type { LevelRange } from "./levels/Levels.ts"
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
  /** False for storage that is to vanish with the process. */
  readonly durableWrites: boolean
  /** The directory goes with the process. */
  readonly removeOnClose: boolean
  readonly run: (effect: Effect.Effect<void>) => void
  readonly timers?: Timers
}

export interface TakenOver {
  /** Handles of the shapes that were dropped because nobody can finish their snapshots. */
  readonly droppedIncomplete: ReadonlyArray<string>
}
