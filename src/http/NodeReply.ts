import { Cause, Effect } from "effect"
import type { ApiReply, ReplyBody } from "./ApiReply.ts"
import type { NodeRequest, NodeResponse } from "./NodeHandler.ts"

/** Headers that HTTP/2 forbids; the API itself only knows one of them. */
const connectionClose = ["connection", "close"]

const lengthOf = (body: ReplyBody): number | undefined => {
  switch (body._tag) {
    case "Empty":
      return 0
    case "Text":
      return Buffer.byteLength(body.text)
    case "Bytes":
      return body.byteLength
    case "Stream":
      return undefined
  }
}

/** What both protocols' responses do, without the differences of their types. */
interface Writer {
  writeHead(status: number, headers: ReadonlyArray<string>): void
  flushHeaders(): void
  write(piece: Uint8Array): boolean
  end(piece?: Uint8Array | string): void
}

const destroy = (response: NodeResponse): void => {
  // A response that was cut must not look complete to its client.
  if ("stream" in response) response.stream.close(2)
  else response.destroy()
}

/**
 * Completes at `event`. When that takes longer than the send time-out, the client is not reading: its connection is
 * destroyed, which frees what waits for it, and the fiber is interrupted by the connection's end.
 */
const waitFor = (
  response: NodeResponse,
  event: "drain" | "finish",
  sendTimeoutMillis: number
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const give = () => {
      // Behind another response on the same connection, its own time has not begun.
      if (response.socket === null) timer = setTimeout(give, sendTimeoutMillis)
      else destroy(response)
    }
    let timer = setTimeout(give, sendTimeoutMillis)
    const done = () => {
      clearTimeout(timer)
      resume(Effect.void)
    }
    response.once(event, done)
    return Effect.sync(() => {
      clearTimeout(timer)
      response.off(event, done)
    })
  })

/** Whether everything written so far has left this process. */
const isFlushed = (response: NodeResponse): boolean =>
  response.writableFinished ||
  (!("stream" in response) && response.socket !== null && response.socket.writableLength === 0)

const finished = (response: NodeResponse, sendTimeoutMillis: number): Effect.Effect<void> =>
  isFlushed(response) || response.destroyed ? Effect.void : waitFor(response, "finish", sendTimeoutMillis)

/**
 * Sends a reply and completes when the last byte has been handed to the operating system. Of a long body, one piece at
 * a time is in flight: a client that does not read holds that piece, for as long as the send time-out.
 */
export const sendReply = (
  request: NodeRequest,
  response: NodeResponse,
  reply: ApiReply,
  sendTimeoutMillis: number
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { body, status } = reply
    let headers = reply.headers
    const length = lengthOf(body)
    if (length !== undefined && status !== 204 && status !== 304)
      headers = headers.concat("content-length", String(length))
    if (reply.closeConnection && request.httpVersionMajor === 1) headers = headers.concat(connectionClose)
    const writer = response as unknown as Writer
    writer.writeHead(status, headers)
    const end = (piece?: Uint8Array | string) => {
      writer.end(piece)
      return finished(response, sendTimeoutMillis)
    }
    if (request.method === "HEAD" || body._tag === "Empty") return end()
    if (body._tag === "Text") return end(body.text)
    const write = (piece: Uint8Array): Effect.Effect<void> =>
      Effect.suspend(() =>
        piece.length === 0 || writer.write(piece)
          ? Effect.void
          : waitFor(response, "drain", sendTimeoutMillis)
      )
    if (body._tag === "Bytes") {
      const { pieces } = body
      if (pieces.length === 1) return end(pieces[0])
      return Effect.andThen(Effect.forEach(pieces, write, { discard: true }), Effect.suspend(end))
    }
    if (body.flushHeaders) writer.flushHeaders()
    return Effect.catchCause(Effect.andThen(body.run(write), Effect.suspend(end)), (cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.interrupt : cut(response, cause)
    )
  })

/** The headers are out: cutting the connection is the only way to say that the body is not complete. */
const cut = (response: NodeResponse, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  destroy(response)
  return Effect.logWarning(
    "A response was cut because its body could not be read to the end; the client tries again.",
    cause
  )
}
