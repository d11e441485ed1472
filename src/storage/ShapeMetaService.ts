import { Context, Effect, Layer, type Scope } from "effect"
import { loadCheckpoint } from "./checkpoint/CheckpointReader.ts"
import {
  type CheckpointError,
  type CheckpointHead,
  type CheckpointWriter,
  type MetaOptions,
  openCheckpointWriter
} from "./checkpoint/CheckpointWriter.ts"
import type { ShapeStore } from "./state/ShapeStore.ts"
import type { StoragePaths } from "./disk/StorageDir.ts"

/** The metadata of one storage directory: checkpoints in SQLite, one file for each epoch that wrote any. */
export class ShapeMeta extends Context.Service<
  ShapeMeta,
  {
    /** Fills an empty store from the newest whole checkpoint; `undefined` when there is none. Writes nothing. */
    readonly load: (
      store: ShapeStore,
      chunkBytesThreshold: number
    ) => Effect.Effect<CheckpointHead | undefined>
    /** For the holder of that epoch only: the first checkpoint it writes is whole, later ones add what has changed. */
    readonly openWriter: (epoch: number) => Effect.Effect<CheckpointWriter, CheckpointError, Scope.Scope>
  }
>()("baton/storage/ShapeMeta") {
  static readonly layer = (options: {
    readonly paths: StoragePaths
    readonly meta: MetaOptions
  }): Layer.Layer<ShapeMeta> =>
    Layer.succeed(ShapeMeta, {
      load: (store, chunkBytesThreshold) => loadCheckpoint(options.paths, store, chunkBytesThreshold),
      openWriter: (epoch) => openCheckpointWriter(options.paths, epoch, options.meta)
    })
}
