import { Clock, Effect, Stream } from "effect"
import type { LogOffset } from "../shapes/LogOffset.ts"
import type { LogSlice, ShapeHandle, ShapeLogs, ShapeReadError } from "../storage/ShapeLogs.ts"
import type { WritePiece } from "./ApiReply.ts"
import { sseKeepAliveMillis } from "./ApiServices.ts"
import { EventFramer, frameShared } from "./EventFramer.ts"
import { pieceBytes, upToDateMessage } from "./LogBody.ts"

const keepAlive = Buffer.from(": keep-alive\n\n")

export interface EventStreamOptions {
  readonly logs: ShapeLogs["Service"]
  readonly shape: ShapeHandle
  /** The client's offset. */
  readonly from: LogOffset
  /** What was read at that offset; undefined when it lies beyond the end of the log. */
  readonly first: LogSlice | undefined
  /** End of the stream, whatever happens. */
  readonly deadlineMillis: number
  /** Until when a client ahead of the log is kept waiting. */
  readonly boundsDeadlineMillis: number
}

/** One event per entry. Nothing is read ahead: a client that does not read holds one piece and no more. */
const writeEvents = (slice: LogSlice, write: WritePiece): Effect.Effect<void, ShapeReadError> => {
  const { body } = slice
  if (!(body instanceof Uint8Array)) {
    const framer = new EventFramer()
    return Stream.runForEachArray(body, (pieces) =>
      Effect.forEach(pieces, (piece) => write(framer.frame(piece)), { discard: true })
    )
  }
  if (body.length <= pieceBytes) return write(frameShared(body))
  return Effect.suspend(() => {
    const framer = new EventFramer()
    const starts: Array<number> = []
    for (let at = 0; at < body.length; at += pieceBytes) starts.push(at)
    return Effect.forEach(starts, (at) => write(framer.frame(body.subarray(at, at + pieceBytes))), {
      discard: true
    })
  })
}

/**
 * Streams a shape's log as server-sent events: the entries after the client's offset, an up-to-date event
 * whenever its end is reached with something new, a comment when nothing was said for a while. Ends at its
 * deadline, and without a word when the shape is dropped: the next request learns why.
 */
export const eventStream = (options: EventStreamOptions) =>
  Effect.fnUntraced(function* (write: WritePiece) {
    const { logs, shape, deadlineMillis } = options
    const clock = yield* Clock.Clock
    let position = options.from
    let slice = options.first
    while (slice === undefined) {
      const remaining = options.boundsDeadlineMillis - clock.currentTimeMillisUnsafe()
      if (remaining <= 0) return
      const wake = yield* logs.awaitChange(shape, logs.lastOffset(shape), remaining)
      if (wake === "dropped") return
      const found = yield* logs.read(shape, position)
      if (found._tag === "Dropped") return
      if (found._tag === "Slice") slice = found
    }

    let lastWrite = clock.currentTimeMillisUnsafe()
    let delivered = false
    while (true) {
      if (!(slice.body instanceof Uint8Array) || slice.body.length > 0) {
        yield* writeEvents(slice, write)
        lastWrite = clock.currentTimeMillisUnsafe()
        delivered = true
      }
      position = slice.next
      if (slice.upToDate && delivered) {
        // Clients resume from the start of this transaction, so it must not be one that they have not received.
        yield* write(Buffer.from(`data: ${upToDateMessage(position.tx)}\n\n`))
        delivered = false
      }
      while (slice.upToDate) {
        const now = clock.currentTimeMillisUnsafe()
        const until = Math.min(lastWrite + sseKeepAliveMillis, deadlineMillis)
        const wake = yield* logs.awaitChange(shape, position, Math.max(0, until - now))
        if (wake === "dropped") return
        if (wake === "changed") break
        const later = clock.currentTimeMillisUnsafe()
        if (later >= deadlineMillis) return
        if (later - lastWrite >= sseKeepAliveMillis) {
          yield* write(keepAlive)
          lastWrite = later
        }
      }
      if (clock.currentTimeMillisUnsafe() >= deadlineMillis) return
      const found = yield* logs.read(shape, position)
      if (found._tag !== "Slice") return
      slice = found
    }
  })
