import { Effect } from "effect"
import { currentTimers } from "../../shared/Timers.ts"
import { discardMillis } from "../HttpTimings.ts"
import type { ApiReply } from "../reply/ApiReply.ts"
import { type AnyRequest, type AnyResponse, endResponse, type NodeRequest } from "./Exchange.ts"
import { announcesBody } from "./NodeBody.ts"
import { finishReply, isLast, openReply, writeNow } from "./NodeReply.ts"
import type { Sending } from "./SendPieces.ts"

/** Bytes of a body that nobody wants, after which the connection is cut all the same. */
const mostDiscarded = 64 * 1024 * 1024

/**
 * Whether this reply would be lost: it ends the connection while the client is still sending its body, and a connection that
 * is closed with bytes unread is reset, which takes from the client what it has been sent and has not read yet.
 * Source: RFC 9112, section 9.6.
 */
export const leavesBodyUnread = (
  request: AnyRequest,
  response: AnyResponse,
  reply: ApiReply
): request is NodeRequest =>
  "complete" in request &&
  !request.complete &&
  !request.destroyed &&
  announcesBody(request) &&
  (reply.body._tag === "Text" || reply.body._tag === "Empty") &&
  isLast(request, response, reply)

/** Sends the whole reply at once, and ends it, and with it the connection, when the client has sent its body, or too much. */
export const replyAndDiscard = (
  request: NodeRequest,
  response: AnyResponse,
  reply: ApiReply,
  sending: Sending
): Effect.Effect<void> =>
  Effect.suspend(() => {
    openReply(request, response, reply)
    if (reply.body._tag === "Text" && request.method !== "HEAD")
      writeNow(response, Buffer.from(reply.body.text))
    return discard(request)
  }).pipe(
    Effect.andThen(Effect.sync(() => endResponse(response))),
    Effect.andThen(Effect.suspend(() => finishReply(response, sending)))
  )

const discard = (request: NodeRequest): Effect.Effect<void> =>
  Effect.flatMap(currentTimers, (timers) =>
    Effect.callback<void>((resume) => {
      let bytes = 0
      const done = () => {
        stop()
        resume(Effect.void)
      }
      const onData = (piece: Buffer) => {
        bytes += piece.length
        if (bytes > mostDiscarded) done()
      }
      const stopTimer = timers.after(discardMillis, done)
      const stop = () => {
        stopTimer()
        request.off("data", onData).off("end", done).off("error", done).off("close", done)
      }
      request.on("data", onData).on("end", done).on("error", done).on("close", done)
      request.resume()
      return Effect.sync(stop)
    })
  )
