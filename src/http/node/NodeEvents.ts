import { Cause, type Effect, Exit, type Fiber } from "effect"
import type { LogWatcher, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { WakeReason } from "../../storage/state/Waiters.ts"
import { destroyResponse, type NodeRequest, type NodeResponse } from "./Exchange.ts"
import type { Held } from "./HeldRequest.ts"
import { cutReply, drained, finishReply, openReply, writeNow, writePiece } from "./NodeReply.ts"
import type { ParkedEvents } from "../shape/ParkedRequest.ts"
import { saysWhenWritten, type Sending, sendPieces } from "./SendPieces.ts"
import { eventPieces, smallEvents, writeEvents } from "../shape/ServerSentEvents.ts"

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

/**
 * An event stream on a Node response. Between events it is this object and the wait in the log: no fiber with a stack,
 * however many clients listen.
 */
export class NodeEventStream implements LogWatcher {
  private readonly host: EventHost
  private readonly response: NodeResponse
  private readonly events: ParkedEvents
  private fiber: Fiber.Fiber<unknown, unknown> | undefined
  private waiting: { stop(): void } | undefined
  private isOver = false

  constructor(host: EventHost, response: NodeResponse, events: ParkedEvents) {
    this.host = host
    this.response = response
    this.events = events
  }

  open(request: NodeRequest): void {
    this.host.all.add(this)
    this.response.on("close", () => this.finish())
    openReply(request, this.response, this.events.takeReply())
    this.drive()
  }

  private drive(): void {
    try {
      let goesOn = true
      while (goesOn) goesOn = this.step()
    } catch (problem) {
      this.cut(Cause.die(problem))
    }
  }

  /** Takes one step; false when there is nothing to do now. */
  private step(): boolean {
    const { session, services } = this.events
    const { logs, timers } = services
    const next = session.next(timers.nowMillis())
    switch (next._tag) {
      case "End":
        this.response.end()
        this.settle(finishReply(this.response, this.host.sending.timeoutMillis), () => this.finish())
        return false
      case "Write":
        return this.write(next.bytes)
      case "Deliver": {
        const bytes = smallEvents(next.slice)
        if (bytes !== undefined) return this.write(bytes)
        const { response, host } = this
        const pieces = saysWhenWritten(response) ? eventPieces(next.slice) : undefined
        return this.settle(
          pieces === undefined
            ? writeEvents(next.slice, (piece) => writePiece(response, piece, host.sending.timeoutMillis))
            : sendPieces(response, pieces, host.sending),
          nothing
        )
      }
      case "Read": {
        const found = logs.readNow(session.shape, next.position)
        if (found === undefined)
          return this.settle(logs.read(session.shape, next.position), (read) => session.found(read))
        session.found(found)
        return true
      }
      case "Wait": {
        const waiting = logs.watch(session.shape, next.after, next.millis, this)
        if (typeof waiting !== "string") {
          this.waiting = waiting
          return false
        }
        session.woken(waiting)
        return true
      }
    }
  }

  woken(reason: WakeReason): void {
    this.waiting = undefined
    if (this.isOver) return
    this.events.session.woken(reason)
    this.drive()
  }

  private write(bytes: Uint8Array): boolean {
    return (
      writeNow(this.response, bytes) ||
      this.settle(drained(this.response, this.host.sending.timeoutMillis), nothing)
    )
  }

  /** Runs what cannot be done at once. True when it was done at once all the same; otherwise it goes on by itself. */
  private settle<A>(effect: Effect.Effect<A, ShapeReadError>, then: (value: A) => void): boolean {
    const fiber = this.host.start(effect)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return this.settled(exit, then)
    this.fiber = fiber
    fiber.addObserver((later) => {
      if (this.settled(later, then)) this.drive()
    })
    return false
  }

  /** False when the stream is over. */
  private settled<A>(exit: Exit.Exit<A, ShapeReadError>, then: (value: A) => void): boolean {
    this.fiber = undefined
    if (this.isOver) return false
    if (Exit.isSuccess(exit)) then(exit.value)
    else this.cut(exit.cause)
    return !this.isOver
  }

  private cut(cause: Cause.Cause<unknown>): void {
    this.host.start(cutReply(this.response, cause))
    this.finish()
  }

  /** The service is about to end: the stream is cut. */
  abandon(): void {
    this.finish()
    destroyResponse(this.response)
  }

  private finish(): void {
    if (this.isOver) return
    this.isOver = true
    this.host.all.delete(this)
    this.events.release()
    this.waiting?.stop()
    this.fiber?.interruptUnsafe()
    this.host.over()
  }
}

const nothing = () => {}
