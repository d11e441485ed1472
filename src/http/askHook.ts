import { Cause, Effect, Option } from "effect"
import type { Authorize, AuthorizeRequest, Refused } from "./Authorize.ts"
import { crashed, refused, type Failure } from "./Failures.ts"
import type { ShapeSelection } from "./ShapeParams.ts"

const isText = (value: unknown): boolean => value === undefined || typeof value === "string"

const isTexts = (value: unknown): boolean => isText(value) || (Array.isArray(value) && value.every(isText))

const isTextMap = (value: unknown): boolean =>
  value === undefined || (typeof value === "object" && value !== null && Object.values(value).every(isText))

/** What is wrong with a hook's answer: the types say it, but hooks may be written in JavaScript. */
const problemOf = (selection: Partial<Record<keyof ShapeSelection, unknown>> | undefined) => {
  if (typeof selection !== "object" || selection === null) return "it returned no shape"
  const { columns, log, params, queryable_columns, replica, table, where } = selection
  if (![table, where, replica, log].every(isText))
    return "table, where, replica and log must be texts, or left out"
  if (![columns, queryable_columns].every(isTexts)) return "columns must be a text, or a list of texts"
  return isTextMap(params) ? undefined : "the values of params must be texts"
}

/** Also a refusal made by another copy of the package. */
const isRefusal = (error: unknown): error is Refused => {
  if (typeof error !== "object" || error === null) return false
  const { _tag, body, status } = error as Partial<Refused>
  return _tag === "Refused" && (status === 401 || status === 403) && typeof body === "string"
}

/**
 * Asks the host's hook for the shape that is to be served. When the hook itself fails, or says nothing that makes sense,
 * the client gets a 500 without details, and the log says that it was the hook.
 */
export const askHook = (
  authorize: Authorize,
  request: AuthorizeRequest
): Effect.Effect<ShapeSelection, Failure> =>
  Effect.suspend(() => authorize(request)).pipe(
    Effect.flatMap((selection) => {
      const problem = problemOf(selection)
      return problem === undefined ? Effect.succeed(selection) : Effect.die(new TypeError(problem))
    }),
    Effect.catchCause((cause) => {
      const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
      if (isRefusal(failure)) return Effect.fail(refused(failure.status, failure.body))
      if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
      return Effect.andThen(
        Effect.logError(
          `The authorize hook of this program failed for a ${request.method} request. The client gets a 500; the ` +
            "service goes on. Let the hook fail with Refused for those who may not read.",
          cause
        ),
        Effect.fail(crashed)
      )
    })
  )
