import { Effect } from "effect"
import { beforeAll, compareOffsets, type LogOffset } from "../../shapes/LogOffset.ts"
import type { ShapeHandle, ShapeLogs } from "../ShapeLogs.ts"
import { Abandoned } from "./RestingWork.ts"

type Logs = Pick<ShapeLogs["Service"], "read">

/**
 * Gives `take` what a shape has behind `after`, as its readers get it: the pieces of each answer, up to the end of one at or behind
 * `until`. Completes with where that is. A piece is valid until what `take` gives is done.
 */
export const readBytes = async (
  logs: Logs,
  shape: ShapeHandle,
  after: LogOffset,
  until: LogOffset,
  take: (piece: Uint8Array) => Promise<void>
): Promise<LogOffset> => {
  for (let at = after; ;) {
    const read = await Effect.runPromise(logs.read(shape, at))
    if (read._tag !== "Slice") throw new Abandoned()
    const { body } = read
    if (body instanceof Uint8Array) await take(body)
    // A file that is open stays readable. What stands in the journal is moved, and its segment removed, while this rests.
    else if (read.finishedBytes !== undefined) for await (const piece of body()) await take(piece)
    else for (const piece of await allOf(body())) await take(piece)
    at = read.next
    if (read.upToDate || compareOffsets(at, until) >= 0) return at
  }
}

/** An answer from the log is as long as a chunk at most, or one message. */
const allOf = async (pieces: AsyncIterable<Uint8Array>): Promise<ReadonlyArray<Uint8Array>> => {
  const all: Array<Uint8Array> = []
  for await (const piece of pieces) all.push(piece)
  return all
}

/** The beginning of the rows that a shape gives first: so many bytes at least, where it has as many. */
export const readBeginning = async (
  logs: Logs,
  shape: ShapeHandle,
  leastBytes: number
): Promise<ReadonlyArray<Uint8Array>> => {
  const read = await Effect.runPromise(logs.read(shape, beforeAll))
  if (read._tag !== "Slice") throw new Abandoned()
  const { body } = read
  if (body instanceof Uint8Array) return [body]
  const pieces: Array<Uint8Array> = []
  let bytes = 0
  for await (const piece of body()) {
    pieces.push(Uint8Array.from(piece))
    bytes += piece.length
    if (bytes >= leastBytes) break
  }
  return pieces
}
