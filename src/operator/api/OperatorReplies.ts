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
  "There is nothing here. The page is at /baton, its API below /baton/api: status, shapes, config, live."
)

export const methodNotAllowed = (allowed: string): OperatorReply =>
  problem(405, "method-not-allowed", `Only ${allowed} is answered here.`, "allow", allowed)
