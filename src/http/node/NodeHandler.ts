import { Cause, type Context, Deferred, Effect, Exit, Fiber } from "effect"
import { standardLimits } from "../../config/Limits.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"
import { destroyResponse, type NodeRequest, type NodeResponse } from "./Exchange.ts"
import { finishReply, sendReply, sendReplyNow } from "./NodeReply.ts"
import { type Held, HeldRequest, type HeldRequests } from "./HeldRequest.ts"
import { readNodeBody } from "./NodeBody.ts"
import { type EventHost, NodeEventStream } from "./NodeEvents.ts"
import type { ParkedEvents, ParkedRequest } from "../shape/ParkedRequest.ts"
import { Pipeline } from "./Pipeline.ts"
import { normalisePrefix, stripPrefix } from "../request/Prefix.ts"
import type { Later } from "../shape/Answer.ts"
import { finishParked } from "../shape/ReadLog.ts"
import { ShapeApi } from "../shape/ShapeApi.ts"

/** Bytes of a request line, and of one header line, that are accepted. */
const maxLineBytes = 10_000
const maxHeaders = 50

/** The status for a request that is over a limit of HTTP itself; `undefined` for nearly all. */
const limitStatus = (request: NodeRequest): 414 | 431 | undefined => {
  const { url, method, rawHeaders } = request
  if (rawHeaders.length > maxHeaders * 2) return 431
  // HTTP/2 has no lines, and its own limit for all headers together.
  if (request.httpVersionMajor > 1) return undefined
  if ((url?.length ?? 0) + (method?.length ?? 0) + " HTTP/1.1 ".length > maxLineBytes) return 414
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const length = (rawHeaders[i]?.length ?? 0) + (rawHeaders[i + 1]?.length ?? 0) + 2
    if (length > maxLineBytes) return 431
  }
  return undefined
}

class NodeApiRequest implements ApiRequest {
  private readonly source: NodeRequest
  private readonly given: unknown
  readonly method: string
  readonly target: string

  constructor(source: NodeRequest, target: string, given: unknown) {
    this.source = source
    this.given = given
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

  body(maxBytes: number, arrived?: (bytes: number) => void) {
    return readNodeBody(this.source, this.given, maxBytes, arrived)
  }
}

export interface NodeHandlerOptions {
  /** How long one piece of a response may wait for its client before the connection is destroyed. */
  readonly sendTimeoutMillis: number
  /** Path under which the API is mounted, such as `/sync`. Not needed where the framework strips it from `url`. */
  readonly prefix?: string
  /** Above it a connection is cut. Default: the standard limit. */
  readonly pipelinedRequests?: number
}

/** What a framework has read of a request before its handler was called. */
export interface GivenBody {
  /** Text, bytes, or what a JSON parser made of them. */
  readonly body?: unknown
}

type AnyFunction = (...args: ReadonlyArray<never>) => unknown

/** A request handler for `node:http`, `node:http2` and everything that takes such handlers. */
export interface NodeHandler {
  /**
   * A body that has been read already is taken from `given.body`, or from `request.body`, where Express and others leave
   * it. Headers of CORS that stand on the response already stay as they are. Whatever else comes third (Express' `next`)
   * means nothing.
   */
  (request: NodeRequest, response: NodeResponse, given?: GivenBody | AnyFunction): void
  /** Requests whose response is not finished. */
  readonly running: () => number
  /** Completes when none is running. */
  readonly awaitIdle: Effect.Effect<void>
  /** Answers the long polls that wait, as if their time were over. */
  readonly expireHeld: () => void
}

/** What must not happen: told to the operator, and to the client by cutting the connection. */
const fail = (response: NodeResponse, problem: unknown): Effect.Effect<void> => {
  destroyResponse(response)
  return Effect.logError(
    "A response could not be sent. This is a bug in Baton, please report it. " +
      "The client's connection was cut; the service goes on.",
    problem
  )
}

const nothing = () => {}

/**
 * Serves the API on raw Node requests and responses. One fiber per request, interrupted when the client goes away or
 * the scope closes; a request that waits has none, and costs no timer and no work.
 */
export const makeNodeHandler = Effect.fnUntraced(function* (options: NodeHandlerOptions) {
  const api = yield* ShapeApi
  // The handler needs no services of the host beyond the built-in references (loggers and the like).
  const context: Context.Context<never> = yield* Effect.context<never>()
  const run = Effect.runForkWith(context)
  const prefix = normalisePrefix(options.prefix ?? "")
  const { pipelinedRequests = standardLimits.pipelinedRequests, sendTimeoutMillis } = options
  let running = 0
  let idle: Deferred.Deferred<void> | undefined
  const fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  const allHeld = new Set<Held>()
  const pipeline = new Pipeline(pipelinedRequests)
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.sync(() => {
        for (const held of allHeld) held.abandon()
      }),
      Fiber.interruptAll(fibers)
    )
  )

