import { levelWithoutLogIndexes } from "../levels/Levels.ts"
import type { StorageEngine } from "../StorageEngine.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { logIndexFile } from "./LogFileIndex.ts"

/** One pass of housekeeping removes so many: on a network file system each waits for the server. */
const filesPerPass = 1000

/**
 * The indexes that stand beside log files from the time of a lower level. Once storage has a level without them nobody who may
 * take part in it reads them, and the holder of the lock removes them. Which log files have one is what their records say; those
 * of a shape are forgotten when they are removed, and after a crash before the next checkpoint the next holder looks for them in
 * vain, which does no harm.
 */
export class OldLogIndexes {
  private readonly engine: Pick<StorageEngine, "paths" | "settled" | "store" | "timers">
  private readonly delayMillis: number
  private sinceMillis: number | undefined
  private left: Iterator<ShapeState> | undefined
  private isDone = false

  /** `delayMillis`: for so long after the level is seen, files are left to readers that are in the middle of them. */
  constructor(engine: OldLogIndexes["engine"], delayMillis: number) {
    this.engine = engine
    this.delayMillis = delayMillis
  }

  /** Removes some of them; call it again until none is left, which it notices by itself. Not while segments are moved. */
  async removeSome(): Promise<void> {
    const { paths, store, timers } = this.engine
    if (this.isDone || store.level < levelWithoutLogIndexes) return
    const now = timers.nowMillis()
    this.sinceMillis ??= now
    if (now - this.sinceMillis < this.delayMillis) return
    // That the level is raised must be durable.
    if (!(await this.engine.settled())) return
    this.left ??= store.all()
    try {
      for (let removed = 0; removed < filesPerPass;) {
        const { done, value: shape } = this.left.next()
        if (done === true) {
          this.isDone = true
          return
        }
        const indexed = shape.files.filter(({ indexCrc }) => indexCrc !== undefined)
        if (indexed.length === 0) continue
        for (const { index } of indexed) await paths.disk.remove(logIndexFile(paths, shape.handle, index))
        forgetLogIndexes(shape)
        removed += indexed.length
      }
    } catch (error) {
      // The next pass begins anew, and finds those that are still there.
      this.left = undefined
      throw error
    }
  }
}

/** No record speaks of that, and nobody needs to know. */
const forgetLogIndexes = (shape: ShapeState): void => {
  shape.files = shape.files.map((withIndex) => {
    const { indexCrc: _, ...file } = withIndex
    return file
  })
  shape.dirty = true
}
