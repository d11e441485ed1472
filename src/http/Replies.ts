import { randomBytes } from "node:crypto"
import { emptyBody, type ApiReply, type ReplyBody } from "./ApiReply.ts"
import { cacheControl, forbidsSurrogates, type CacheClass, type CacheSettings } from "./CacheControl.ts"
import type { Failure } from "./Failures.ts"
import type { Route } from "./Route.ts"

/** What replies need to know of the request they answer. */
export interface ReplyContext {
  readonly method: string
  readonly route: Route
  readonly requestId: string
}

const exposedHeaders =
  "electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,electric-up-to-date,electric-internal-known-error,retry-after"
const shapeMethods = "GET, POST, HEAD, DELETE, OPTIONS"
const otherMethods = "GET, HEAD"
export const jsonType = "application/json; charset=utf-8"

const idPrefix = randomBytes(9).toString("base64url")
let idCounter = 0
/** 20 characters, unique in this process and, by its random half, elsewhere. */
const newRequestId = (): string => idPrefix + (idCounter++).toString(36).padStart(8, "0")

const printable = /^[\x20-\x7e]{20,200}$/

/** The client's own `x-request-id` where it is usable, else a new one. */
export const requestIdOf = (given: string | undefined): string =>
  given !== undefined && printable.test(given) ? given : newRequestId()

const headerNames = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/

/** Puts replies together: the headers that every response carries, cache rules, CORS. */
export class Replies {
  private readonly identity: string
  private readonly settings: CacheSettings
  private readonly vary: string
  /** Set when this instance is about to go: clients are to make their next connection elsewhere. */
  closeConnections = false

  constructor(identity: string, settings: CacheSettings) {
    this.identity = identity
    this.settings = settings
    this.vary = settings.shared ? "accept-encoding" : "accept-encoding, authorization, cookie"
  }

  /**
   * `headers` are those of this response only. Any origin may read the answer: it depends on the URL (and, with
   * an authorisation hook, on headers that browsers only send cross-origin when told to), so echoing the
   * request's origin would only spoil shared caches.
   */
  make(
    context: ReplyContext,
    status: number,
    kind: CacheClass,
    contentType: string | undefined,
    headers: ReadonlyArray<string>,
    body: ReplyBody,
    closeConnection = false
  ): ApiReply {
    const all = [
      "vary",
      this.vary,
      "cache-control",
      cacheControl(kind, context.method, this.settings),
      "x-request-id",
      context.requestId,
      "electric-server",
      this.identity,
      "access-control-allow-origin",
      "*",
      "access-control-expose-headers",
      exposedHeaders,
      "access-control-allow-methods",
      context.route === "shape" ? shapeMethods : otherMethods
    ]
    if (contentType !== undefined) all.push("content-type", contentType)
    for (const item of headers) all.push(item)
    return { status, headers: all, body, closeConnection: closeConnection || this.closeConnections }
  }

  failure(context: ReplyContext, failure: Failure): ApiReply {
    const headers =
      forbidsSurrogates(failure.kind, context.method) && !failure.headers.includes("surrogate-control")
        ? ["surrogate-control", "no-store", ...failure.headers]
        : failure.headers
    return this.make(
      context,
      failure.status,
      failure.kind,
      failure.body === "" ? undefined : jsonType,
      headers,
      failure.body === "" ? emptyBody : { _tag: "Text", text: failure.body },
      failure.closeConnection === true
    )
  }

  notFound(context: ReplyContext): ApiReply {
    return this.make(context, 404, "unspecific", undefined, [], { _tag: "Text", text: "Not found" })
  }

  root(context: ReplyContext): ApiReply {
    return this.make(context, 200, "unspecific", undefined, [], emptyBody)
  }

  /** Any well-formed list of header names may be sent along: none of them means more than the URL does. */
  preflight(context: ReplyContext, requestedHeaders: string | undefined): ApiReply {
    const headers = [
      "x-request-id",
      context.requestId,
      "electric-server",
      this.identity,
      "access-control-allow-origin",
      "*",
      "access-control-expose-headers",
      exposedHeaders,
      "access-control-allow-methods",
      shapeMethods,
      "access-control-max-age",
      "86400"
    ]
    if (requestedHeaders !== undefined && headerNames.test(requestedHeaders))
      headers.push("access-control-allow-headers", requestedHeaders)
    return { status: 204, headers, body: emptyBody, closeConnection: this.closeConnections }
  }
}
