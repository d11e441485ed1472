import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { LogRead, LogSlice, ShapeHandle, ShapeLogs } from "../../storage/ShapeLogs.ts"
import { sseKeepAliveMillis } from "../HttpTimings.ts"
import { upToDateMessage } from "../reply/ControlMessage.ts"

const keepAlive = Buffer.from(": keep-alive\n\n")

/** What to do next on an event stream. */
type EventStep =
  /** Write these bytes. */
  | { readonly _tag: "Write"; readonly bytes: Uint8Array }
  /** Write one event for each entry of the slice. */
  | { readonly _tag: "Deliver"; readonly slice: LogSlice }
  /** Read the log at `position` and give the result to `found`. */
  | { readonly _tag: "Read"; readonly position: LogOffset }
  /** Wait until the log is beyond `after`, at most so long, and give the reason to `woken`. */
  | { readonly _tag: "Wait"; readonly after: LogOffset; readonly millis: number }
  | { readonly _tag: "End" }

const end: EventStep = { _tag: "End" }

/**
 * One stream of server-sent events: all its decisions, without a socket, a fiber or a clock. Sends the entries after
 * the client's offset, an up-to-date event whenever the end of the log is reached with something new, a comment when
 * nothing was said for a while. Ends at its deadline, and without a word when the shape is dropped: the client's next
 * request learns why. Nothing is read ahead of what the client has taken.
 */
export class EventSession {
  readonly shape: ShapeHandle
  private readonly logs: ShapeLogs["Service"]
  private readonly deadlineMillis: number
  private readonly boundsDeadlineMillis: number
  private position: LogOffset
  /** What was read last; undefined while the client is ahead of the log. */
  private slice: LogSlice | undefined
  private isDelivered = false
  /** Something was delivered that no up-to-date event has followed. */
  private isUnclaimed = false
  private mustRead = false
  private isOver = false
  private lastWriteMillis: number

  /** `boundsMillis`: how long a client that is ahead of the log is kept waiting. */
  constructor(
    logs: ShapeLogs["Service"],
    shape: ShapeHandle,
    from: LogOffset,
    first: LogSlice | undefined,
    nowMillis: number,
    lifetimeMillis: number,
    boundsMillis: number
  ) {
    this.logs = logs
    this.shape = shape
    this.position = from
    this.slice = first
    this.deadlineMillis = nowMillis + lifetimeMillis
    this.boundsDeadlineMillis = nowMillis + boundsMillis
    this.lastWriteMillis = nowMillis
  }

  next(nowMillis: number): EventStep {
    const { slice } = this
    if (this.isOver || nowMillis >= this.deadlineMillis) return end
    if (this.mustRead) return { _tag: "Read", position: this.position }
    if (slice === undefined) {
      const millis = this.boundsDeadlineMillis - nowMillis
      return millis <= 0 ? end : { _tag: "Wait", after: this.logs.lastOffset(this.shape), millis }
    }
    if (!this.isDelivered) {
      this.isDelivered = true
      this.position = slice.next
      if (!(slice.body instanceof Uint8Array) || slice.body.length > 0) {
        this.isUnclaimed = true
        this.lastWriteMillis = nowMillis
        return { _tag: "Deliver", slice }
      }
    }
    if (!slice.upToDate) {
      this.mustRead = true
      return { _tag: "Read", position: this.position }
    }
    if (this.isUnclaimed) {
      this.isUnclaimed = false
      // Clients resume from the start of this transaction, so it must not be one that they have not received.
      return { _tag: "Write", bytes: Buffer.from(`data: ${upToDateMessage(this.position.tx)}\n\n`) }
    }
    const silenceEnds = this.lastWriteMillis + sseKeepAliveMillis
    if (nowMillis >= silenceEnds) {
      this.lastWriteMillis = nowMillis
      return { _tag: "Write", bytes: keepAlive }
    }
    // A buffer that was delivered is not kept for as long as nothing happens.
    if (slice.body instanceof Uint8Array && slice.body.length > 0) this.slice = { ...slice, body: nothing }
    return {
      _tag: "Wait",
      after: this.position,
      millis: Math.min(silenceEnds, this.deadlineMillis) - nowMillis
    }
  }

  found(read: LogRead): void {
    this.mustRead = false
    if (read._tag === "Slice") {
      this.slice = read
      this.isDelivered = false
    } else if (read._tag !== "Ahead" || this.slice !== undefined) this.isOver = true
  }

  woken(reason: "changed" | "dropped" | "timeout"): void {
    if (reason === "dropped") this.isOver = true
    else if (reason === "changed") this.mustRead = true
  }
}

const nothing = new Uint8Array(0)
