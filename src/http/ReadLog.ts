import { Clock, Effect } from "effect"
import { maxLsn, type Lsn } from "../postgres/Lsn.ts"
import { formatOffset } from "../shapes/LogOffset.ts"
import type { LogSlice, ShapeHandle, ShapeReadError } from "../storage/ShapeLogs.ts"
import { emptyBody, type ApiReply } from "./ApiReply.ts"
import { sseLifetimeMillis, type ApiServices } from "./ApiServices.ts"
import { nextCursor } from "./Cursor.ts"
import { logEtag, matchesEtag } from "./Etag.ts"
import { failed, invalidRequest, mustRefetch } from "./Failures.ts"
import { logBody, upToDateBody } from "./LogBody.ts"
import { jsonType, type ReplyContext } from "./Replies.ts"
import { eventStream } from "./ServerSentEvents.ts"
import type { ShapeParams } from "./ShapeParams.ts"

/** What reading the log needs of a request. */
export interface LogRequest {
  readonly context: ReplyContext
  readonly params: ShapeParams
  readonly shape: ShapeHandle
  /** The `electric-schema` header. */
  readonly schemaHeader: string
  /** The query's `cursor`, whatever it is. */
  readonly cursor: string | undefined
  readonly ifNoneMatch: string | undefined
}

const outOfBounds = invalidRequest({ offset: ["out of bounds for this shape"] })

/** `message` of a read error names files of the server: that is for its log only. */
const unreadable = (error: ShapeReadError) =>
  Effect.logError(
    `The log of shape ${error.handle} cannot be read: ${error.message}. The client gets a 500 and tries again.`
  ).pipe(Effect.andThen(Effect.fail(failed("Unable to retrieve shape log: it could not be read"))))

let suffixes = Date.now() * 1000
/** Never the same twice, so that an answer without news never validates. */
const uniqueSuffix = (): string => String(++suffixes)

const isEmpty = (slice: LogSlice): boolean => slice.body instanceof Uint8Array && slice.body.length === 0

/** The headers of an answer from the log, in a new array. */
const answerHeaders = (
  services: ApiServices,
  request: LogRequest,
  kind: "initial" | "catchUp" | "live" | "sse",
  etag: string,
  next: string,
  upToDate: boolean,
  hasData: boolean,
  withSchema: boolean,
  nowMillis: number
): Array<string> => {
  const { live } = request.params
  const headers = services.replies.headers(
    request.context,
    kind,
    kind === "sse" ? "text/event-stream" : jsonType
  )
  if (live) {
    const interval = Math.floor(services.config.longPollTimeoutMillis / 1000)
    headers.push("electric-cursor", String(nextCursor(nowMillis, interval, request.cursor, Math.random())))
  }
  headers.push("etag", etag, "electric-handle", request.shape.handle)
  if (withSchema && !live) headers.push("electric-schema", request.schemaHeader)
  if (upToDate) headers.push("electric-up-to-date", "")
  headers.push("electric-has-data", hasData ? "true" : "false", "electric-offset", next)
  return headers
}

/** The reply that nothing new is there: to `offset=now`, and to a live request at its time-out. */
const nothingNew = (
  services: ApiServices,
  request: LogRequest,
  next: string,
  lsn: Lsn,
  nowMillis: number
): ApiReply => {
  const kind = request.params.live ? "live" : "catchUp"
  const etag = logEtag(request.shape.handle, request.params.position.text, next, uniqueSuffix())
  const headers = answerHeaders(services, request, kind, etag, next, true, false, true, nowMillis)
  return services.replies.make(200, headers, upToDateBody(lsn))
}

/** The reply that carries a slice, or says that the client has it. */
export const sliceReply = (
  services: ApiServices,
  request: LogRequest,
  slice: LogSlice,
  seenLsn: Lsn,
  nowMillis: number
): ApiReply => {
  const { params, shape, ifNoneMatch } = request
  const next = formatOffset(slice.next)
  const kind = params.live ? "live" : params.position.offset.tx < 0n ? "initial" : "catchUp"
  const etag = logEtag(shape.handle, params.position.text, next)
  const isKnown = ifNoneMatch !== undefined && matchesEtag(ifNoneMatch, etag)
  const headers = answerHeaders(
    services,
    request,
    kind,
    etag,
    next,
    slice.upToDate,
    true,
    !isKnown,
    nowMillis
  )
  if (isKnown) return services.replies.make(304, headers, emptyBody)
  // A live answer claims what it delivers and no more: it may be stored and shared by clients further behind.
  const lsn = params.live ? slice.next.tx : maxLsn(seenLsn, slice.next.tx)
  return services.replies.make(200, headers, logBody(slice, slice.upToDate ? lsn : undefined))
}

