import { maxLsn, type Lsn } from "../../shared/Lsn.ts"
import { formatOffset } from "../../shapes/LogOffset.ts"
import type { LogSlice, ShapeHandle } from "../../storage/ShapeLogs.ts"
import type { WhereClause } from "../../where/index.ts"
import { acceptsGzip } from "../reply/AcceptEncoding.ts"
import { emptyBody, type ApiReply, type ReplyBody } from "../reply/ApiReply.ts"
import type { ApiServices } from "./ApiServices.ts"
import { sseLifetimeMillis } from "../HttpTimings.ts"
import { compressedBody } from "../reply/CompressedChunks.ts"
import { nextCursor } from "../reply/Cursor.ts"
import { EventSession } from "./EventSession.ts"
import { gzipEtag, logEtag, matchesEtag } from "../reply/Etag.ts"
import { logBody, upToDateBody } from "../reply/LogBody.ts"
import { jsonType, type ReplyContext } from "../reply/Replies.ts"
import type { ShapeParams } from "../request/ShapeParams.ts"
import { whereHeaders } from "../reply/WhereHeaders.ts"

/** What reading the log needs of a request. */
export interface LogRequest {
  readonly context: ReplyContext
  readonly params: ShapeParams
  readonly shape: ShapeHandle
  /** By which name the client knows the shape, or is to know it. */
  readonly handle: string
  /** The query's `cursor`, whatever it is. */
  readonly cursor: string | undefined
  readonly ifNoneMatch: string | undefined
  readonly acceptEncoding: string | undefined
  readonly where: WhereClause | undefined
}

const cursorOf = (services: ApiServices, { cursor }: LogRequest): string => {
  const interval = Math.floor(services.config.longPollTimeoutMillis / 1000)
  return String(nextCursor(services.timers.epochMillis(), interval, cursor, Math.random()))
}

/**
 * A client that follows the log looks once, without waiting, how far it is, and there is more than one answer holds. Clients before
 * 1.3.0 of `@electric-sql/client` (PGlite's sync has one) fetch the next part ahead, give that request up when they wait again, and take
 * it for their own if they look from the same place with the same cursor: then they stop without a word. They never do with another one.
 */
const isPartOfRefresh = ({ cursor, params }: LogRequest, upToDate: boolean): boolean =>
  !params.live && !upToDate && cursor !== undefined

/** The headers of an answer from the log, in a new array. */
const answerHeaders = (
  services: ApiServices,
  request: LogRequest,
  kind: "initial" | "catchUp" | "live" | "sse",
  etag: string,
  next: string,
  upToDate: boolean,
  hasData: boolean,
  withSchema: boolean
): Array<string> => {
  const { live } = request.params
  const headers = services.replies.headers(
    request.context,
    kind,
    kind === "sse" ? "text/event-stream" : jsonType
  )
  if (live || isPartOfRefresh(request, upToDate)) headers.push("electric-cursor", cursorOf(services, request))
  headers.push("etag", etag, "electric-handle", request.handle)
  if (withSchema && !live) {
    // As of the shape's creation: the table may be another one by now, and what is in the log is as old as the shape.
    headers.push("electric-schema", request.shape.definition.schemaHeader)
    if (request.where !== undefined) headers.push(...whereHeaders(request.where))
  }
  if (upToDate) headers.push("electric-up-to-date", "")
  headers.push("electric-has-data", hasData ? "true" : "false", "electric-offset", next)
  return headers
}

/** The reply that nothing new is there: to `offset=now`, and to a live request at its time-out. */
export const nothingNewReply = (
  services: ApiServices,
  request: LogRequest,
  next: string,
  lsn: Lsn
): ApiReply => {
  const kind = request.params.live ? "live" : "catchUp"
  const etag = logEtag(request.handle, request.params.position.text, next, services.replies.uniqueSuffix())
  const headers = answerHeaders(services, request, kind, etag, next, true, false, true)
  return services.replies.make(200, headers, upToDateBody(lsn))
}

/** The tag that the client has, if it is of this answer, compressed or not. */
const knownEtag = (ifNoneMatch: string | undefined, plain: string, slice: LogSlice): string | undefined => {
  if (ifNoneMatch === undefined) return undefined
  if (matchesEtag(ifNoneMatch, plain)) return plain
  if (slice.finishedBytes === undefined) return undefined
  const gzip = gzipEtag(plain)
  return matchesEtag(ifNoneMatch, gzip) ? gzip : undefined
}

/** Live answers are small and made once per change: compressing them would delay them. */
const mayCompress = ({ params, acceptEncoding }: LogRequest, slice: LogSlice): boolean =>
  slice.finishedBytes !== undefined && !params.live && acceptsGzip(acceptEncoding)