  const over = () => {
    running--
    if (running > 0 || idle === undefined) return
    Deferred.doneUnsafe(idle, Effect.void)
    idle = undefined
  }

  const handler: (...args: Parameters<NodeHandler>) => void = (request, response, given) => {
    // Node parses whatever has arrived: this request came before the one ahead of it was answered.
    if (response.socket === null && request.httpVersionMajor === 1)
      return pipeline.await(request, response, () => begin(request, response, given))
    begin(request, response, given)
  }

  const begin: (...args: Parameters<NodeHandler>) => void = (request, response, given) => {
    try {
      enter(request, response, typeof given === "object" ? given.body : undefined)
    } catch (problem) {
      run(fail(response, problem))
    }
  }

  const enter = (request: NodeRequest, response: NodeResponse, body: unknown): void => {
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
    const asked = new NodeApiRequest(request, target, body)
    const answer = api.handle(asked)
    if ("_tag" in answer)
      if (answer._tag === "Later") serve(response, send(request, response, answer.made))
      else hold(request, response, answer)
    else if (!sendReplyNow(request, response, answer))
      serve(response, finishReply(response, sendTimeoutMillis))
  }

  /** Makes a reply and sends it; a request that is parked instead is held, and then this is over. */
  const send = (request: NodeRequest, response: NodeResponse, making: Later["made"]): Effect.Effect<void> =>
    Effect.catchCause(
      Effect.scoped(
        Effect.flatMap(making, (made) =>
          "_tag" in made
            ? Effect.sync(() => hold(request, response, made))
            : sendReply(request, response, made, sendTimeoutMillis)
        )
      ),
      (cause) => (Cause.hasInterruptsOnly(cause) ? Effect.interrupt : fail(response, cause))
    )

  const hold = (request: NodeRequest, response: NodeResponse, parked: ParkedRequest | ParkedEvents): void => {
    running++
    if (parked._tag === "Parked") return new HeldRequest(heldRequests, request, response, parked).begin()
    parked.keep()
    new NodeEventStream(eventHost, response, parked).open(request)
  }

  /** Runs an Effect that is interrupted when this handler's scope closes. */
  const start: EventHost["start"] = (effect) => {
    const fiber = run(effect)
    if (fiber.pollUnsafe() !== undefined) return fiber
    fibers.add(fiber)
    fiber.addObserver(() => fibers.delete(fiber))
    return fiber
  }

  const eventHost: EventHost = { all: allHeld, start, sendTimeoutMillis, over }

  const serve = (response: NodeResponse, effect: Effect.Effect<void>, release = nothing): void => {
    running++
    const started = start(effect)
    if (started.pollUnsafe() !== undefined) {
      release()
      return over()
    }
    // Not kept for longer than it runs: the response of a request that is held may live on for long.
    let fiber: typeof started | undefined = started
    response.on("close", () => fiber?.interruptUnsafe())
    started.addObserver((exit) => {
      fiber = undefined
      if (Exit.isFailure(exit)) destroyResponse(response)
      release()
      over()
    })
  }

  const heldRequests: HeldRequests = {
    all: allHeld,
    serve,
    finishReply: (response) => finishReply(response, sendTimeoutMillis),
    answer: (request, response, parked) => send(request, response, finishParked(parked)),
    failed: (response, problem) => void run(fail(response, problem)),
    over
  }

  return Object.assign(handler, {
    running: () => running,
    expireHeld: () => {
      for (const held of allHeld) held.expire?.()
    },
    awaitIdle: Effect.suspend(() =>
      running === 0 ? Effect.void : Deferred.await((idle ??= Deferred.makeUnsafe<void>()))
    )
  }) satisfies NodeHandler
})
