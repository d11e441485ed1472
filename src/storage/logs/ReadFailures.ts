import { BucketFault } from "../../bucket/BucketFault.ts"
import { BoundedMap } from "../../shared/BoundedMap.ts"
import { longestLateMillis } from "../disk/Disk.ts"
import { DiskFault } from "../disk/DiskFault.ts"
import { failingLogMillis, forgetFailureMillis } from "../StorageTimings.ts"

/** A log that could not be read so often, and for so long, will not be readable the next time. */
const mostFailures = 3
const mostShapes = 10_000

/** Of the system's errors, those that say something about the file, and not about the machine. */
const aboutFile: ReadonlySet<string> = new Set(["ENOENT", "EISDIR", "ENOTDIR"])

/** Not for what storage holds, but for want of memory, of file handles, or of a disk or bucket that answers: it may heal. */
const isPassing = (cause: unknown): boolean =>
  cause instanceof BucketFault || (cause instanceof DiskFault && !aboutFile.has(cause.code))

/**
 * Counts how often the log of each shape could not be read for a reason that does not pass by itself. Some of that is not
 * for ever either: a follower may not have seen yet that entries were moved, or that the shape was dropped.
 */
export class ReadFailures {
  private readonly known = new BoundedMap<number, { count: number; readonly sinceMillis: number }>(mostShapes)
  private readonly nowMillis: () => number
  private readonly mayBeLate: () => boolean

  /** `mayBeLate`: see `Disk`. */
  constructor(nowMillis: () => number, mayBeLate: () => boolean = () => false) {
    this.nowMillis = nowMillis
    this.mayBeLate = mayBeLate
  }

  /** True when there is no hope left: the shape has to be dropped, or its readers are cut for ever. */
  isHopeless(shapeId: number, cause: unknown): boolean {
    if (isPassing(cause)) return false
    const now = this.nowMillis()
    let entry = this.known.get(shapeId)
    if (entry === undefined || now - entry.sinceMillis > forgetFailureMillis) {
      entry = { count: 0, sinceMillis: now }
      this.known.set(shapeId, entry)
    }
    entry.count++
    const patienceMillis = this.mayBeLate() ? longestLateMillis : failingLogMillis
    if (entry.count < mostFailures || now - entry.sinceMillis < patienceMillis) return false
    this.known.delete(shapeId)
    return true
  }
}