/**
 * Answers a request for log entries: at once if there are any after its offset, or if it is not live; otherwise
 * when there are, when the shape is dropped, or when the long poll is over.
 *
 * The LSN that an up-to-date message claims is always taken before the read: what is committed in between then
 * counts as not seen, instead of being claimed without having been delivered.
 */
export const readLog = Effect.fnUntraced(function* (services: ApiServices, request: LogRequest) {
  const { logs, config } = services
  const { params, shape } = request
  const { position } = params
  const clock = yield* Clock.Clock
  const start = clock.currentTimeMillisUnsafe()
  let lsn = logs.lastSeenLsn()
  if (position.now) {
    const last = logs.lastOffset(shape)
    return nothingNew(services, request, formatOffset(last), maxLsn(lsn, last.tx), start)
  }

  const read = logs.read(shape, position.offset).pipe(Effect.catch(unreadable))
  let found = yield* read
  // Ahead of this instance's log: held until it catches up, for half a long poll. An event stream waits inside.
  const boundsDeadline = start + config.longPollTimeoutMillis / 2
  while (found._tag === "Ahead" && !params.sse) {
    const remaining = boundsDeadline - clock.currentTimeMillisUnsafe()
    if (remaining <= 0) return yield* Effect.fail(outOfBounds)
    const wake = yield* logs.awaitChange(shape, logs.lastOffset(shape), remaining)
    if (wake === "dropped") return yield* Effect.fail(mustRefetch(undefined))
    lsn = logs.lastSeenLsn()
    found = yield* read
  }
  if (found._tag === "Dropped") return yield* Effect.fail(mustRefetch(undefined))
  if (params.sse) return eventReply(services, request, found._tag === "Ahead" ? undefined : found, start)

  if (params.live) {
    const deadline = start + config.longPollTimeoutMillis
    while (found._tag === "Slice" && found.upToDate && isEmpty(found)) {
      const remaining = deadline - clock.currentTimeMillisUnsafe()
      if (remaining <= 0)
        return nothingNew(
          services,
          request,
          formatOffset(found.next),
          maxLsn(lsn, found.next.tx),
          clock.currentTimeMillisUnsafe()
        )
      const wake = yield* logs.awaitChange(shape, found.next, remaining)
      if (wake === "dropped") return yield* Effect.fail(mustRefetch(undefined))
      lsn = logs.lastSeenLsn()
      found = yield* read
    }
    // Ahead of the log although it was not before: the log went back, and the copy cannot be continued.
    if (found._tag !== "Slice") return yield* Effect.fail(mustRefetch(undefined))
  }
  if (found._tag !== "Slice") return yield* Effect.fail(outOfBounds)
  return sliceReply(services, request, found, lsn, clock.currentTimeMillisUnsafe())
})

const eventReply = (
  services: ApiServices,
  request: LogRequest,
  first: LogSlice | undefined,
  nowMillis: number
): ApiReply => {
  const { params, shape } = request
  const next = first === undefined ? params.position.text : formatOffset(first.next)
  const etag = logEtag(shape.handle, params.position.text, next)
  const upToDate = first?.upToDate ?? false
  const headers = answerHeaders(services, request, "sse", etag, next, upToDate, true, false, nowMillis)
  // Tells nginx not to collect the stream before it passes it on.
  headers.push("x-accel-buffering", "no")
  return services.replies.make(200, headers, {
    _tag: "Stream",
    flushHeaders: true,
    run: eventStream({
      logs: services.logs,
      shape,
      from: params.position.offset,
      first,
      deadlineMillis: nowMillis + sseLifetimeMillis,
      boundsDeadlineMillis: nowMillis + services.config.longPollTimeoutMillis / 2
    })
  })
}
