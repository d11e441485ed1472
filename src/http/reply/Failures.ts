import type { ShapeHandle } from "../../storage/ShapeLogs.ts"
import type { HealthRef } from "../../health/HealthRef.ts"
import { refusalOf } from "../../health/HealthState.ts"
import type { Refusal, RefusalReason } from "../../health/Refusal.ts"
import { aboveLimit, type Limits } from "../../config/Limits.ts"
import { retryAfterSeconds } from "../HttpTimings.ts"
import type { CacheClass } from "./CacheControl.ts"
import { conflictEtag } from "./Etag.ts"
import type { ParameterErrors } from "../request/Parameters.ts"

/** Why a request gets no data, as plain data: what the reply says. Fails the handler's Effects. */
export interface Failure {
  readonly _tag: "Failure"
  readonly status: number
  readonly kind: CacheClass
  /** Names and values in turn. */
  readonly headers: ReadonlyArray<string>
  readonly body: string
  readonly closeConnection?: true
  /** What the operator is told, who could mend it; where it says nothing, he has been told, or there is nothing to mend. */
  readonly told?: string
  /** Another instance, which writes, may well be able to answer. */
  readonly writerMayKnow?: true
}

const failure = (
  status: number,
  body: unknown,
  headers: ReadonlyArray<string> = [],
  kind: CacheClass = "error"
): Failure => ({ _tag: "Failure", status, kind, headers, body: JSON.stringify(body) })

/** Errors of parameters, of a subset's parameters under `subset`, or the one bare text that a subset's `where` has. */
type RequestErrors = Readonly<
  Record<string, ReadonlyArray<string> | ParameterErrors | { readonly where: string }>
>

export const invalidRequest = (errors: RequestErrors): Failure =>
  failure(400, { message: "Invalid request", errors })

const mustRefetchBody = '[{"headers":{"control":"must-refetch"}}]'

/** The client's copy cannot be continued. `handle` is the shape to read instead, which is there. */
export const mustRefetch = (handle: string): Failure => ({
  _tag: "Failure",
  status: 409,
  kind: "conflictWithHandle",
  headers: ["etag", conflictEtag(handle), "electric-handle", handle],
  body: mustRefetchBody
})

/**
 * The shape was dropped while it was being read. Nobody has made its successor yet, so the answer must not be stored
 * anywhere: the same URL may be readable again a moment later. The only 409 without a handle, and only for a shape that
 * there was: none that cannot be made is answered like this, or its clients would ask again and again.
 */
export const droppedWhileRead: Failure = {
  _tag: "Failure",
  status: 409,
  kind: "error",
  headers: [],
  body: mustRefetchBody
}

/**
 * What who was reading a shape is told when it is dropped. Where it went for want of room, the next one may be refused for as long:
 * clients are sent away for a moment, and keep their rows until they are given others. They come back with their handle, and whoever
 * knows says whether there is a successor by then.
 */
export const droppedNow = ({ dropped }: Pick<ShapeHandle, "dropped">): Failure =>
  dropped === "forRoom"
    ? unavailable(
        "The shape had to make room (BATON_MAX_STORAGE). Please try again later.",
        retryAfterSeconds.aMoment
      )
    : droppedWhileRead

export const unavailable = (message: string, afterSeconds: number): Failure =>
  failure(503, { message }, ["retry-after", String(afterSeconds)])

const whereWriterMayKnow = (of: Failure): Failure => ({ ...of, writerMayKnow: true })

/** A condition that is known and passes, marked as such for proxies and dashboards. */
export const knownUnavailable = (message: string): Failure =>
  whereWriterMayKnow(
    failure(503, { message }, [
      "retry-after",
      String(retryAfterSeconds.database),
      "electric-internal-known-error",
      "true"
    ])
  )

export const catalogueUnreadable: Failure = whereWriterMayKnow(
  unavailable(
    "Cannot connect to the database to verify the shape. Please try again later.",
    retryAfterSeconds.aMoment
  )
)

