import type { PieceSource } from "../../shared/Pieces.ts"
import type { OperatorReply } from "../../http/shape/OperatorDoor.ts"

/** Nothing that is for operators is kept by a cache, guessed the type of, or shown within another page. */
const common = [
  "cache-control",
  "no-store",
  "x-content-type-options",
  "nosniff",
  "referrer-policy",
  "no-referrer",
  "x-frame-options",
  "DENY",
  "cross-origin-resource-policy",
  "same-origin"
] as const

/** For one reply, whose headers are added to it. The first is that of caches. */
export const commonHeaders = (): Array<string> => [...common]

/** An answer of the API for operators. */
export const json = (status: number, value: unknown, ...headers: ReadonlyArray<string>): OperatorReply => ({
  status,
  headers: ["content-type", "application/json; charset=utf-8", ...common, ...headers],
  body: { _tag: "Text", text: JSON.stringify(value) }
})

/** What went wrong, with a word for programs and a sentence for people. */
export const problem = (
  status: number,
  error: string,
  message: string,
  ...headers: ReadonlyArray<string>
): OperatorReply => json(status, { error, message }, ...headers)

export const notFound = problem(
  404,
  "not-found",
  "There is nothing here. The page is at /baton, its API below /baton/api: status, shapes, faults, verify, config, live."
)

export const noSuchShape = problem(
  404,
  "no-such-shape",
  "There is no shape of this handle: it was never made, or is gone. Clients that have it begin anew by themselves."
)

/** Server-sent events without an end; proxies are not to collect them. */
export const eventsReply = (pieces: PieceSource): OperatorReply => ({
  status: 200,
  headers: ["content-type", "text/event-stream; charset=utf-8", ...common, "x-accel-buffering", "no"],
  body: { _tag: "Stream", pieces }
})

export const methodNotAllowed = (allowed: string): OperatorReply =>
  problem(405, "method-not-allowed", `Only ${allowed} is answered here.`, "allow", allowed)
