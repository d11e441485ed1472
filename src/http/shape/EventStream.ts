import { Cause, type Effect, Exit, type Fiber } from "effect"
import type { PieceSource } from "../../shared/Pieces.ts"
import type { LogWatcher, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { WakeReason } from "../../storage/state/Waiters.ts"
import type { ParkedEvents } from "./ParkedRequest.ts"
import { eventPieces, smallEvents } from "./ServerSentEvents.ts"

/**
 * A stream of server-sent events on its way to a client: does what its session says, whatever carries it. Between events
 * it is this object and the wait in the log: no fiber with a stack, however many clients listen.
 */
export abstract class EventStream implements LogWatcher {
  protected readonly events: ParkedEvents
  private fiber: Fiber.Fiber<unknown, unknown> | undefined
  private waiting: { stop(): void } | undefined
  private isOver = false
  /** What is delivered next was waited for. */
  private isAwaited = false

  constructor(events: ParkedEvents) {
    this.events = events
  }

  /** Writes a piece. Where there is no room for another one then, what completes when there is. */
  protected abstract write(bytes: Uint8Array): Effect.Effect<void> | undefined
  /** Writes pieces as there is room for them. */
  protected abstract writeAll(source: PieceSource): Effect.Effect<void, ShapeReadError>
  /** There is nothing more to come. Completes when the client has taken what was written. */
  protected abstract end(): Effect.Effect<void>
  /** Ends it in the middle, so that its client sees that. */
  protected abstract cut(cause: Cause.Cause<unknown>): void
  /** Starts an Effect that is also interrupted when what carries the stream ends. */
  protected abstract start<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E>
  /** Called once, when the stream is over for whatever reason. */
  protected abstract over(): void

  /** Goes on until there is nothing to do. */
  drive(): void {
    try {
      let goesOn = true
      while (goesOn) goesOn = this.step()
    } catch (problem) {
      this.giveUp(Cause.die(problem))
    }
  }

  /** Takes one step; false when there is nothing to do now. */
  private step(): boolean {
    const { session, services } = this.events
    const { logs, timers } = services
    const next = session.next(timers.nowMillis())
    switch (next._tag) {
      case "End":
        this.settle(this.end(), () => this.finish())
        return false
      case "Write":
        return this.writeOne(next.bytes)
      case "Deliver": {
        if (this.isAwaited) services.servingLag.delivered(next.slice.next.tx, timers.epochMillis())
        this.isAwaited = false
        const bytes = smallEvents(next.slice)
        return bytes === undefined
          ? this.settle(this.writeAll(eventPieces(next.slice)), nothing)
          : this.writeOne(bytes)
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
    this.isAwaited = reason === "changed"
    this.events.services.servingLag.observer?.woken()
    this.events.session.woken(reason)
    this.drive()
  }

  private writeOne(bytes: Uint8Array): boolean {
    const room = this.write(bytes)
    return room === undefined || this.settle(room, nothing)
  }

  /** Runs what cannot be done at once. True when it was done at once all the same; otherwise it goes on by itself. */
  private settle<A>(effect: Effect.Effect<A, ShapeReadError>, then: (value: A) => void): boolean {
    const fiber = this.start(effect)
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
    else this.giveUp(exit.cause)
    return !this.isOver
  }

  private giveUp(cause: Cause.Cause<unknown>): void {
    this.cut(cause)
    this.finish()
  }

  /** Nothing is written any more. */
  finish(): void {
    if (this.isOver) return
    this.isOver = true
    this.events.release()
    this.waiting?.stop()
    this.fiber?.interruptUnsafe()
    this.over()
  }
}

const nothing = () => {}
