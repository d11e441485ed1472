import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import type { ApiReply } from "./ApiReply.ts"
import { type ApiRequest, BodyTooLarge, BodyUnreadable } from "./ApiRequest.ts"
import { normalisePrefix, stripPrefix } from "./Prefix.ts"
import { replyStream } from "./ReplyStream.ts"
import { ShapeApi } from "./ShapeApi.ts"

const readBody = (request: Request, maxBytes: number) =>
  Effect.gen(function* () {
    if (request.body === null) return new Uint8Array()
    const pieces: Array<Uint8Array> = []
    let length = 0
    yield* Stream.fromReadableStream({
      evaluate: () => request.body as ReadableStream<Uint8Array>,
      onError: () => new BodyUnreadable()
    }).pipe(
      Stream.runForEach((piece) => {
        length += piece.length
        if (length > maxBytes) return Effect.fail(new BodyTooLarge())
        pieces.push(piece)
        return Effect.void
      })
    )
    return Buffer.concat(pieces, length)
  })

const apiRequest = (request: Request, target: string): ApiRequest => ({
  method: request.method,
  target,
  header: (name) => request.headers.get(name) ?? undefined,
  headers: () => Object.fromEntries(request.headers),
  body: (maxBytes) => readBody(request, maxBytes)
})

/** Everything after the authority, as it was sent: parsing it would normalise what must not be. */
const targetOf = (url: string): string => {
  const authority = url.indexOf("://") + 3
  const path = url.indexOf("/", authority)
  const fragment = url.indexOf("#")
  return path < 0 ? "/" : url.slice(path, fragment < 0 ? undefined : fragment)
}

const headersOf = (reply: ApiReply): Headers => {
  const headers = new Headers()
  for (let i = 0; i + 1 < reply.headers.length; i += 2)
    headers.set(reply.headers[i] ?? "", reply.headers[i + 1] ?? "")
  return headers
}

const responseOf = (request: Request, reply: ApiReply, close: () => void): Response => {
  const { status, body } = reply
  const init = { status, headers: headersOf(reply) }
  if (request.method === "HEAD" || body._tag === "Empty" || body._tag === "Text") {
    close()
    const text = body._tag === "Text" && request.method !== "HEAD" ? body.text : null
    return new Response(text, init)
  }
  if (body._tag === "Bytes") init.headers.set("content-length", String(body.byteLength))
  const stream = replyStream(body).pipe(Stream.ensuring(Effect.sync(close)))
  return new Response(Stream.toReadableStream(stream, { strategy: { highWaterMark: 0 } }), init)
}

/** A request handler for whatever speaks the Fetch API. */
export type FetchHandler = (request: Request) => Promise<Response>

/**
 * Serves the API on Fetch requests and responses. A request is interrupted by its signal and by the scope; its
 * admission ends when the body has been read or cancelled.
 */
export const makeFetchHandler = Effect.fnUntraced(function* (options: { readonly prefix?: string } = {}) {
  const api = yield* ShapeApi
  const outer = yield* Effect.scope
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const prefix = normalisePrefix(options.prefix ?? "")

  const handler: FetchHandler = (request) =>
    new Promise<Response>((resolve, reject) => {
      const target = stripPrefix(targetOf(request.url), prefix) ?? "/.."
      const scope = Scope.forkUnsafe(outer)
      const close = () => void run(Scope.close(scope, Exit.void))
      const fiber = run(Effect.provideService(api.handle(apiRequest(request, target)), Scope.Scope, scope))
      Fiber.runIn(fiber, outer)
      const abort = () => {
        fiber.interruptUnsafe()
        close()
      }
      request.signal.addEventListener("abort", abort, { once: true })
      fiber.addObserver((exit) => {
        if (Exit.isSuccess(exit)) return resolve(responseOf(request, exit.value, close))
        close()
        reject(new Error("The request was given up.", { cause: exit.cause }))
      })
      if (request.signal.aborted) abort()
    })
  return handler
})
