import type { IncomingMessage, ServerResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import { type Context, Deferred, Effect, Fiber, type Scope } from "effect"
import { type ApiRequest, BodyTooLarge, BodyUnreadable } from "./ApiRequest.ts"
import { finishReply, sendReply, sendReplyNow } from "./NodeReply.ts"
import { ShapeApi } from "./ShapeApi.ts"

export type NodeRequest = IncomingMessage | Http2ServerRequest
export type NodeResponse = ServerResponse | Http2ServerResponse

/** Bytes of a request line, and of one header line, that are accepted. */
const maxLineBytes = 10_000
const maxHeaders = 50

/** The status for a request that is over a limit of HTTP itself; `undefined` for nearly all. */
export const limitStatus = (request: NodeRequest): 414 | 431 | undefined => {
  const { url, method, rawHeaders } = request
  if ((url?.length ?? 0) + (method?.length ?? 0) + " HTTP/1.1 ".length > maxLineBytes) return 414
  if (rawHeaders.length > maxHeaders * 2) return 431
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const length = (rawHeaders[i]?.length ?? 0) + (rawHeaders[i + 1]?.length ?? 0) + 2
    if (length > maxLineBytes) return 431
  }
  return undefined
}

const readBody = (request: NodeRequest, maxBytes: number) =>
  Effect.callback<Uint8Array, BodyTooLarge | BodyUnreadable>((resume) => {
    const pieces: Array<Buffer> = []
    let length = 0
    const onData = (piece: Buffer) => {
      length += piece.length
      if (length <= maxBytes) pieces.push(piece)
      else finish(Effect.fail(new BodyTooLarge()))
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

class NodeApiRequest implements ApiRequest {
  private readonly source: NodeRequest
  readonly method: string
  readonly target: string

  constructor(source: NodeRequest, target: string) {
    this.source = source
    this.method = source.method ?? "GET"
    this.target = target
  }

  header(name: string): string | undefined {
    const value = this.source.headers[name]
    return typeof value === "string" ? value : value?.[0]
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = Object.create(null) as Record<string, string>
    for (const [name, value] of Object.entries(this.source.headers))
      if (value !== undefined && !name.startsWith(":"))
        headers[name] = typeof value === "string" ? value : value.join(", ")
    return headers
  }

  body(maxBytes: number) {
    return readBody(this.source, maxBytes)
  }
}

export interface NodeHandlerOptions {
  /** How long one piece of a response may wait for its client before the connection is destroyed. */
  readonly sendTimeoutMillis: number
  /** Path under which the API is mounted, such as `/sync`. Not needed where the framework strips it from `url`. */
  readonly prefix?: string
}

/** A request handler for `node:http`, `node:http2` and everything that takes such handlers. */
export interface NodeHandler {
  (request: NodeRequest, response: NodeResponse): void
  /** Requests whose response is not finished. */
  readonly running: () => number
  /** Completes when none is running. */
  readonly awaitIdle: Effect.Effect<void>
}

/** The part of a target after the prefix; `undefined` when it lies elsewhere. */
export const stripPrefix = (target: string, prefix: string): string | undefined => {
  if (prefix === "") return target
  if (!target.startsWith(prefix)) return undefined
  const rest = target.slice(prefix.length)
  if (rest === "" || rest.startsWith("?")) return `/${rest}`
  return rest.startsWith("/") ? rest : undefined
}

/** `/sync/` and `sync` mean `/sync`; the root is the empty prefix. */
export const normalisePrefix = (prefix: string): string => {
  const trimmed = prefix.replace(/^\/+|\/+$/g, "")
  return trimmed === "" ? "" : `/${trimmed}`
}

/**
 * Serves the API on raw Node requests and responses. One fiber per request, interrupted when the client goes away or
 * the scope closes; a request that waits costs no timer and no work.
 */
export const makeNodeHandler = Effect.fnUntraced(function* (options: NodeHandlerOptions) {
  const api = yield* ShapeApi
  const scope = yield* Effect.scope
  // The handler needs no services of the host beyond the built-in references (loggers and the like).
  const context: Context.Context<never> = yield* Effect.context<never>()
  const run = Effect.runForkWith(context)
  const prefix = normalisePrefix(options.prefix ?? "")
  const { sendTimeoutMillis } = options
  let running = 0
  let idle: Deferred.Deferred<void> | undefined

  const over = () => {
    running--
    if (running > 0 || idle === undefined) return
    Deferred.doneUnsafe(idle, Effect.void)
    idle = undefined
  }

  const handler = (request: NodeRequest, response: NodeResponse): void => {
    const status = limitStatus(request)
    if (status !== undefined) {
      response.statusCode = status
      if (request.httpVersionMajor === 1) response.setHeader("connection", "close")
      response.end()
      return
    }
    const given = request.url ?? "/"
    // What lies outside the prefix is answered like any unknown route.
    const target = stripPrefix(given, prefix) ?? "/.."
    const asked = new NodeApiRequest(request, target)
    const reply = api.immediate(asked)
    if (reply === undefined)
      serve(
        response,
        Effect.scoped(
          Effect.flatMap(api.handle(asked), (made) => sendReply(request, response, made, sendTimeoutMillis))
        )
      )
    else if (!sendReplyNow(request, response, reply))
      serve(response, finishReply(response, sendTimeoutMillis))
  }

  const serve = (response: NodeResponse, effect: Effect.Effect<void>): void => {
    running++
    const fiber = run(effect)
    if (fiber.pollUnsafe() !== undefined) return over()
    Fiber.runIn(fiber, scope)
    response.on("close", () => fiber.interruptUnsafe())
    fiber.addObserver(over)
  }

  return Object.assign(handler, {
    running: () => running,
    awaitIdle: Effect.suspend(() =>
      running === 0 ? Effect.void : Deferred.await((idle ??= Deferred.makeUnsafe<void>()))
    )
  }) satisfies NodeHandler
})

export type NodeHandlerServices = ShapeApi | Scope.Scope
