import type { Socket } from "node:net"
import type { ApiReply, ReplyBody } from "../reply/ApiReply.ts"
import type { AnyRequest, AnyResponse } from "./Exchange.ts"

/** Bytes of a body after which a connection may be closed at once. */
const maxLastBytes = 16_384

/** Bytes of a body that is sent; `undefined` when that is not known before its end. */
export const lengthOf = (body: ReplyBody): number | undefined => {
  switch (body._tag) {
    case "Empty":
      return 0
    case "Text":
      return Buffer.byteLength(body.text)
    case "Bytes":
    case "Stream":
      return body.byteLength
    case "Events":
      return undefined
  }
}

/**
 * Whether a connection can be closed after this reply. Not after a long one: its client may not have read it when the
 * connection ends, as it keeps what it fetched ahead, and then Node's own `fetch` ends the whole process with a failed
 * assertion (undici, issue 5360; more than 64 KiB unread). A later reply closes the connection instead. A stream of
 * events has nothing after it on its connection.
 */
export const canBeLast = (method: string | undefined, { status, body }: ApiReply): boolean =>
  body._tag === "Events" ||
  method === "HEAD" ||
  status === 304 ||
  (lengthOf(body) ?? Number.POSITIVE_INFINITY) <= maxLastBytes

const requests = Symbol("requests on this connection")
const overdue = new WeakSet<AnyResponse>()

/** Counts a request of HTTP/1 on its connection. From the `max`th on, the first reply that can be the last one is. */
export const countRequest = (
  connection: Socket,
  request: AnyRequest,
  response: AnyResponse,
  max: number
): void => {
  if (request.httpVersionMajor > 1) return
  const socket: Socket & { [requests]?: number } = connection
  const count = (socket[requests] ?? 0) + 1
  socket[requests] = count
  if (count >= max) overdue.add(response)
}

/** Whether the connection has had as many requests as it may. */
export const isOverdue = (response: AnyResponse): boolean => overdue.has(response)
