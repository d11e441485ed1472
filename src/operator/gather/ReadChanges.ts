import { Effect } from "effect"
import { compareOffsets, formatOffset, type LogOffset, snapshotEnd } from "../../shapes/LogOffset.ts"
import { logFileEnd } from "../../storage/records/Records.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { type ChangesReport, mostChanges, shownChanges } from "../reports/ChangesReport.ts"

/** Bytes of a log that are read for one look. What is larger is not shown. */
const mostBytes = 1 << 20
/** A log is read chunk by chunk. */
const mostReads = 20

interface Start {
  readonly after: LogOffset
  readonly hasOlder: boolean
}

/** Where the last changes begin that may be read; undefined where even the last one is too large. */
const startOf = (shape: ShapeState): Start | undefined => {
  const { files, tail } = shape
  if (tail !== undefined && tail.count > 0) {
    let from = tail.count
    let bytes = 0
    while (from > 0 && tail.count - from < mostChanges) {
      bytes += tail.length(from - 1)
      if (bytes > mostBytes) break
      from--
    }
    if (from === tail.count) return undefined
    if (from > 0) return { after: tail.offset(from - 1), hasOlder: true }
    return { after: shape.filesEnd(), hasOlder: files.length > 0 }
  }
  const last = files.at(-1)
  if (last === undefined) return { after: snapshotEnd, hasOlder: false }
  const before = files.at(-2)
  if (last.bytes > mostBytes) return undefined
  return { after: before === undefined ? snapshotEnd : logFileEnd(before), hasOlder: before !== undefined }
}

/** The last changes of a shape, or those after an offset that somebody has looked up to. */
export const readChanges = (
  logs: ShapeLogs["Service"],
  shape: ShapeState,
  after: LogOffset | undefined
): Effect.Effect<ChangesReport, ShapeReadError> =>
  Effect.gen(function* () {
    const start = startOf(shape)
    if (start === undefined) return { changes: [], next: formatOffset(shape.end), hasOlder: true }
    const isLater = after !== undefined && compareOffsets(after, start.after) > 0
    let at = isLater ? after : start.after
    const texts: Array<string> = []
    for (let reads = 0; reads < mostReads; reads++) {
      const found = yield* logs.read(shape, at)
      if (found._tag !== "Slice") break
      const text = yield* textOf(found.body)
      if (text !== "") texts.push(text)
      at = found.next
      if (found.upToDate) break
    }
    return {
      changes: shownChanges(texts.join(",")),
      next: formatOffset(at),
      hasOlder: start.hasOlder && !isLater
    }
  })

const textOf = (
  body: Uint8Array | (() => AsyncGenerator<Uint8Array>)
): Effect.Effect<string, ShapeReadError> =>
  body instanceof Uint8Array
    ? Effect.sync(() => Buffer.from(body).toString())
    : Effect.tryPromise({
        try: async () => {
          const pieces: Array<Buffer> = []
          for await (const piece of body()) pieces.push(Buffer.from(piece))
          return Buffer.concat(pieces).toString()
        },
        // What a body throws is that, see `LogSlice`.
        catch: (error) => error as ShapeReadError
      })
