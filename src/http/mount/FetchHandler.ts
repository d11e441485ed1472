import { Cause, Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { refusals } from "../../health/Refusal.ts"
import type { ApiReply } from "../reply/ApiReply.ts"
import { type ApiRequest, BodyTaken, BodyTooLarge, BodyUnreadable } from "../request/ApiRequest.ts"
import { givenBytes } from "../request/GivenBytes.ts"
import type { GivenBody } from "../node/NodeHandler.ts"
import { normalisePrefix, stripPrefix } from "../request/Prefix.ts"
import { refusedFor } from "../reply/Failures.ts"
import { jsonType } from "../reply/Replies.ts"
import { RunningCount } from "../reply/RunningCount.ts"
import { type Whole, wholeReply } from "../shape/Answer.ts"
import { ShapeApi } from "../shape/ShapeApi.ts"
import { eventStream, replyStream } from "./ReplyStream.ts"

const advice =
  "Call baton.fetch before anything that reads bodies, or hand over what was read: baton.fetch(request, { body }), where " +
  "body is text, bytes or parsed JSON (with Hono, for example, { body: await context.req.text() })."

/** The body that was handed over, if one was read already, else the request's own. */
const readBody = (request: Request, given: unknown, maxBytes: number, arrived?: (bytes: number) => void) =>
  Effect.gen(function* () {
    if (request.bodyUsed || request.body?.locked === true) {
      const bytes = givenBytes(given)
      if (bytes === undefined) return yield* new BodyTaken({ advice })
      return bytes.length > maxBytes ? yield* new BodyTooLarge() : bytes
    }
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
        arrived?.(piece.length)
        return Effect.void
      })
    )
    return Buffer.concat(pieces, length)
  })

const apiRequest = (request: Request, target: string, given: unknown): ApiRequest => ({
  method: request.method,
  target,
  header: (name) => request.headers.get(name) ?? undefined,
  headers: () => Object.fromEntries(request.headers),
  body: (maxBytes, arrived) => readBody(request, given, maxBytes, arrived)
})

/** Everything after the authority, as it was sent: parsing it would normalise what must not be. */
const targetOf = (url: string): string => {
  const authority = url.indexOf("://") + 3
  const path = url.indexOf("/", authority)
  const fragment = url.indexOf("#")
  return path < 0 ? "/" : url.slice(path, fragment < 0 ? undefined : fragment)
}

const headersOf = (list: ReadonlyArray<string>): Headers => {
  const headers = new Headers()
  for (let i = 0; i + 1 < list.length; i += 2) headers.append(list[i] ?? "", list[i + 1] ?? "")
  return headers
}

const responseOf = (
  request: Request,
  made: Whole,
  close: () => void,
  cut: Effect.Effect<never, Error>
): Response => {
  const reply: ApiReply = "_tag" in made ? made.takeReply() : made
  const { status, body } = reply
  const init = { status, headers: headersOf(reply.headers) }
  if (request.method === "HEAD" || body._tag === "Empty" || body._tag === "Text") {
    close()
    const text = body._tag === "Text" && request.method !== "HEAD" ? body.text : null
    return new Response(text, init)
  }
  if (body._tag === "Bytes") init.headers.set("content-length", String(body.byteLength))
  const pieces = "_tag" in made ? eventStream(made) : replyStream(body)
  const stream = pieces.pipe(Stream.interruptWhen(cut), Stream.ensuring(Effect.sync(close)))
  return new Response(Stream.toReadableStream(stream, { strategy: { highWaterMark: 0 } }), init)
}

/** A request handler for whatever speaks the Fetch API. */
export interface FetchHandler {
  /**
   * Never rejects but with the reason of the request's signal (an `AbortError` by default) when that gives the request up.
   * A body that has been read already is taken from `given.body`. Whatever else comes second means nothing.
   */
  (request: Request, given?: GivenBody): Promise<Response>
  /** Requests whose response has not been read to its end. */
  readonly running: () => number
  /** Completes when none is running. */
  readonly awaitIdle: Effect.Effect<void>
}

const stopped = () => {
  const { body, headers, status } = refusedFor(refusals.ended)
  const all = headersOf(["content-type", jsonType, "cache-control", "no-store", ...headers])
  return new Response(body, { status, headers: all })
}

/**
 * Serves the API on Fetch requests and responses. A request is interrupted by its signal and by the scope; its
 * admission ends when the body has been read or cancelled.
 */
export const makeFetchHandler = Effect.fnUntraced(function* (options: { readonly prefix?: string } = {}) {
  const api = yield* ShapeApi
  // Closed when the caller's scope reaches this handler, and not before: what the caller adds after it, such as waiting
  // until no request is running, comes first.
  const outer = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const prefix = normalisePrefix(options.prefix ?? "")
  /** Ends the bodies that are still being read when the service ends, and not as if they were complete. */
  const ended = yield* Deferred.make<never, Error>()
  yield* Effect.addFinalizer(() => Deferred.fail(ended, new Error("The service has ended.")))
  const running = new RunningCount()

  const handler = (request: Request, given?: GivenBody) =>
    new Promise<Response>((resolve, reject) => {
      const { signal } = request
      if (signal.aborted) return reject(signal.reason)
      if (outer.state._tag === "Closed") return resolve(stopped())
      const target = stripPrefix(targetOf(request.url), prefix) ?? "/.."
      const scope = Scope.forkUnsafe(outer)
      running.begin()
      let isOver = false
      const close = () => {
        if (isOver) return
        isOver = true
        signal.removeEventListener("abort", abort)
        run(Scope.close(scope, Exit.void))
        running.over()
      }
      const body = typeof given === "object" ? given?.body : undefined
      const fiber = run(
        Effect.provideService(wholeReply(api.handle(apiRequest(request, target, body))), Scope.Scope, scope)
      )
      Fiber.runIn(fiber, outer)
      const abort = () => {
        fiber.interruptUnsafe()
        close()
      }
      signal.addEventListener("abort", abort, { once: true })
      fiber.addObserver((exit) => {
        if (Exit.isSuccess(exit))
          return resolve(responseOf(request, exit.value, close, Deferred.await(ended)))
        close()
        if (signal.aborted) reject(signal.reason)
        else if (Cause.hasInterruptsOnly(exit.cause)) resolve(stopped())
        else reject(Cause.squash(exit.cause))
      })
    })
  return Object.assign(handler, {
    running: () => running.current,
    awaitIdle: running.awaitIdle
  }) satisfies FetchHandler
})
