import { Cause, Effect, Redacted, Result, Scope, Tracer } from "effect"
import { abilities, healthAnswer } from "../../health/HealthState.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { describeStream } from "../../telemetry/stream/StreamStatus.ts"
import { describeBucket } from "../../storage/DescribeBucket.ts"
import type { Forwarder } from "../forward/Forwarder.ts"
import type { MetricEvents } from "../../telemetry/MetricEvents.ts"
import { type ApiReply, lengthOfBody, replyHeader } from "../reply/ApiReply.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"
import { type Answer, later, type Later, type Made, wholeReply } from "./Answer.ts"
import type { ApiServices } from "./ApiServices.ts"
import { deleteShape } from "./DeleteShape.ts"
import { unauthorized, undecodableQuery, type Failure } from "../reply/Failures.ts"
import { openApiDocument } from "../request/OpenApi.ts"
import { redactQuery } from "../request/QueryString.ts"
import { QueryParser, type ParsedQuery } from "../request/ParsedQuery.ts"
import { readBody } from "./ReadBody.ts"
import { admit, readShape, readShapeNow, refusedNow } from "./ReadShape.ts"
import { countReply, failedReply, jsonType, type ReplyContext } from "../reply/Replies.ts"
import type { MergedParams } from "../request/RequestBody.ts"
import { rootPage, wantsPage } from "../reply/RootPage.ts"
import { operationOf, routeOf, splitTarget, type Operation } from "../request/Route.ts"
import { type ShownRequest, shownTarget, tellSlow } from "../reply/SlowRequests.ts"
import type { RequestTraces } from "../trace/RequestTraces.ts"
import { makeSecretCheck } from "../request/Secret.ts"

/** A request, and what is known of it before anything is looked up. */
interface Arrived {
  readonly request: ApiRequest
  readonly context: ReplyContext
  readonly path: string
  readonly query: string
  readonly operation: Operation
}

const isVerbose = (query: string): boolean => /(?:^|&)verbose(?:=|&|$)/.test(query)

/** For metrics: must not fail for a query that cannot be parsed. */
const isLive = (query: string): boolean => /(?:^|&)live=true(?:&|$)/.test(query)

const isOfShape = (operation: Operation): boolean => operation === "readShape" || operation === "deleteShape"

/** The same request; what is read of its body can be read once more. */
const keepingBody = (request: ApiRequest): ApiRequest & { readonly kept: () => Uint8Array | undefined } => {
  let kept: Uint8Array | undefined
  return {
    method: request.method,
    target: request.target,
    header: (name) => request.header(name),
    headers: () => request.headers(),
    body: (...asked) => Effect.tap(request.body(...asked), (bytes) => Effect.sync(() => void (kept = bytes))),
    kept: () => kept
  }
}

/** The one way of every request through the API, whatever server it came to. */
export class FrontDoor {
  private readonly services: ApiServices
  private readonly parser: QueryParser
  private readonly secret: string | undefined
  private readonly logsRequests: boolean

  constructor(services: ApiServices) {
    const { accessLog, logLevel, secret } = services.config
    this.services = services
    this.parser = new QueryParser(makeSecretCheck(secret))
    this.secret = secret === undefined ? undefined : Redacted.value(secret)
    this.logsRequests = accessLog || logLevel === "debug"
  }

  handle(request: ApiRequest): Answer {
    const { path, query } = splitTarget(request.target)
    const context: ReplyContext = {
      method: request.method,
      route: routeOf(path),
      requestId: this.services.replies.requestIdOf(request.header("x-request-id")),
      origin: request.header("origin")
    }
    const arrived: Arrived = {
      request,
      context,
      path,
      query,
      operation: operationOf(context.route, context.method)
    }
    const { events, traces } = this.services
    return (events !== undefined || traces !== undefined) && isOfShape(arrived.operation)
      ? this.watched(arrived)
      : this.maybeLogged(arrived)
  }

  private maybeLogged(arrived: Arrived): Answer {
    return this.logsRequests ? later(this.logged(arrived)) : this.answer(arrived)
  }

  /** The same, for those who want to know of each: with a span if the request is sampled, below which stands what is done for it. */
  private watched(arrived: Arrived): Answer {
    const { events, timers, traces } = this.services
    const live = isLive(arrived.query)
    const began = timers.nowMillis()
    const span = traces && this.beginSpan(traces, arrived, live)
    const answer = this.maybeLogged(arrived)
    const settle = (made: Made): Made => {
      const reply = "_tag" in made ? undefined : made
      if (reply !== undefined && events !== undefined)
        this.tellServed(events, reply, live, timers.nowMillis() - began)
      if (span === undefined || traces === undefined) return made
      if (reply !== undefined) traces.finish(span, reply, live)
      else if ("_tag" in made && made._tag === "Parked") traces.park(made, span)
      else traces.opened(span)
      return made
    }
    if (!("_tag" in answer) || answer._tag !== "Later") return settle(answer)
    const settled = Effect.map(answer.made, settle)
    const above = span ?? traces?.unsampled
    return later(above === undefined ? settled : Effect.provideService(settled, Tracer.ParentSpan, above))
  }

