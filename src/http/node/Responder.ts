import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Cause, type Context, Effect, Exit, type Fiber } from "effect"
import { normalisePrefix, stripPrefix } from "../request/Prefix.ts"
import { RunningCount } from "../reply/RunningCount.ts"
import type { Answer, Later } from "../shape/Answer.ts"
import type { ParkedEvents, ParkedRequest } from "../shape/ParkedRequest.ts"
import { finishParked } from "../shape/ReadLog.ts"
import type { ShapeApi } from "../shape/ShapeApi.ts"
import type { SimpleRequest } from "../simple/SimpleRequest.ts"
import type { SimpleResponse } from "../simple/SimpleResponse.ts"
import {
  type AnyRequest,
  type AnyResponse,
  destroyResponse,
  type NodeRequest,
  type NodeResponse
} from "./Exchange.ts"
import { type Held, HeldRequest, type HeldRequests } from "./HeldRequest.ts"
import { limitStatus, NodeApiRequest } from "./NodeApiRequest.ts"
import { type EventHost, NodeEventStream } from "./NodeEvents.ts"
import { finishReply, sendReply, sendReplyNow } from "./NodeReply.ts"
import { Pipeline } from "./Pipeline.ts"
import type { Sending } from "./SendPieces.ts"
import { leavesBodyUnread, replyAndDiscard } from "./UnreadBody.ts"

/** What must not happen: told to the operator, and to the client by cutting the connection. */
const fail = (response: AnyResponse, problem: unknown): Effect.Effect<void> => {
  destroyResponse(response)
  return reportFault("BATON-SERVICE-MISTAKE", {
    message:
      "A response could not be sent. This is a bug in Baton, please report it. " +
      "The client's connection was cut; the service goes on.",
    cause: Cause.isCause(problem) ? problem : Cause.die(problem)
  })
}

const nothing = () => {}

interface ResponderOptions {
  readonly api: ShapeApi["Service"]
  readonly sending: Sending
  readonly prefix: string
  readonly pipelinedRequests: number
  /** Takes a fiber, and interrupts it when the handler's scope closes. */
  readonly own: (fiber: Fiber.Fiber<unknown, unknown>) => void
  /** Of loggers and the like: no service of the host is needed. */
  readonly context: Context.Context<never>
}

/**
 * The requests of one Node handler, from their arrival until their responses are finished. What can be answered at once is,
 * what waits for its shape is held without a fiber, and everything else is a fiber that ends with its connection.
 */
export class Responder implements HeldRequests, EventHost {
  readonly running = new RunningCount()
  readonly all = new Set<Held>()
  readonly sending: Sending
  private readonly api: ShapeApi["Service"]
  private readonly prefix: string
  private readonly pipeline: Pipeline
  private readonly own: ResponderOptions["own"]
  private readonly run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

  constructor(options: ResponderOptions) {
    this.api = options.api
    this.sending = options.sending
    this.prefix = normalisePrefix(options.prefix)
    this.pipeline = new Pipeline(options.pipelinedRequests)
    this.own = options.own
    this.run = Effect.runForkWith(options.context)
  }

  arrived(request: NodeRequest, response: NodeResponse, body: unknown): void {
    // Node parses whatever has arrived: this request came before the one ahead of it was answered.
    if (response.socket === null && request.httpVersionMajor === 1)
      this.pipeline.await(request, response, () => this.begin(request, response, body))
    else this.begin(request, response, body)
  }

  private begin(request: NodeRequest, response: NodeResponse, body: unknown): void {
    try {
      this.respond(request, response, body)
    } catch (problem) {
      this.failed(response, problem)
    }
  }

  /** As `arrived`, for what is within all limits of HTTP. */
  arrivedSimply(request: SimpleRequest, response: SimpleResponse): void {
    try {
      this.take(request, response, this.api.handle(request))
    } catch (problem) {
      this.failed(response, problem)
    }
  }

  private respond(request: NodeRequest, response: NodeResponse, body: unknown): void {
    const status = limitStatus(request)
    if (status !== undefined) {
      return this.take(request, response, {
        status,
        headers: [],
        body: { _tag: "Empty" },
        closeConnection: request.httpVersionMajor === 1
      })
    }
    // What lies outside the prefix is answered like any unknown route.
    const target = stripPrefix(request.url ?? "/", this.prefix) ?? "/.."
    this.take(request, response, this.api.handle(new NodeApiRequest(request, target, body)))
  }

  private take(request: AnyRequest, response: AnyResponse, made: Answer): void {
    if (!("_tag" in made)) {
      if (leavesBodyUnread(request, response, made))
        this.serve(response, replyAndDiscard(request, response, made, this.sending))
      else if (!sendReplyNow(request, response, made)) this.serve(response, this.finishReply(response))
    } else if (made._tag === "Later") this.serve(response, this.send(request, response, made.made))
    else this.hold(request, response, made)
  }

  /** Makes a reply and sends it; a request that is parked instead is held, and then this is over. */
  private send(request: AnyRequest, response: AnyResponse, making: Later["made"]): Effect.Effect<void> {
    return Effect.catchCause(
      Effect.scoped(
        Effect.flatMap(making, (made) =>
          "_tag" in made
            ? Effect.sync(() => this.hold(request, response, made))
            : leavesBodyUnread(request, response, made)
              ? replyAndDiscard(request, response, made, this.sending)
              : sendReply(request, response, made, this.sending)
        )
      ),
      (cause) => (Cause.hasInterruptsOnly(cause) ? Effect.interrupt : fail(response, cause))
    )
  }

  private hold(request: AnyRequest, response: AnyResponse, parked: ParkedRequest | ParkedEvents): void {
    this.running.begin()
    if ("forget" in request) request.forget()
    if (parked._tag === "Parked") return new HeldRequest(this, request, response, parked).begin()
    parked.keep()
    new NodeEventStream(this, response, parked).open(request)
  }

  start<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    const fiber = this.run(effect)
    if (fiber.pollUnsafe() === undefined) this.own(fiber)
    return fiber
  }

  serve(response: AnyResponse, effect: Effect.Effect<void>, release = nothing): void {
    this.running.begin()
    const started = this.start(effect)
    if (started.pollUnsafe() !== undefined) {
      release()
      return this.over()
    }
    // Not kept for longer than it runs: the response of a request that is held may live on for long.
    let fiber: typeof started | undefined = started
    response.on("close", () => fiber?.interruptUnsafe())
    started.addObserver((exit) => {
      fiber = undefined
      if (Exit.isFailure(exit)) destroyResponse(response)
      release()
      this.over()
    })
  }

  finishReply(response: AnyResponse): Effect.Effect<void> {
    return finishReply(response, this.sending)
  }

  answer(request: AnyRequest, response: AnyResponse, parked: ParkedRequest): Effect.Effect<void> {
    return this.send(request, response, finishParked(parked))
  }

  failed(response: AnyResponse, problem: unknown): void {
    this.run(fail(response, problem))
  }

  over(): void {
    this.running.over()
  }

  expireHeld(): void {
    for (const held of this.all) held.expire?.()
  }

  /** Cuts what is held. */
  abandonHeld(): void {
    for (const held of this.all) held.abandon()
  }
}
