import { Effect, Result } from "effect"
import type { Permit } from "./Admission.ts"
import type { ApiRequest } from "./ApiRequest.ts"
import type { ApiServices } from "./ApiServices.ts"
import type { AuthorizeRequest } from "./Authorize.ts"
import {
  badBody,
  bodyTooLarge,
  bodyUnreadable,
  invalidRequest,
  overloaded,
  refused,
  type Failure
} from "./Failures.ts"
import { awaitReadiness, locateShape } from "./LocateShape.ts"
import { readLog } from "./ReadLog.ts"
import { checkSubset, readSubset } from "./ReadSubset.ts"
import type { ReplyContext } from "./Replies.ts"
import { gatherSubset, maxBodyBytes, mergeBody, parseBody, type MergedParams } from "./RequestBody.ts"
import { parseReadParams, type ShapeSelection } from "./ShapeParams.ts"

/** Lets a request run, or not. `permit` is to be released when the response is over. */
export const admit = (services: ApiServices, query: Readonly<Record<string, unknown>>): Permit | Failure => {
  const handle = query["handle"]
  const hasHandle = typeof handle === "string" && handle.trim() !== ""
  // With an authorisation hook nobody learns what exists before it has agreed, not even through a full house.
  const isExisting =
    hasHandle && (services.authorize !== undefined || services.logs.byHandle(handle) !== undefined)
  const kind = isExisting ? "existing" : "initial"
  return (
    services.admission.tryAcquire(kind) ??
    overloaded(kind, services.admission.limits[kind], 1 + Math.floor(Math.random() * 5))
  )
}

/** Asks the host's hook, if there is one, which shape this request may read. */
export const authorizeShape = (
  services: ApiServices,
  request: ApiRequest,
  parameters: Readonly<Record<string, unknown>>,
  shape: ShapeSelection,
  asked: Pick<AuthorizeRequest, "handle" | "position" | "live" | "subset">
): Effect.Effect<ShapeSelection, Failure> =>
  services.authorize === undefined
    ? Effect.succeed(shape)
    : services
        .authorize({
          method: request.method,
          url: request.target,
          headers: request.headers(),
          shape,
          parameters,
          ...asked
        })
        .pipe(Effect.mapError(({ status, body }) => refused(status, body)))

const readBody = (request: ApiRequest, query: MergedParams): Effect.Effect<MergedParams, Failure> =>
  request.body(maxBodyBytes).pipe(
    Effect.catchTags({
      BodyTooLarge: () => Effect.fail(bodyTooLarge),
      BodyUnreadable: () => Effect.fail(bodyUnreadable)
    }),
    Effect.flatMap((bytes) => {
      const body = parseBody(bytes)
      return Result.isFailure(body)
        ? Effect.fail(badBody(body.failure))
        : Effect.succeed(mergeBody(query, body.success))
    })
  )

/** Answers GET, HEAD and POST of an admitted request: the ordinary log, a live answer, or a subset. */
export const readShape = Effect.fnUntraced(function* (
  services: ApiServices,
  context: ReplyContext,
  request: ApiRequest,
  query: Readonly<Record<string, unknown>>,
  permit: Permit
) {
  const gathered = gatherSubset(query)
  const merged = context.method === "POST" ? yield* readBody(request, gathered) : gathered
  const parsed = parseReadParams(merged)
  if (Result.isFailure(parsed)) return yield* Effect.fail(invalidRequest(parsed.failure))
  const params = parsed.success
  const { handle } = params
  const selection =
    services.authorize === undefined
      ? params.selection
      : yield* authorizeShape(services, request, merged, params.selection, {
          handle,
          position: params.position,
          live: params.live,
          subset: params.subset !== undefined
        })

  const readiness = awaitReadiness(services)
  if (readiness !== undefined) yield* readiness
  const known = handle === undefined ? undefined : services.logs.byHandle(handle)
  const resolved = yield* services.resolver.resolve(selection, known?.definition)
  const subset =
    params.subset === undefined ? undefined : yield* checkSubset(services, resolved, params.subset)
  const shape = yield* locateShape(services, resolved, handle)
  services.admission.promote(permit)
  services.registry.touch(shape)
  const { schemaHeader } = resolved.definition
  if (subset !== undefined) return yield* readSubset(services, context, params, shape, schemaHeader, subset)
  const cursor = query["cursor"]
  return yield* readLog(services, {
    context,
    params,
    shape,
    schemaHeader,
    cursor: typeof cursor === "string" ? cursor : undefined,
    ifNoneMatch: request.header("if-none-match")
  })
})
