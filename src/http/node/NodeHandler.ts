import { Effect, FiberSet, Option } from "effect"
import { standardLimits } from "../../config/Limits.ts"
import type { NodeRequest, NodeResponse } from "./Exchange.ts"
import { Metrics } from "../../telemetry/Metrics.ts"
import type { SimpleRequest } from "../simple/SimpleRequest.ts"
import type { SimpleResponse } from "../simple/SimpleResponse.ts"
import { PieceBuffers } from "./PieceBuffers.ts"
import { Responder } from "./Responder.ts"
import { normalisePrefix, stripPrefix } from "../request/Prefix.ts"
import { ShapeApi } from "../shape/ShapeApi.ts"
import { JournalTail } from "./JournalTail.ts"

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

/**
 * Serves the API on raw Node requests and responses. One fiber per request, interrupted when the client goes away or
 * the scope closes; a request that waits has none, and costs no timer and no work.
 */
export const makeNodeHandler = (options: NodeHandlerOptions) =>
  Effect.map(makeNodeServing(options), ({ handler }) => handler)

/** The handler, and what takes simple requests beside it. */
export interface NodeServing {
  readonly handler: NodeHandler
  readonly arrivedSimply: (request: SimpleRequest, response: SimpleResponse) => void
}

export const makeNodeServing = Effect.fnUntraced(function* (options: NodeHandlerOptions) {
  const { pipelinedRequests = standardLimits.pipelinedRequests, prefix = "", sendTimeoutMillis } = options
  const fibers = yield* FiberSet.make()
  const { slowReaders } = yield* Metrics
  const responder = new Responder({
    api: yield* ShapeApi,
    sending: { timeoutMillis: sendTimeoutMillis, buffers: new PieceBuffers(), slow: slowReaders },
    prefix,
    pipelinedRequests,
    own: (fiber) => FiberSet.addUnsafe(fibers, fiber),
    context: yield* Effect.context<never>()
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => responder.abandonHeld()))
  const tail = Option.getOrUndefined(yield* Effect.serviceOption(JournalTail))
  const mounted = normalisePrefix(prefix)
  const handler: (...args: Parameters<NodeHandler>) => void = (request, response, given) => {
    const target = tail === undefined ? undefined : stripPrefix(request.url ?? "/", mounted)
    if (target !== undefined && tail?.take(request, response, target) === true) return
    responder.arrived(request, response, typeof given === "object" ? given.body : undefined)
  }
  const served = Object.assign(handler, {
    running: () => responder.running.current,
    awaitIdle: responder.running.awaitIdle,
    expireHeld: () => responder.expireHeld()
  }) satisfies NodeHandler
  return {
    handler: served,
    arrivedSimply: (request, response) => responder.arrivedSimply(request, response)
  } satisfies NodeServing
})
