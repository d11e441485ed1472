import { Effect } from "effect"
import { BucketFault } from "../bucket/BucketFault.ts"
import { BoundedMap } from "../shared/BoundedMap.ts"
import { DamagedFile } from "./disk/FileIntegrity.ts"
import { longestLateMillis } from "./disk/Disk.ts"
import { DiskFault, fromDisk } from "./disk/DiskFault.ts"
import type { FileOrigin } from "./disk/FileOrigin.ts"
import { discardDamaged, discardUnreadable } from "./DiscardShape.ts"
import { ReadFailures } from "./logs/ReadFailures.ts"
import { type ShapeHandle, ShapeReadError } from "./ShapeLogs.ts"
import type { StorageEngine } from "./StorageEngine.ts"

const rememberedDoubts = 1000

/**
 * What failures to read a shape come to. Damage costs the shape, and so does what cannot be read each time: a client
 * that asks again is told to start over. Anything else is an error for this reader alone, who may come again.
 */
export class ShapeFailures {
  private readonly engine: StorageEngine
  private readonly counted: ReadFailures
  /** When files were first found to be short that may only be seen late. */
  private readonly doubts = new BoundedMap<string, number>(rememberedDoubts)

  constructor(engine: StorageEngine) {
    this.engine = engine
    this.counted = new ReadFailures(engine.timers.nowMillis, () => engine.paths.disk.mayBeLate)
  }

  /** What the readers of this shape are told. */
  readonly of =
    (shape: ShapeHandle) =>
    (cause: unknown): ShapeReadError => {
      const { engine } = this
      const message = cause instanceof Error ? cause.message : String(cause)
      if (cause instanceof DamagedFile) {
        if (engine.files !== undefined && !cause.isAtOrigin) this.discardCopy(engine.files, cause)
        else if (this.isSure(cause)) discardDamaged(engine, shape, message)
      } else if (engine.live(shape) !== undefined && this.counted.isHopeless(shape.id, cause))
        discardUnreadable(engine, shape, message)
      const mayPass = cause instanceof BucketFault || (cause instanceof DiskFault && cause.passing)
      return new ShapeReadError({ handle: shape.handle, message, ...(mayPass ? { mayPass } : {}) })
    }

  /** What is damaged is a copy. The shape stays, and who reads it next has the file fetched. */
  private discardCopy(files: FileOrigin, { ino, path }: DamagedFile): void {
    const { complaints, options } = this.engine
    options.run(
      Effect.catch(
        fromDisk(() => files.discard(path, ino)),
        ({ message }) =>
          Effect.sync(() => complaints.about("copy", `A damaged copy cannot be removed: ${message}.`))
      )
    )
  }

  /** The file is damaged, and not only seen late. A client that reads it meanwhile gets an error, and may come again. */
  private isSure({ isMissing, isShort, path }: DamagedFile): boolean {
    const { doubts, engine } = this
    // One that follows may not have heard yet that another file has taken the place of this one; beside a bucket, nor that the shape is
    // gone, or that the file stands elsewhere.
    const mayNotKnow = engine.writing === undefined && (isMissing || engine.files !== undefined)
    const mayBeLate = engine.paths.disk.mayBeLate || mayNotKnow
    if (!isShort || !mayBeLate) return true
    const nowMillis = engine.timers.nowMillis()
    const sinceMillis = doubts.get(path) ?? nowMillis
    doubts.set(path, sinceMillis)
    return nowMillis - sinceMillis >= longestLateMillis
  }
}
