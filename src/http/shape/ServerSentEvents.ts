import { Effect, Stream } from "effect"
import type { LogSlice, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { WritePiece } from "../reply/ApiReply.ts"
import type { ApiServices } from "./ApiServices.ts"
import { EventFramer, frameShared } from "./EventFramer.ts"
import type { EventSession } from "./EventSession.ts"
import { pieceBytes } from "../reply/LogBody.ts"

/** Part of a buffer that is for entries; the events made of them are longer by what frames them. */
const entriesShare = 0.45

/** One event per entry, in pieces; a piece is made when the client has room for it. */
export const writeEvents = (slice: LogSlice, write: WritePiece): Effect.Effect<void, ShapeReadError> => {
  const { body } = slice
  if (!(body instanceof Uint8Array)) {
    const framer = new EventFramer()
    return Stream.runForEachArray(body.stream, (pieces) =>
      Effect.forEach(pieces, (piece) => write(framer.frame(piece)), { discard: true })
    )
  }
  const small = smallEvents(slice)
  if (small !== undefined) return write(small)
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
 * The events of a long slice, as pieces that lie in the consumer's buffer beside the entries of which they are made.
 * Undefined where its entries are one buffer.
 */
export const eventPieces = ({
  body
}: LogSlice): ((buffer: Buffer) => AsyncGenerator<Uint8Array>) | undefined =>
  body instanceof Uint8Array
    ? undefined
    : async function* (buffer) {
        const framer = new EventFramer()
        const half = Math.floor(buffer.length * entriesShare)
        const events = buffer.subarray(half)
        for await (const piece of body.into(buffer.subarray(0, half))) yield framer.frame(piece, events)
      }

/** All events of a slice in one piece, where they are that few; shared by all clients that get them. */
export const smallEvents = ({ body }: LogSlice): Buffer | undefined =>
  body instanceof Uint8Array && body.length <= pieceBytes ? frameShared(body) : undefined

/** Runs an event stream to its end. */
export const runEvents = Effect.fnUntraced(function* (
  { logs, timers }: Pick<ApiServices, "logs" | "timers">,
  session: EventSession,
  write: WritePiece
) {
  while (true) {
    const step = session.next(timers.nowMillis())
    switch (step._tag) {
      case "End":
        return
      case "Write":
        yield* write(step.bytes)
        break
      case "Deliver":
        yield* writeEvents(step.slice, write)
        break
      case "Read":
        session.found(yield* logs.read(session.shape, step.position))
        break
      case "Wait":
        session.woken(yield* logs.awaitChange(session.shape, step.after, step.millis))
        break
    }
  }
})