/** Whether the answer is to be compressed and has not been yet: `CompressedChunks.prepare` does that. */
export const mustCompress = (services: ApiServices, request: LogRequest, slice: LogSlice): boolean => {
  if (request.context.method === "HEAD" || !mayCompress(request, slice)) return false
  const { handle, shape, params, ifNoneMatch } = request
  if (!services.compressed.isMissing(shape, slice)) return false
  const plain = logEtag(handle, params.position.text, formatOffset(slice.next))
  return knownEtag(ifNoneMatch, plain, slice) === undefined
}

/** Answers to live requests, for those that ask for the same with the same URL and are woken together. */
interface LiveAnswer {
  readonly params: ShapeParams
  readonly method: string
  /** All but what differs: the request's id at 1, the cursor at `cursorAt`. */
  readonly headers: ReadonlyArray<string>
  readonly cursorAt: number
  readonly body: ReplyBody
}

/** Keyed by what the log shares among readers of one offset, so it lives exactly as long as that. */
const liveAnswers = new WeakMap<LogSlice, LiveAnswer>()

/** A live answer that is sure to be sent whole: thousands of clients get the same one at once. */
const liveReply = (services: ApiServices, request: LogRequest, slice: LogSlice): ApiReply => {
  const { context, handle, params } = request
  let known = liveAnswers.get(slice)
  if (known === undefined || known.params !== params || known.method !== context.method) {
    const next = formatOffset(slice.next)
    const etag = logEtag(handle, params.position.text, next)
    const headers = answerHeaders(services, request, "live", etag, next, slice.upToDate, true, true)
    // It claims what it delivers and no more: it may be stored and shared by clients further behind.
    const body = logBody(slice, slice.upToDate ? slice.next.tx : undefined)
    known = {
      params,
      method: context.method,
      headers,
      cursorAt: headers.indexOf("electric-cursor") + 1,
      body
    }
    liveAnswers.set(slice, known)
  }
  const headers = known.headers.slice()
  headers[1] = context.requestId
  headers[known.cursorAt] = cursorOf(services, request)
  return services.replies.make(200, headers, known.body)
}

/** The reply that carries a slice, or says that the client has it. */
export const sliceReply = (
  services: ApiServices,
  request: LogRequest,
  slice: LogSlice,
  seenLsn: Lsn
): ApiReply => {
  const { handle, params, shape, ifNoneMatch } = request
  if (params.live && ifNoneMatch === undefined) return liveReply(services, request, slice)
  const next = formatOffset(slice.next)
  const kind = params.live ? "live" : params.position.offset.tx < 0n ? "initial" : "catchUp"
  const plain = logEtag(handle, params.position.text, next)
  const known = knownEtag(ifNoneMatch, plain, slice)
  const isKnown = known !== undefined
  const compressed =
    isKnown || !mayCompress(request, slice) ? undefined : services.compressed.find(shape, slice)
  const etag = known ?? (compressed === undefined ? plain : gzipEtag(plain))
  const headers = answerHeaders(services, request, kind, etag, next, slice.upToDate, true, !isKnown)
  if (isKnown) return services.replies.make(304, headers, emptyBody)
  if (compressed !== undefined) {
    headers.push("content-encoding", "gzip")
    return services.replies.make(200, headers, compressedBody(compressed))
  }
  // A live answer claims what it delivers and no more: it may be stored and shared by clients further behind.
  const lsn = params.live ? slice.next.tx : maxLsn(seenLsn, slice.next.tx)
  return services.replies.make(200, headers, logBody(slice, slice.upToDate ? lsn : undefined))
}

/** The head of an event stream, and what decides what it says. */
export interface EventReply extends ApiReply {
  readonly session: EventSession
}

const eventsBody: ReplyBody = { _tag: "Events" }

/** The reply that streams events, beginning with `first`; undefined when the client is ahead of the log. */
export const eventReply = (
  services: ApiServices,
  request: LogRequest,
  first: LogSlice | undefined
): EventReply => {
  const { handle, params, shape } = request
  const next = first === undefined ? params.position.text : formatOffset(first.next)
  const etag = logEtag(handle, params.position.text, next)
  const upToDate = first?.upToDate ?? false
  const headers = answerHeaders(services, request, "sse", etag, next, upToDate, true, false)
  // Tells nginx not to collect the stream before it passes it on.
  headers.push("x-accel-buffering", "no")
  const session = new EventSession(
    services.logs,
    shape,
    params.position.offset,
    first,
    services.timers.nowMillis(),
    sseLifetimeMillis,
    services.config.longPollTimeoutMillis / 2
  )
  return { ...services.replies.make(200, headers, eventsBody), session }
}
