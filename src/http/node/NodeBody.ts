import { Effect } from "effect"
import { BodyTaken, BodyTooLarge, BodyUnreadable } from "../request/ApiRequest.ts"
import type { NodeRequest } from "./Exchange.ts"
import { givenBytes } from "../request/GivenBytes.ts"

/**
 * The body of a Node request: what is on the connection, unless somebody has read that. Then it is what they handed over,
 * `given` first, or left in `request.body`. With neither it fails with `BodyTaken`: a body that is gone is not an empty one.
 */
export const readNodeBody = (
  request: NodeRequest,
  given: unknown,
  maxBytes: number,
  arrived?: (bytes: number) => void
): Effect.Effect<Uint8Array, BodyTooLarge | BodyUnreadable | BodyTaken> =>
  Effect.suspend((): Effect.Effect<Uint8Array, BodyTooLarge | BodyUnreadable | BodyTaken> => {
    const wasRead = request.readableDidRead || request.readableEnded
    const found = given ?? (wasRead ? (request as { readonly body?: unknown }).body : undefined)
    if (found !== undefined && found !== null) {
      const bytes = givenBytes(found)
      if (bytes === undefined) return Effect.fail(new BodyTaken({ advice: `${advice} ${unusable}` }))
      return bytes.length > maxBytes ? Effect.fail(new BodyTooLarge()) : Effect.succeed(bytes)
    }
    if (!wasRead) return receiveBody(request, maxBytes, arrived)
    return request.readableDidRead || announcesBody(request)
      ? Effect.fail(new BodyTaken({ advice }))
      : Effect.succeed(Buffer.alloc(0))
  })

const advice =
  "Call baton.handler before anything that reads bodies, or hand over what was read: baton.handler(request, response, " +
  "{ body }), where body is text, bytes or parsed JSON (with Fastify: baton.handler(request.raw, reply.raw, request))."
const unusable = "What was handed over cannot be written as JSON."

/** Source: RFC 9112, section 6: a request without these has no body. */
export const announcesBody = ({ headers }: NodeRequest): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0

const receiveBody = (
  request: NodeRequest,
  maxBytes: number,
  arrived: ((bytes: number) => void) | undefined
) =>
  Effect.callback<Uint8Array, BodyTooLarge | BodyUnreadable>((resume) => {
    // Nothing will come of a request that is gone.
    if (request.destroyed) return resume(Effect.fail(new BodyUnreadable()))
    const pieces: Array<Buffer> = []
    let length = 0
    const onData = (piece: Buffer) => {
      length += piece.length
      if (length > maxBytes) return finish(Effect.fail(new BodyTooLarge()))
      pieces.push(piece)
      arrived?.(piece.length)
    }
    const onEnd = () => finish(Effect.succeed(Buffer.concat(pieces, length)))
    const onError = () => finish(Effect.fail(new BodyUnreadable()))
    const stop = () => {
      request.off("data", onData).off("end", onEnd).off("error", onError).off("aborted", onError)
    }
    const finish = (result: Effect.Effect<Uint8Array, BodyTooLarge | BodyUnreadable>) => {
      stop()
      request.pause()
      resume(result)
    }
    request.on("data", onData).on("end", onEnd).on("error", onError).on("aborted", onError)
    return Effect.sync(stop)
  })
