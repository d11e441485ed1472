import { Effect } from "effect"
import type { Refused } from "./Authorize.ts"
import { refused, type Failure } from "../reply/Failures.ts"

/** Of the message as it was, not of the one that is sent. Source: RFC 9110, sections 7.6.1 and 8. */
const framing = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "date",
  "keep-alive",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

const isRefusalStatus = (status: unknown): status is number =>
  typeof status === "number" && Number.isInteger(status) && status >= 400 && status <= 599 && status !== 409

/** A refusal, the reason why something that looks like one cannot be used, or `undefined` for everything else. */
type Refusal = Failure | { readonly _tag: "Unusable"; readonly problem: string }

const unusable = (problem: string): Refusal => ({ _tag: "Unusable", problem })

const badStatus = (what: string, status: unknown): Refusal =>
  unusable(
    `${what} has the status ${String(status)}. A refusal has 400 to 599, but not 409, which tells clients to fetch ` +
      "everything again; a client that syncs cannot follow a redirect to a page"
  )

const refusalOf = (
  what: string,
  status: unknown,
  body: string,
  headers: Iterable<readonly [string, unknown]>
): Refusal => {
  if (!isRefusalStatus(status)) return badStatus(what, status)
  const kept: Array<string> = []
  for (const [name, value] of headers) {
    if (!token.test(name) || typeof value !== "string" || !fieldValue.test(value))
      return unusable(`${what} has a header ${JSON.stringify(name)} that cannot be sent`)
    if (!framing.has(name.toLowerCase())) kept.push(name.toLowerCase(), value)
  }
  return refused(status, body, kept)
}

/** Also a refusal made by another copy of the package. */
const isRefused = (error: object): error is Refused => "_tag" in error && error._tag === "Refused"

/** `Response` may come from a library that brings its own. */
const isResponse = (error: object): error is Response =>
  error instanceof Response ||
  ("status" in error && "headers" in error && "text" in error && typeof error.text === "function")

/** Errors of Hono carry their answer with them. */
const carriesResponse = (error: object): error is { readonly getResponse: () => Response } =>
  "getResponse" in error && typeof error.getResponse === "function"

/**
 * What a hook that failed with `error` means to tell the client: `Refused`, or a `Response`, as programs throw it that
 * speak the Fetch API. `undefined` for all other errors.
 */
export const hookRefusal = (error: unknown): Effect.Effect<Refusal | undefined> =>
  // It never rejects: whatever is thrown by what the hook has thrown is caught.
  Effect.promise(async () => {
    if (typeof error !== "object" || error === null) return undefined
    try {
      if (isRefused(error)) {
        const { body, headers, status } = error
        return typeof body === "string"
          ? refusalOf("Refused", status, body, Object.entries(headers ?? {}))
          : unusable("the body of Refused must be a text")
      }
      const response = carriesResponse(error) ? error.getResponse() : error
      if (!isResponse(response)) return undefined
      const { headers, status } = response
      if (!isRefusalStatus(status)) return badStatus("The Response that it threw", status)
      return refusalOf("The Response that it threw", status, await response.text(), headers)
    } catch (problem) {
      return unusable(`what it threw cannot be read: ${String(problem)}`)
    }
  })
