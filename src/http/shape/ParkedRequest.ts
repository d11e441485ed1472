import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { LogWatcher } from "../../storage/ShapeLogs.ts"
import type { WakeReason } from "../../storage/state/Waiters.ts"
import type { Permit } from "./Admission.ts"
import type { MetricEvents } from "../../telemetry/MetricEvents.ts"
import { type ApiReply, lengthOfBody } from "../reply/ApiReply.ts"
import type { ApiServices } from "./ApiServices.ts"
import type { EventSession } from "./EventSession.ts"
import type { EventReply, LogRequest } from "./LogReply.ts"
import { immediateBytes } from "../reply/LogBody.ts"
import { droppedNow } from "../reply/Failures.ts"
import { nextStep, outOfBounds } from "./LogStep.ts"
import { countReply } from "../reply/Replies.ts"

/** Whether a reply can be sent without waiting for its client in between: it is one piece, and not a large one. */
export const isImmediate = ({ body }: ApiReply): boolean =>
  body._tag === "Bytes"
    ? body.pieces.length === 1 && body.byteLength <= immediateBytes
    : body._tag === "Empty" || body._tag === "Text"

/**
 * A live request with nothing to say yet, in as little memory as it can be held: no fiber of its own with a stack, only
 * the wait, and this object that answers when it is over.
 */
export class ParkedRequest {
  readonly _tag = "Parked"
  readonly services: ApiServices
  readonly request: LogRequest
  permit: Permit
  private startMillis: number
  private after: LogOffset
  private untilMillis: number

  constructor(
    services: ApiServices,
    request: LogRequest,
    permit: Permit,
    startMillis: number,
    after: LogOffset,
    untilMillis: number
  ) {
    this.services = services
    this.request = request
    this.permit = permit
    this.startMillis = startMillis
    this.after = after
    this.untilMillis = untilMillis
  }

  /** From now on the request's place is this one's, and not that of the scope in which it was admitted. */
  keep(): void {
    this.permit = this.services.admission.transfer(this.permit)
  }

  /**
   * Begins the wait. The reason that it is over goes to the watcher, or is the result; give it to `resume`. Stop it when
   * the client is gone, and `release`.
   */
  watch(watcher: LogWatcher): WakeReason | { stop(): void } {
    return this.services.logs.watch(
      this.request.shape,
      this.after,
      this.untilMillis - this.services.timers.nowMillis(),
      watcher
    )
  }

  /** Its time is over now: the next `resume` says that there is nothing new. */
  expire(): void {
    this.startMillis = -Infinity
  }

  /** The reply; or itself, when it was woken for nothing; or undefined when only `finishParked` can answer. */
  resume(reason: WakeReason): ApiReply | ParkedRequest | undefined {
    const { events, requests, servingLag, traces } = this.services
    servingLag.observer?.woken()
    traces?.woken(this)
    const made = this.answer(reason)
    if (made !== undefined && made !== this && !("_tag" in made)) {
      countReply(requests, made, true)
      traces?.answered(this, made)
      if (events !== undefined) this.tellServed(events, made)
    }
    return made
  }

  private tellServed(events: MetricEvents, reply: ApiReply): void {
    const { request, services, startMillis } = this
    const millis = startMillis === -Infinity ? 0 : services.timers.nowMillis() - startMillis
    const { name, schema } = request.shape.definition.table
    events.served({
      status: reply.status,
      live: true,
      millis,
      bytes: lengthOfBody(reply.body),
      table: `${schema}.${name}`
    })
  }

  /**
   * When the request came. `undefined` after `expire`: a client that was told that its time is over has not been told that it may
   * be refused for that.
   */
  sinceMillis(): number | undefined {
    return this.startMillis === -Infinity ? undefined : this.startMillis
  }

  private answer(reason: WakeReason): ApiReply | ParkedRequest | undefined {
    const { services, request } = this
    const { logs, replies, timers } = services
    if (reason === "dropped") return replies.failure(request.context, droppedNow(request.shape))
    const lsn = logs.lastSeenLsn(request.shape)
    const found = logs.readNow(request.shape, request.params.position.offset)
    if (found === undefined) return undefined
    // The log that it waits for may be there in another place: an answer would say that it is not.
    if (found._tag === "Ahead" && this.startMillis === -Infinity) return this
    const step = nextStep(services, request, found, lsn, this.startMillis, timers.nowMillis())
    if (step._tag === "Reply") {
      if (reason === "changed" && found._tag === "Slice")
        services.servingLag.delivered(found.next.tx, timers.epochMillis())
      return isImmediate(step.reply) ? step.reply : undefined
    }
    if (step._tag === "Fail")
      return step.failure === outOfBounds ? undefined : replies.failure(request.context, step.failure)
    if (step._tag === "Events") return undefined
    this.after = step.after
    this.untilMillis = step.untilMillis
    return this
  }

  /** Gives its place to another request. When the response is over. */
  release(): void {
    this.services.admission.release(this.permit)
  }
}

/** An event stream that has been admitted: the head of its reply, and what is to be sent after it (`EventStream`). */
export class ParkedEvents {
  readonly _tag = "Events"
  readonly services: ApiServices
  readonly session: EventSession
  private reply: ApiReply | undefined
  permit: Permit

  constructor(services: ApiServices, reply: EventReply, permit: Permit) {
    this.services = services
    this.reply = reply
    this.session = reply.session
    this.permit = permit
  }

  /** As `ParkedRequest.keep`. */
  keep(): void {
    this.permit = this.services.admission.transfer(this.permit)
  }

  /** The head of the reply; once, because a stream that is held for long keeps no headers. */
  takeReply(): ApiReply {
    const { reply } = this
    if (reply === undefined) throw new Error("the head of this reply was sent before")
    this.reply = undefined
    countReply(this.services.requests, reply, true)
    return reply
  }

  /** Gives its place to another request, when the stream is over. */
  release(): void {
    this.services.admission.release(this.permit)
  }
}
