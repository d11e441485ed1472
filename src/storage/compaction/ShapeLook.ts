import { compareOffsets, type LogOffset, snapshotEnd } from "../../shapes/LogOffset.ts"
import { logFileEnd } from "../records/Records.ts"
import { offsetOf } from "../records/Compaction.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import { emptyTally, type LogTally } from "./Policy.ts"

/** What is remembered of a shape whose log was looked at. */
export interface ShapeLook {
  /** Up to here its log was read since `from`, where the newest base stands; that came to `tally`. */
  seen: LogOffset
  readonly from: LogOffset
  tally: LogTally
  /** Of the rows at `from`, about; `undefined` until somebody wants to know, or where there are none. */
  rowLength: number | undefined
  /** It is not read further before there is so much behind `from`. */
  againBytes: number
  /** The end of its log, and since when that has been it. */
  end: LogOffset
  endSinceMillis: number
}

/** Where the log begins that stands behind the rows that a client is given first. */
export const rowsAt = ({ compaction }: ShapeState): LogOffset => {
  const base = compaction?.bases.at(-1)
  return base === undefined ? snapshotEnd : offsetOf(base.at)
}

export const firstRowsBytes = (shape: ShapeState): number => {
  let bytes = 0
  for (const chunk of shape.snapshotChunks) bytes += chunk?.bytes ?? 0
  return bytes
}

/** Bytes of the log behind an offset, to a file. */
export const bytesBehind = ({ files, tail }: ShapeState, after: LogOffset): number => {
  let bytes = 0
  for (const file of files) if (compareOffsets(logFileEnd(file), after) > 0) bytes += file.bytes
  if (tail === undefined) return bytes
  for (let i = tail.firstAfter(after); i < tail.count; i++) bytes += tail.length(i)
  return bytes
}

/** Bytes of the files that hold the log from an offset up to another one, about. */
export const bytesBetween = ({ files }: ShapeState, from: LogOffset, to: LogOffset): number => {
  let bytes = 0
  for (const file of files) {
    const end = logFileEnd(file)
    if (compareOffsets(end, from) > 0 && compareOffsets(end, to) <= 0) bytes += file.bytes
  }
  return bytes
}

export const newLook = (shape: ShapeState, nowMillis: number): ShapeLook => {
  const from = rowsAt(shape)
  return {
    seen: from,
    from,
    tally: emptyTally,
    rowLength: undefined,
    againBytes: 0,
    end: shape.end,
    endSinceMillis: nowMillis
  }
}
