import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Cause, Effect } from "effect"
import type { ApiReply } from "../reply/ApiReply.ts"
import { destroyResponse, endResponse, type AnyRequest, type AnyResponse } from "./Exchange.ts"
import { type HeaderHolder, keepHostHeaders } from "../reply/HostHeaders.ts"
import { canBeLast, isOverdue, lengthOf } from "./LastReply.ts"
import { peerOf, type Sending, sendPieces } from "./SendPieces.ts"
import type { SimpleResponse } from "../simple/SimpleResponse.ts"
import { currentTimers } from "../../shared/Timers.ts"

/** What both protocols' responses do, without the differences of their types. */
interface Writer extends HeaderHolder {
  /** Set by Node on the last response that a host's server allows on a connection. Node refuses the next request. */
  readonly maxRequestsOnConnectionReached?: boolean
  writeHead(status: number, headers: ReadonlyArray<string>): void
  flushHeaders(): void
  write(piece: Uint8Array): boolean
  end(piece?: Uint8Array | string): void
}

/**
 * Completes at `event`. When that takes longer than the send time-out, the client is not reading: its connection is
 * destroyed, which frees what waits for it, and the fiber is interrupted by the connection's end.
 */
const waitFor = (
  response: AnyResponse,
  event: "drain" | "finish",
  { slow, timeoutMillis }: Sending
): Effect.Effect<void> =>
  Effect.flatMap(currentTimers, (timers) =>
    Effect.callback<void>((resume) => {
      const events = response as Pick<SimpleResponse, "once" | "off">
      const give = () => {
        // Behind another response on the same connection, its own time has not begun.
        if (response.socket === null) stopTimer = timers.after(timeoutMillis, give)
        else {
          slow.cut++
          destroyResponse(response)
        }
      }
      let stopTimer = timers.after(timeoutMillis, give)
      const reader = { sinceMillis: timers.nowMillis(), peer: () => peerOf(response) }
      slow.begin(reader)
      const over = () => {
        slow.end(reader)
        stopTimer()
      }
      const done = () => {
        over()
        resume(Effect.void)
      }
      events.once(event, done)
      return Effect.sync(() => {
        over()
        events.off(event, done)
      })
    })
  )

/** Whether everything written so far has left this process. */
const isFlushed = (response: AnyResponse): boolean =>
  response.writableFinished ||
  (!("stream" in response) && response.socket !== null && response.socket.writableLength === 0)

/** Whether the connection ends with this reply: the client wants it to, or this side does. */
export const isLast = (request: AnyRequest, response: AnyResponse, reply: ApiReply): boolean =>
  request.httpVersionMajor === 1 &&
  ((response as { readonly shouldKeepAlive?: boolean }).shouldKeepAlive === false ||
    endsConnection(request, response, reply))

const endsConnection = (request: AnyRequest, response: AnyResponse, reply: ApiReply): boolean =>
  (response as unknown as Writer).maxRequestsOnConnectionReached === true ||
  ((reply.closeConnection || isOverdue(response)) && canBeLast(request.method, reply))

/** Writes the head of a response. Its own headers, and those of framing, are all in there. */
const writeHead = (request: AnyRequest, response: AnyResponse, reply: ApiReply): void => {
  const writer = response as unknown as Writer
  const { body, status, headers } = reply
  keepHostHeaders(writer, headers)
  const length = lengthOf(body)
  if (length !== undefined && status !== 204 && status !== 304) headers.push("content-length", String(length))
  if (request.httpVersionMajor === 1 && endsConnection(request, response, reply))
    headers.push("connection", "close")
  writer.writeHead(status, headers)
}

/**
 * Sends a small reply at once. False when the client had no room for it: then the rest waits in this process, and
 * `finishReply` sees it out.
 */
export const sendReplyNow = (request: AnyRequest, response: AnyResponse, reply: ApiReply): boolean => {
  const writer = response as unknown as Writer
  const { body } = reply
  writeHead(request, response, reply)
  if (request.method === "HEAD" || body._tag === "Empty") writer.end()
  else if (body._tag === "Text") writer.end(body.text)
  else if (body._tag === "Bytes") {
    const last = body.pieces.length - 1
    for (let i = 0; i < last; i++) writer.write(body.pieces[i] ?? Buffer.alloc(0))
    writer.end(body.pieces[last])
  }
  return isFlushed(response)
}

/** Waits until the client has taken what was sent, or cuts it off after the send time-out. */
export const finishReply = (response: AnyResponse, sending: Sending): Effect.Effect<void> =>
  isFlushed(response) || response.destroyed ? Effect.void : waitFor(response, "finish", sending)

/** Writes a piece; false when the client has no room for another one before `drained`. */
export const writeNow = (response: AnyResponse, piece: Uint8Array): boolean =>
  piece.length === 0 || (response as unknown as Writer).write(piece)

export const drained = (response: AnyResponse, sending: Sending): Effect.Effect<void> =>
  waitFor(response, "drain", sending)

/** Sends the head of a reply whose body follows, whenever that may be. */
export const openReply = (request: AnyRequest, response: AnyResponse, reply: ApiReply): void => {
  const writer = response as unknown as Writer
  writeHead(request, response, reply)
  writer.flushHeaders()
}

/**
 * Sends a reply and completes when the last byte has been handed to the operating system. Of a long body, one piece at
 * a time is in flight: a client that does not read holds that piece, for as long as the send time-out.
 */
export const sendReply = (
  request: AnyRequest,
  response: AnyResponse,
  reply: ApiReply,
  sending: Sending
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { body } = reply
    const isSmall =
      body._tag === "Empty" || body._tag === "Text" || (body._tag === "Bytes" && body.pieces.length === 1)
    if (isSmall || request.method === "HEAD") {
      sendReplyNow(request, response, reply)
      return finishReply(response, sending)
    }
    writeHead(request, response, reply)
    const end = Effect.suspend(() => {
      endResponse(response)
      return finishReply(response, sending)
    })
    const sent = sendPieces(response, body._tag === "Events" ? [] : body.pieces, sending)
    return Effect.catchCause(Effect.andThen(sent, end), (cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.interrupt : cutReply(response, cause)
    )
  })

/**
 * The headers are out: cutting the connection is the only way to say that the body is not complete. Says why, unless
 * the reply was given up on purpose.
 */
export const cutReply = (response: AnyResponse, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  destroyResponse(response)
  return Cause.hasInterruptsOnly(cause)
    ? Effect.void
    : reportFault("BATON-REQUEST-CUT", {
        message: "A response was cut because its body could not be read to the end; the client tries again.",
        everyMillis: 10_000,
        cause
      })
}
