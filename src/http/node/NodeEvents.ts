import type { Cause, Effect, Fiber } from "effect"
import type { PieceSource } from "../../shared/Pieces.ts"
import type { ShapeReadError } from "../../storage/ShapeLogs.ts"
import { destroyResponse, endResponse, type AnyRequest, type AnyResponse } from "./Exchange.ts"
import type { Held } from "./HeldRequest.ts"
import { cutReply, drained, finishReply, openReply, writeNow } from "./NodeReply.ts"
import { EventStream } from "../shape/EventStream.ts"
import type { ParkedEvents } from "../shape/ParkedRequest.ts"
import { type Sending, sendPieces } from "./SendPieces.ts"

/** What the event streams of one handler share. */
export interface EventHost {
  /** Those that are open now. */
  readonly all: Set<Held>
  /** Starts an Effect that is interrupted when the handler's scope closes. */
  readonly start: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly sending: Sending
  /** Called once for each stream, when it is over for whatever reason. */
  readonly over: () => void
}

/** An event stream on a Node response. */
export class NodeEventStream extends EventStream implements Held {
  private readonly host: EventHost
  private readonly response: AnyResponse

  constructor(host: EventHost, response: AnyResponse, events: ParkedEvents) {
    super(events)
    this.host = host
    this.response = response
  }

  /** Sends the head of the reply, and begins. */
  open(request: AnyRequest): void {
    this.host.all.add(this)
    this.response.on("close", () => this.finish())
    openReply(request, this.response, this.events.takeReply())
    this.drive()
  }

  protected write(bytes: Uint8Array): Effect.Effect<void> | undefined {
    const { host, response } = this
    return writeNow(response, bytes) ? undefined : drained(response, host.sending)
  }

  protected writeAll(source: PieceSource): Effect.Effect<void, ShapeReadError> {
    return sendPieces(this.response, source, this.host.sending)
  }

  protected end(): Effect.Effect<void> {
    endResponse(this.response)
    return finishReply(this.response, this.host.sending)
  }

  protected cut(cause: Cause.Cause<unknown>): void {
    this.host.start(cutReply(this.response, cause))
  }

  protected start<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    return this.host.start(effect)
  }

  protected over(): void {
    this.host.all.delete(this)
    this.host.over()
  }

  /** The service is about to end: the stream is cut. */
  abandon(): void {
    this.finish()
    destroyResponse(this.response)
  }
}