  private beginSpan(
    traces: RequestTraces,
    { context, operation, path, query, request }: Arrived,
    live: boolean
  ) {
    return traces.begin(request, {
      name: operation === "deleteShape" ? "Plug_shape_delete" : "Plug_shape_get",
      requestId: context.requestId,
      path,
      query: () => redactQuery(query, this.secret),
      isLive: live
    })
  }

  private tellServed(events: MetricEvents, reply: ApiReply, live: boolean, millis: number): void {
    const handle = replyHeader(reply, "electric-handle")
    const table = handle === undefined ? undefined : this.services.logs.byHandle(handle)?.definition.table
    events.served({
      status: reply.status,
      live,
      millis,
      bytes: lengthOfBody(reply.body),
      table: table && `${table.schema}.${table.name}`
    })
  }

  private answer(arrived: Arrived): Answer {
    const { context, operation, query, request } = arrived
    let parsed: ParsedQuery | undefined
    try {
      if (operation === "health" && isVerbose(query)) return later(this.verboseHealth(context))
      if (operation === "operator") {
        const answered = this.operatorAnswer(request, context)
        if (answered !== undefined) return answered
      }
      if (!isOfShape(operation)) return this.simpleAnswer(context, request, operation)
      parsed = this.parser.parse(query)
      const made =
        operation === "readShape" ? readShapeNow(this.services, context, request, parsed) : undefined
      if (made !== undefined) {
        if (!("_tag" in made)) countReply(this.services.requests, made, isLive(query))
        return made
      }
    } catch {
      // The long way meets the same error, and reports it.
    }
    return later(this.longWay(arrived, parsed))
  }

  /** The answer that may have to wait: for a disk, for the database, for another state of this instance. */
  private longWay(arrived: Arrived, parsed: ParsedQuery | undefined): Later["made"] {
    const { context, operation, query, request } = arrived
    const { forwarder, replies, requests } = this.services
    const kept = forwarder === undefined ? request : keepingBody(request)
    const answered = Effect.suspend((): Effect.Effect<Made, Failure, Scope.Scope> =>
      isOfShape(operation)
        ? this.shapeAnswer(context, kept, parsed ?? this.parser.parse(query))
        : Effect.succeed(this.simpleAnswer(context, request, operation))
    )
    const made = Effect.catchCause(
      forwarder === undefined
        ? answered
        : Effect.catch(answered, (failure) => this.fromWriter(forwarder, context, kept, failure)),
      (cause: Cause.Cause<Failure>) => failedReply(replies, context, cause)
    )
    if (!isOfShape(operation)) return made
    const { config, timers } = this.services
    const slowMillis = config.slowRequestMillis ?? Infinity
    const began = timers.nowMillis()
    return Effect.tap(made, (reply) => {
      if ("_tag" in reply) return Effect.void
      countReply(requests, reply, isLive(query))
      const millis = timers.nowMillis() - began
      return millis < slowMillis || isLive(query)
        ? Effect.void
        : tellSlow(this.shown(arrived), reply.status, millis, this.conditionClass(parsed))
    })
  }

  /** Of the shape that was asked for, where it is known. */
  private conditionClass(parsed: ParsedQuery | undefined) {
    if (parsed === undefined || Result.isFailure(parsed.params)) return undefined
    const resolved = this.services.resolver.resolveNow(parsed.params.success.selection)
    if (resolved === undefined) return undefined
    const { where } = resolved.definition
    return where === undefined ? ("none" as const) : where.classification
  }

  private shown({ context, path, query }: Arrived): ShownRequest {
    const { method, requestId } = context
    return { method, requestId, target: shownTarget(path, query, this.secret) }
  }

  /** What the active instance answers, where that may be something else than this failure. */
  private fromWriter(
    forwarder: Forwarder,
    context: ReplyContext,
    request: ApiRequest & { readonly kept?: () => Uint8Array | undefined },
    failure: Failure
  ): Effect.Effect<Made, Failure, Scope.Scope> {
    const { health, replies } = this.services
    if (failure.writerMayKnow !== true || !abilities[health.current()].asksWriter) return Effect.fail(failure)
    return Effect.flatMap(forwarder.forward(request, context.requestId, request.kept?.()), (answer) =>
      answer === undefined
        ? Effect.fail(failure)
        : Effect.succeed(replies.make(answer.status, answer.headers, answer.body))
    )
  }