/**
 * Why this instance cannot do now what the request needs; `why` is what was seen of it, beside the state, and `message` what can be
 * said of that, where it is not always the same.
 */
export const notNow = (health: HealthRef["Service"], why?: RefusalReason, message?: string): Failure => {
  const refusal = refusalOf(health.current(), health.failure() !== undefined, why)
  return refusedFor(refusal.why === "bucket" && message !== undefined ? { ...refusal, message } : refusal)
}

/** What the table of refusals says, as a failure. */
export const refusedFor = ({ message, retryAfterSeconds: afterSeconds, why }: Refusal): Failure => ({
  ...whereWriterMayKnow(unavailable(message, afterSeconds)),
  ...(why === "notReadable" || why === "silent"
    ? {
        told: `Requests are refused (503): ${message}. Look at the log of the process or instance that makes shapes: it stands still, or its machine has too little time for it.`
      }
    : {})
})

/** `spreadSeconds` 1 to 5, random, so that refused clients do not come back together. */
export const overloaded = (kind: "initial" | "existing", limit: number, spreadSeconds: number): Failure => ({
  ...failure(
    503,
    {
      code: "concurrent_request_limit_exceeded",
      message: `Concurrent ${kind} request limit exceeded (limit: ${limit}), please retry`
    },
    [
      "surrogate-control",
      "no-store",
      "retry-after",
      String(retryAfterSeconds.crowd + spreadSeconds),
      "electric-internal-known-error",
      "true"
    ]
  ),
  told:
    `Requests for shapes that ${kind === "initial" ? "are to be made" : "exist"} are refused (503), because there are ${limit} already, the ` +
    "limit of ELECTRIC_MAX_CONCURRENT_REQUESTS. It passes when there are fewer. Raise the limit if this machine has room, add HTTP " +
    "workers or instances if it has not."
})

/** `message` is shown to clients: it must not carry anything that they may not know. */
export const failed = (message: string): Failure => failure(500, { message })

export const crashed: Failure = {
  ...failure(500, { error: "Internal server error" }, [], "unspecific"),
  closeConnection: true
}

export const unauthorized = failure(401, { message: "Unauthorized - Invalid API secret" }, [], "unspecific")

/** The query string is not UTF-8 text: nothing about it can be answered. */
export const undecodableQuery: Failure = {
  _tag: "Failure",
  status: 400,
  kind: "error",
  headers: [],
  body: "",
  closeConnection: true
}

export const badBody = (body: unknown): Failure => failure(400, body, [], "unspecific")
export const bodyTooLarge = (limits: Limits): Failure => ({
  ...failure(
    413,
    { error: "Request body too large", details: aboveLimit("bodyBytes", limits) },
    [],
    "unspecific"
  ),
  closeConnection: true
})
export const bodyTooSlow = (details: string): Failure => ({
  ...failure(408, { error: "Request body took too long", details }, [], "unspecific"),
  closeConnection: true
})
/** The connection is closed: the rest of the body is not waited for. */
export const tooManyBodies = (message: string): Failure => ({
  ...unavailable(message, retryAfterSeconds.bodies),
  told: `POST requests are refused (503): ${message}. It passes when there are fewer.`,
  closeConnection: true
})
export const bodyUnreadable: Failure = {
  ...failure(400, { error: "Failed to read request body" }, [], "unspecific"),
  closeConnection: true
}

export const bodyTaken = failed(
  "The request body was read before it reached Baton. The service's log says what to change."
)

export const deleteNotAllowed = failure(405, { message: "DELETE not allowed" })
export const noSuchShape = failure(404, { message: "No existing shape found" })
export const handleMismatch = failure(400, {
  message:
    "The specified shape definition and handle do not match. Please ensure the shape definition is correct or omit the shape handle from the request to obtain a new one."
})

/** The host's own refusal: status, body and headers (names and values in turn) are its business. */
export const refused = (status: number, body: string, headers: ReadonlyArray<string>): Failure => ({
  _tag: "Failure",
  status,
  kind: "error",
  headers,
  body
})
