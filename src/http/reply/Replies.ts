import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { randomBytes } from "node:crypto"
import { Cause, Effect, Option } from "effect"
import { notice } from "../../telemetry/Notices.ts"
import type { RequestCounts } from "../../telemetry/RequestCounts.ts"
import { emptyBody, type ApiReply, type ReplyBody } from "./ApiReply.ts"
import { cacheControl, forbidsSurrogates, type CacheClass, type CacheSettings } from "./CacheControl.ts"
import { type Cors, corsHeaders, originHeaders } from "./Cors.ts"
import { crashed, type Failure } from "./Failures.ts"
import { joinLists } from "./HostHeaders.ts"
import type { Route } from "../request/Route.ts"

/** What replies need to know of the request they answer. */
export interface ReplyContext {
  readonly method: string
  readonly route: Route
  readonly requestId: string
  /** Of the page that asks, where it is not the service's own. */
  readonly origin: string | undefined
}

export const jsonType = "application/json; charset=utf-8"

const printable = /^[\x20-\x7e]{20,200}$/

const headerNames = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/

/** A host that refuses may have a content type of its own, and more: the failure's own headers come before ours. */
const setHeader = (headers: Array<string>, name: string, value: string): void => {
  const at = name === "set-cookie" ? -1 : headers.findIndex((item, i) => i % 2 === 0 && item === name)
  if (at < 0) headers.push(name, value)
  else headers[at + 1] = name === "vary" ? joinLists(headers[at + 1], value) : value
}

/** Puts replies together: the headers that every response carries, cache rules, CORS. */
export class Replies {
  private readonly identity: string
  private readonly settings: CacheSettings
  private readonly cors: Cors
  private readonly vary: string
  /** Headers that only depend on route, method and class, made once. */
  private readonly templates = new Map<string, ReadonlyArray<string>>()
  private readonly idPrefix = randomBytes(9).toString("base64url")
  private ids = 0
  private suffixes: number
  /** Set when this instance is about to go: clients are to make their next connection elsewhere. */
  closeConnections = false

  /**
   * `startMillis`: Unix time. `decidesBy`: names of request headers that an answer depends on, besides those that all
   * depend on.
   */
  constructor(
    identity: string,
    startMillis: number,
    settings: CacheSettings,
    decidesBy: ReadonlyArray<string>,
    cors: Cors = "everybody"
  ) {
    this.suffixes = startMillis * 1000
    this.identity = identity
    this.settings = settings
    this.cors = cors
    const byOrigin = typeof cors === "object" ? ["origin"] : []
    this.vary = ["accept-encoding", ...decidesBy, ...byOrigin].join(", ")
  }

  /** The client's own `x-request-id` where it is usable, else a new one: 20 characters, by its random half unique everywhere. */
  requestIdOf(given: string | undefined): string {
    return given !== undefined && printable.test(given)
      ? given
      : this.idPrefix + (this.ids++).toString(36).padStart(8, "0")
  }

  /** Never the same twice, also after a restart, so that an answer without news never validates. */
  uniqueSuffix(): string {
    return String(++this.suffixes)
  }

  /**
   * The headers that every response has, in a new array. Unless the host names origins, any may read the answer: it
   * depends on the URL (and, with an authorisation hook, on headers that browsers only send cross-origin when told to),
   * so echoing the request's origin would only spoil shared caches.
   */
  headers(context: ReplyContext, kind: CacheClass, contentType: string | undefined): Array<string> {
    const key = `${kind} ${context.method} ${context.route} ${contentType}`
    let template = this.templates.get(key)
    if (template === undefined) {
      const made = ["x-request-id", "", "vary", this.vary, "cache-control"]
      made.push(cacheControl(kind, context.method, this.settings), "electric-server", this.identity)
      made.push(...corsHeaders(this.cors, context.route))
      if (contentType !== undefined) made.push("content-type", contentType)
      template = made
      // Methods are whatever clients send: only those that the API has are worth remembering.
      if (context.route !== "none") this.templates.set(key, template)
    }
    const headers = template.slice()
    headers[1] = context.requestId
    if (typeof this.cors === "object") headers.push(...originHeaders(this.cors, context.origin))
    return headers
  }

  /** `headers` come from the method of that name and belong to this reply alone. */
  make<B extends ReplyBody>(
    status: number,
    headers: Array<string>,
    body: B,
    closeConnection = false
  ): ApiReply & { readonly body: B } {
    return { status, headers, body, closeConnection: closeConnection || this.closeConnections }
  }

  failure(context: ReplyContext, failure: Failure): ApiReply {
    const headers = this.headers(context, failure.kind, failure.body === "" ? undefined : jsonType)
    if (forbidsSurrogates(failure.kind, context.method) && !failure.headers.includes("surrogate-control"))
      headers.push("surrogate-control", "no-store")
    for (let i = 0; i + 1 < failure.headers.length; i += 2)
      setHeader(headers, failure.headers[i] ?? "", failure.headers[i + 1] ?? "")
    return this.make(
      failure.status,
      headers,
      failure.body === "" ? emptyBody : { _tag: "Text", text: failure.body },
      failure.closeConnection === true
    )
  }

  text(
    context: ReplyContext,
    status: number,
    kind: CacheClass,
    contentType: string | undefined,
    text: string
  ): ApiReply {
    const body: ReplyBody = text === "" ? emptyBody : { _tag: "Text", text }
    return this.make(status, this.headers(context, kind, contentType), body)
  }

  /** Any well-formed list of header names may be sent along: none of them means more than the URL does. */
  preflight(context: ReplyContext, requestedHeaders: string | undefined): ApiReply {
    const headers = ["x-request-id", context.requestId, "electric-server", this.identity]
    headers.push(...corsHeaders(this.cors, "shape"))
    if (typeof this.cors === "object")
      headers.push("vary", "origin", ...originHeaders(this.cors, context.origin))
    headers.push("access-control-max-age", "86400")
    if (requestedHeaders !== undefined && headerNames.test(requestedHeaders))
      headers.push("access-control-allow-headers", requestedHeaders)
    return this.make(204, headers, emptyBody)
  }
}

/** The reply that tells a client why there is no other. What must not happen is told to the operator. */
export const failedReply = (
  replies: Replies,
  context: ReplyContext,
  cause: Cause.Cause<Failure>
): Effect.Effect<ApiReply> => {
  const failure = Cause.findErrorOption(cause)
  if (Option.isSome(failure)) {
    const reply = Effect.succeed(replies.failure(context, failure.value))
    const { told } = failure.value
    return told === undefined ? reply : Effect.andThen(notice("BATON-REQUEST-REFUSED", told), reply)
  }
  if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
  return reportFault("BATON-SERVICE-MISTAKE", {
    message:
      `A ${context.method} request failed inside Baton (request ${context.requestId}). ` +
      "This is a bug in Baton, please report it. The client gets a 500; the service goes on.",
    cause
  }).pipe(Effect.as(replies.failure(context, crashed)))
}

/** Counts an answer to a request for a shape, by what its headers say. */
export const countReply = (counts: RequestCounts, { status, headers }: ApiReply, live: boolean): void => {
  let knownError = false
  let empty = false
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] === "electric-has-data") empty = headers[i + 1] === "false"
    else if (headers[i] === "electric-internal-known-error") knownError = true
  }
  counts.add(status, knownError, live, empty)
}
