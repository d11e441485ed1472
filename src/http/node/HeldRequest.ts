import type { Effect } from "effect"
import type { LogWatcher } from "../../storage/ShapeLogs.ts"
import type { WakeReason } from "../../storage/state/Waiters.ts"
import { destroyResponse, type AnyRequest, type AnyResponse } from "./Exchange.ts"
import { sendReplyNow } from "./NodeReply.ts"
import type { ParkedRequest } from "../shape/ParkedRequest.ts"

/** A request, or a stream of events, that is held. */
export interface Held {
  /** Cuts its connection. */
  abandon(): void
  /** Answers that there is nothing new, instead of waiting for it any longer. Left out where no answer says that. */
  expire?(): void
}

/** What the held requests of one handler share. */
export interface HeldRequests {
  /** Those that are held now. */
  readonly all: Set<Held>
  /** Sees a response out whose request is held no more, and then runs `release`. */
  readonly serve: (response: AnyResponse, effect: Effect.Effect<void>, release: () => void) => void
  /** Completes when the client has taken everything, or was cut off. */
  readonly finishReply: (response: AnyResponse) => Effect.Effect<void>
  /** Answers in the long way. */
  readonly answer: (request: AnyRequest, response: AnyResponse, parked: ParkedRequest) => Effect.Effect<void>
  readonly failed: (response: AnyResponse, problem: unknown) => void
  /** Called once for each, when it is held no more; `serve` counts what follows itself. */
  readonly over: () => void
}

/** A live request that waits for its shape: no fiber, no timer, and no work while nothing happens. */
export class HeldRequest implements LogWatcher {
  private readonly held: HeldRequests
  private readonly request: AnyRequest
  private readonly response: AnyResponse
  private readonly parked: ParkedRequest
  private waiting: { stop(): void } | undefined
  private isOver = false

  constructor(held: HeldRequests, request: AnyRequest, response: AnyResponse, parked: ParkedRequest) {
    this.held = held
    this.request = request
    this.response = response
    this.parked = parked
  }

  begin(): void {
    this.held.all.add(this)
    this.parked.keep()
    this.response.on("close", () => this.abandon())
    this.wait()
  }

  private wait(): void {
    const waiting = this.parked.watch(this)
    if (typeof waiting === "string") this.woken(waiting)
    else this.waiting = waiting
  }

  woken(reason: WakeReason): void {
    this.waiting = undefined
    if (this.isOver) return
    try {
      this.resume(reason)
    } catch (problem) {
      this.end()
      this.parked.release()
      this.held.failed(this.response, problem)
    }
  }

  private resume(reason: WakeReason): void {
    const { held, parked, request, response } = this
    const made = parked.resume(reason)
    if (made === parked) return this.wait()
    const release = () => parked.release()
    if (made === undefined || "_tag" in made)
      held.serve(response, held.answer(request, response, parked), release)
    else if (sendReplyNow(request, response, made)) release()
    else held.serve(response, held.finishReply(response), release)
    this.end()
  }

  expire(): void {
    if (this.isOver) return
    this.waiting?.stop()
    this.parked.expire()
    this.woken("timeout")
  }

  /** The client is gone, or the service is about to be: nobody is answered. */
  abandon(): void {
    if (this.isOver) return
    this.waiting?.stop()
    this.end()
    this.parked.release()
    destroyResponse(this.response)
  }

  private end(): void {
    if (this.isOver) return
    this.isOver = true
    this.held.all.delete(this)
    this.held.over()
  }
}
