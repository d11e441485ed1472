import { ByteSize, Effect, Stream } from "effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { ApiReply } from "../reply/ApiReply.ts"
import { type ApiRequest, BodyTooLarge, BodyUnreadable } from "../request/ApiRequest.ts"
import { canBeLast } from "../node/LastReply.ts"
import { type Whole, wholeReply } from "../shape/Answer.ts"
import { ShapeApi } from "../shape/ShapeApi.ts"
import { eventStream, replyStream } from "./ReplyStream.ts"

/** A request of an `HttpRouter`, as the API has them. */
export const requestOf = (request: HttpServerRequest.HttpServerRequest): ApiRequest => ({
  method: request.method,
  target: request.url,
  header: (name) => request.headers[name],
  headers: () => request.headers,
  body: (maxBytes) =>
    request.arrayBuffer.pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes)),
      Effect.map((bytes) => new Uint8Array(bytes)),
      Effect.mapError(({ reason }) =>
        reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
          ? new BodyTooLarge()
          : new BodyUnreadable()
      )
    )
})

/** A comment: servers send the headers with the first bytes of a body, and the first event may be long in coming. */
const opening = Stream.make(Buffer.from(":\n\n"))

/** The response of an `HttpRouter` to it. */
export const serverResponse = (made: Whole, method: string): HttpServerResponse.HttpServerResponse => {
  const reply: ApiReply = "_tag" in made ? made.takeReply() : made
  const { status, body } = reply
  const headers: Record<string, string> = {}
  for (let i = 0; i + 1 < reply.headers.length; i += 2) {
    const name = reply.headers[i]
    if (name !== undefined) headers[name] = reply.headers[i + 1] ?? ""
  }
  if (reply.closeConnection && canBeLast(method, reply)) headers["connection"] = "close"
  const contentType = headers["content-type"]
  const options = { status, headers, ...(contentType === undefined ? {} : { contentType }) }
  switch (body._tag) {
    case "Empty":
      return HttpServerResponse.empty(options)
    case "Text":
      return contentType === undefined
        ? HttpServerResponse.uint8Array(Buffer.from(body.text), options)
        : HttpServerResponse.text(body.text, options)
    case "Bytes":
      return body.pieces.length === 1 && body.pieces[0] !== undefined
        ? HttpServerResponse.uint8Array(body.pieces[0], options)
        : HttpServerResponse.stream(replyStream(body), { ...options, contentLength: body.byteLength })
    case "Stream":
      return HttpServerResponse.stream(replyStream(body), options)
    case "Events":
      return HttpServerResponse.stream(
        "_tag" in made ? Stream.concat(opening, eventStream(made)) : Stream.empty,
        options
      )
  }
}

interface MountOptions {
  readonly prefix?: `/${string}`
}

const mount = (path: `/${string}`, { prefix }: MountOptions) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const api = yield* ShapeApi
      const at = prefix === undefined || prefix === "/" ? router : router.prefixed(prefix)
      yield* at.add("*", path, (request) =>
        Effect.map(wholeReply(api.handle(requestOf(request))), (made) => serverResponse(made, request.method))
      )
    })
  )

/**
 * Adds the API to an `HttpRouter`, under `<prefix>/v1/`: to a server that has routes of its own beside. What its
 * middleware does (CORS, logging, authentication) applies to these routes as to all others.
 */
export const mountShapeApi = (options: MountOptions = {}) => mount("/v1/*", options)

/** The same with what is for operators, under `<prefix>/baton`. */
export const mountOperator = (options: MountOptions) => mount("/baton/*", options)