  private shapeAnswer(
    context: ReplyContext,
    request: ApiRequest,
    query: ParsedQuery
  ): Effect.Effect<Made, Failure, Scope.Scope> {
    const { services } = this
    if (!query.authorized) return Effect.fail(unauthorized)
    if (!query.wellFormed) return Effect.fail(undecodableQuery)
    if (context.method === "DELETE") return deleteShape(services, context, request, query.merged)
    if (context.method !== "POST") return this.admitted(context, request, query, query.merged)
    // Only what has arrived whole takes a place: a client may send its body as slowly as it likes.
    const refused = refusedNow(services, query.values)
    return refused === undefined
      ? Effect.flatMap(readBody(services, request, query.merged), (merged) =>
          this.admitted(context, request, query, merged)
        )
      : Effect.fail(refused)
  }

  private admitted(
    context: ReplyContext,
    request: ApiRequest,
    query: ParsedQuery,
    merged: MergedParams
  ): Effect.Effect<Made, Failure, Scope.Scope> {
    const { services } = this
    return Effect.flatMap(Effect.scope, (scope) => {
      const permit = admit(services, query.values)
      if ("_tag" in permit) return Effect.fail(permit)
      return Effect.andThen(
        Scope.addFinalizer(
          scope,
          Effect.sync(() => services.admission.release(permit))
        ),
        readShape(services, context, request, query, merged, permit)
      )
    })
  }

  /** Replies that depend on nothing but the request and the state of this instance. */
  private simpleAnswer(context: ReplyContext, request: ApiRequest, operation: Operation): ApiReply {
    const { config, health, operator, replies } = this.services
    switch (operation) {
      case "preflight":
        return replies.preflight(context, request.header("access-control-request-headers"))
      case "health": {
        const { status, body } = healthAnswer(health.current(), health.failure() !== undefined)
        return replies.text(context, status, "health", jsonType, JSON.stringify(body))
      }
      case "openapi":
        return replies.text(context, 200, "catchUp", jsonType, openApiDocument())
      case "root": {
        if (!wantsPage(request.header("accept")))
          return replies.text(context, 200, "unspecific", undefined, "")
        const page = rootPage(
          batonVersion,
          health.current(),
          config.secret !== undefined,
          operator?.current() !== undefined
        )
        return replies.text(context, 200, "unspecific", "text/html; charset=utf-8", page)
      }
      default:
        return replies.text(context, 404, "unspecific", undefined, "Not found")
    }
  }

  /** What is for operators stands behind its own door; without one the path is none. */
  private operatorAnswer(request: ApiRequest, { requestId }: ReplyContext): Answer | undefined {
    const { operator, replies } = this.services
    const handler = operator?.current()
    if (handler === undefined) return undefined
    return later(
      Effect.map(handler.handle(request, "api"), ({ body, headers, status }) =>
        replies.make(status, ["x-request-id", requestId, ...headers], body)
      )
    )
  }

  /** The same answer, with what an operator asks for before and after an upgrade. */
  private verboseHealth(context: ReplyContext): Later["made"] {
    const { bucket, health, level, replies, stream } = this.services
    return Effect.map(
      Effect.orElseSucceed(level, () => undefined),
      (known) => {
        const { status, body } = healthAnswer(health.current(), health.failure() !== undefined)
        const storage =
          known === undefined
            ? "cannot be read"
            : {
                level: known.level,
                newestLevel: known.newest,
                rollbackTo: known.oldestRelease,
                ...(known.because === null ? {} : { notFinalised: known.because }),
                ...(known.untilMillis === null ? {} : { until: new Date(known.untilMillis).toISOString() })
              }
        return replies.text(
          context,
          status,
          "health",
          jsonType,
          JSON.stringify({
            ...body,
            release: batonVersion,
            storage,
            ...(stream.report === undefined ? {} : { stream: describeStream(stream.report) }),
            ...(bucket === undefined ? {} : { bucket: describeBucket(bucket) })
          })
        )
      }
    )
  }

  /**
   * The same, with one line per request, without the secrets that its query may carry. It says how long the request
   * took as a whole, so nothing is parked but streams of events.
   */
  private logged(arrived: Arrived): Later["made"] {
    return Effect.gen({ self: this }, function* () {
      const { config, timers } = this.services
      const { method, requestId, target } = this.shown(arrived)
      const start = timers.nowMillis()
      const made = yield* wholeReply(this.answer(arrived))
      const millis = Math.round(timers.nowMillis() - start)
      const status = "_tag" in made ? 200 : made.status
      const line = `${method} ${target} answered with ${status} after ${millis} ms (request ${requestId})`
      yield* config.accessLog ? Effect.logInfo(line) : Effect.logDebug(line)
      return made
    })
  }
}
