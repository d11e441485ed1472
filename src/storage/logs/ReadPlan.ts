import {
  compareOffsets,
  isVirtual,
  type LogOffset,
  snapshotChunk,
  snapshotEnd
} from "../../shapes/LogOffset.ts"
import { baseOf, firstChunk, isMadeByCompaction, logBegins, offsetOf } from "../records/Compaction.ts"
import type { LogFile } from "../records/Records.ts"
import type { ShapeState } from "../state/ShapeState.ts"

/** Entries of the log, from a file, from the tail, or from one and then the other. */
export interface LogPlan {
  readonly _tag: "Log"
  /** Entries behind this: where the rows stand that the reader has, if it has just got the last of them. */
  readonly after: LogOffset
  readonly next: LogOffset
  readonly upToDate: boolean
  /** File to read from `after` on, before the tail. */
  readonly file: LogFile | undefined
  /** Entries of the tail. */
  readonly from: number
  readonly to: number
}

export interface ChunkPlan {
  readonly _tag: "SnapshotChunk"
  readonly index: number
  readonly next: LogOffset
}

/** The answer to a read before any byte of it has been fetched. */
type ReadPlan =
  | { readonly _tag: "Dropped" }
  | { readonly _tag: "Ahead" }
  /** What follows on this offset is not there any more. */
  | { readonly _tag: "Expired" }
  | ChunkPlan
  /** The chunk does not exist yet, and it is not known whether it ever will. */
  | { readonly _tag: "AwaitChunk"; readonly index: number }
  | LogPlan

/** Decides what a reader at `after` is given. Pure: looks at the shape's state only. */
export const planRead = (shape: ShapeState, after: LogOffset): ReadPlan => {
  if (shape.dropped) return { _tag: "Dropped" }
  const { compaction } = shape
  if (after.tx < 0n) return chunkPlan(shape, firstChunk(compaction))
  if (isVirtual(after) && after.op !== Infinity) {
    if (isMadeByCompaction(after.op)) return planAfterBaseChunk(shape, after.op)
    if (compaction?.hasFirstRows === false) return { _tag: "Expired" }
    const index = after.op + 1
    if (!shape.snapshotComplete || index < shape.snapshotChunks.length) return chunkPlan(shape, index)
    return logPlan(shape, snapshotEnd)
  }
  if (compareOffsets(after, shape.end) > 0) return { _tag: "Ahead" }
  if (compareOffsets(after, logBegins(compaction)) < 0) return { _tag: "Expired" }
  return logPlan(shape, after)
}

const planAfterBaseChunk = (shape: ShapeState, index: number): ReadPlan => {
  const base = baseOf(shape.compaction, index)
  if (base === undefined) return { _tag: "Expired" }
  const next = base.chunks.find((chunk) => chunk.index > index)
  return next === undefined ? logPlan(shape, offsetOf(base.at)) : chunkPlan(shape, next.index)
}

const chunkPlan = (shape: ShapeState, index: number): ReadPlan => {
  if (shape.chunkAt(index) !== undefined) return { _tag: "SnapshotChunk", index, next: snapshotChunk(index) }
  const running = shape.running
  if (running !== undefined && running.index === index && running.readable) {
    return { _tag: "SnapshotChunk", index, next: snapshotChunk(index) }
  }
  return { _tag: "AwaitChunk", index }
}

const logPlan = (shape: ShapeState, after: LogOffset): ReadPlan => {
  const tail = shape.tail
  const filesEnd = shape.filesEnd()
  let file: LogFile | undefined
  if (shape.files.length > 0 && compareOffsets(after, filesEnd) < 0) {
    file = shape.files.find((candidate) => {
      const tx = BigInt(candidate.endTx)
      return after.tx < tx || (after.tx === tx && after.op < candidate.endOp)
    })
  }
  if (file?.closed === true) {
    const next = { tx: BigInt(file.endTx), op: file.endOp }
    return { _tag: "Log", after, next, upToDate: compareOffsets(next, shape.end) === 0, file, from: 0, to: 0 }
  }
  const from = tail === undefined ? 0 : file === undefined ? tail.firstAfter(after) : 0
  let to = from
  let next = file === undefined ? after : { tx: BigInt(file.endTx), op: file.endOp }
  if (tail !== undefined && from < tail.count) {
    while (to < tail.count) {
      const ends = tail.isChunkEnd(to)
      to++
      if (ends) break
    }
    next = tail.offset(to - 1)
  }
  if (to === from && file === undefined) next = shape.end
  return { _tag: "Log", after, next, upToDate: compareOffsets(next, shape.end) === 0, file, from, to }
}
