import { Context, Exit, Option, Tracer } from "effect"
import type { Timers } from "../../shared/Timers.ts"
import { isSampled, SpanClock, type Traces } from "../../telemetry/otel/Tracing.ts"
import { type ApiReply, replyHeader } from "../reply/ApiReply.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"

/** What a span says of a request; the query without secrets. */
interface RequestFacts {
  readonly name: string
  readonly requestId: string
  readonly path: string
  readonly query: () => string
  readonly isLive: boolean
}

/** Whoever asks for less than all of a trace has this above what it does. */
const unsampled: Tracer.ExternalSpan = Tracer.externalSpan({
  traceId: "0".repeat(32),
  spanId: "0".repeat(16),
  sampled: false
})

/**
 * The spans of requests for shapes: one for each request that is sampled, from its arrival until its answer is handed to the
 * connection. A trace that its caller has begun is continued as the caller has decided. A long poll whose time is over without news has no
 * span, and neither has one whose client went away.
 */
export class RequestTraces {
  /** Above what is done for a request that is not sampled. */
  readonly unsampled = unsampled
  private readonly traces: Traces
  private readonly clock: SpanClock
  private readonly parked = new WeakMap<object, Tracer.Span>()

  constructor(traces: Traces, timers: Timers) {
    this.traces = traces
    this.clock = new SpanClock(timers)
  }

  /** The span of a request that is sampled. */
  begin(request: ApiRequest, facts: RequestFacts): Tracer.Span | undefined {
    const traceparent = request.header("traceparent")
    const parent = traceparent === undefined ? undefined : callerOf(traceparent)
    if (!(parent?.sampled ?? isSampled(this.traces))) return undefined
    const span = this.traces.tracer.span({
      name: facts.name,
      parent: Option.fromNullishOr(parent),
      annotations: Context.empty(),
      links: [],
      startTime: this.clock.now(),
      kind: "server",
      root: parent === undefined,
      sampled: true
    })
    span.attribute("http.request.method", request.method)
    span.attribute("http.request_id", facts.requestId)
    span.attribute("url.path", facts.path)
    span.attribute("url.query", facts.query())
    span.attribute("shape_req.is_live", facts.isLive)
    return span
  }

  /** It waits, with that span. */
  park(request: object, span: Tracer.Span): void {
    this.parked.set(request, span)
  }

  /** One that waits goes on as another. */
  pass(from: object, to: object): void {
    const span = this.parked.get(from)
    if (span !== undefined) this.parked.set(to, span)
  }

  /** One that waits has woken up. */
  woken(request: object): void {
    this.parked.get(request)?.event("woken", this.clock.now())
  }

  /** One that has waited is answered. */
  answered(request: object, reply: ApiReply): void {
    const span = this.parked.get(request)
    if (span === undefined) return
    this.parked.delete(request)
    this.finish(span, reply, true)
  }

  /** `isLive`: without news its time was over. */
  finish(span: Tracer.Span, reply: ApiReply, isLive: boolean): void {
    const isEmpty = replyHeader(reply, "electric-has-data") === "false"
    if (isEmpty && (isLive || this.traces.dropsEmpty)) return
    const handle = replyHeader(reply, "electric-handle")
    const offset = replyHeader(reply, "electric-offset")
    if (handle !== undefined) span.attribute("shape.handle", handle)
    if (offset !== undefined) span.attribute("shape_req.offset", offset)
    span.attribute("http.response.status_code", reply.status)
    span.attribute("shape_req.is_empty_response", isEmpty)
    span.attribute("shape_req.is_up_to_date", replyHeader(reply, "electric-up-to-date") !== undefined)
    const isBroken = reply.status >= 500
    span.end(this.clock.now(), isBroken ? Exit.fail(new Error(`answered with ${reply.status}`)) : Exit.void)
  }

  /** The head of a stream of events is sent. */
  opened(span: Tracer.Span): void {
    span.attribute("shape_req.is_event_stream", true)
    span.attribute("http.response.status_code", 200)
    span.end(this.clock.now(), Exit.void)
  }
}

/** Version, trace, span, flags. Source: W3C Trace Context, "traceparent header", also of what later versions may add. */
const traceparentForm =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/

const callerOf = (traceparent: string): Tracer.ExternalSpan | undefined => {
  const found = traceparentForm.exec(traceparent.trim())
  if (found === null) return undefined
  const [, traceId = "", spanId = "", flags = ""] = found
  return Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 })
}
