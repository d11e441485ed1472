import { join } from "node:path"
import { Effect, Schema } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { StoredGap } from "../records/Records.ts"
import type { StoredSource } from "../records/StoredSource.ts"
import { make } from "./SqliteClient.ts"

/** The checkpoint cannot be read or written now. Shapes are safe: the journal holds what the checkpoint lacks. */
export class CheckpointError extends Schema.TaggedError<CheckpointError>()("CheckpointError", {
  message: Schema.String
}) {}

/**
 * What a checkpoint says besides the shapes: the journal is to be applied from the beginning of `segment` on. The
 * shapes may be newer than that; applying records again changes nothing.
 */
export interface CheckpointHead {
  readonly epoch: number
  readonly segment: number
  readonly nextId: number
  /** As of the end of the segment before `segment`. */
  readonly lastCommitLsn: string
  readonly positionLsn: string
  /** Absent where shapes with sub-selects are where all others are, see the notice `behind`. */
  readonly behindLsn?: string
  /** See the notice `late`; left out where it names none. */
  readonly lateIds?: ReadonlyArray<number>
  readonly source: StoredSource | null
  /** See `LostHistory`; left out where there is none. */
  readonly lost?: ReadonlyArray<StoredGap>
  /** Of what is stored; the first release did not write it. */
  readonly level?: number
}

/** How the head stands in the file: with the number of shapes that must be there. */
export type StoredHead = CheckpointHead & {
  readonly shapes: number
  /** They stand in pages, of this format; absent where each has a row. */
  readonly pages?: number
}

/** What a checkpoint file is written with. */
export interface MetaOptions {
  readonly synchronous: "OFF" | "NORMAL" | "FULL"
  readonly cacheBytes: number
}

export const failing = (what: string, path: string) => (cause: unknown) =>
  new CheckpointError({
    message: `Cannot ${what} the checkpoint ${path}: ${cause instanceof Error ? cause.message : String(cause)}`
  })

/** Checkpoint files, newest epoch first. */
export const checkpointFiles = async (paths: StoragePaths): Promise<ReadonlyArray<string>> =>
  (await paths.disk.list(paths.meta))
    .filter((name) => /^meta-[0-9a-f]{8}\.sqlite$/.test(name))
    .toSorted()
    .toReversed()
    .map((name) => join(paths.meta, name))

/** For as long as the scope lives. */
export const openMeta = (
  path: string,
  options: { readonly readonly: boolean; readonly meta?: MetaOptions }
) =>
  make({
    filename: path,
    readonly: options.readonly,
    // No second file: the checkpoint may be on a network file system, and a reader must not have to create one.
    journalMode: "DELETE",
    // Readers wait without holding up everything else.
    ...(options.readonly ? { busyTimeoutMillis: 0 } : {}),
    ...(options.meta === undefined
      ? {}
      : { synchronous: options.meta.synchronous, cacheBytes: options.meta.cacheBytes })
  }).pipe(Effect.provide(Reactivity.layer), Effect.mapError(failing("open", path)))
