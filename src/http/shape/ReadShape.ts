import { Effect, Result } from "effect"
import { abilities } from "../../health/HealthState.ts"
import { spokenHandle } from "../../shapes/HandleAlias.ts"
import type { ShapeHandle } from "../../storage/ShapeLogs.ts"
import type { AdmissionClass, Permit } from "./Admission.ts"
import type { ApiReply } from "../reply/ApiReply.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"
import type { ApiServices } from "./ApiServices.ts"
import type { AuthorizeRequest } from "../hook/Authorize.ts"
import { droppedWhileRead, invalidRequest, overloaded, type Failure } from "../reply/Failures.ts"
import { askHook } from "../hook/AskHook.ts"
import { behindMillis } from "../HttpTimings.ts"
import { awaitReadiness, findShape, makeShape } from "./LocateShape.ts"
import { type Facts, onFreshFacts, type Outdated, outdatedTable } from "./OnFreshFacts.ts"
import type { ParsedQuery } from "../request/ParsedQuery.ts"
import { eventReply, mustCompress, type LogRequest } from "./LogReply.ts"
import { nextStep } from "./LogStep.ts"
import { isImmediate, ParkedEvents, ParkedRequest } from "./ParkedRequest.ts"
import { readLog } from "./ReadLog.ts"
import { checkSubset, readSubset } from "./ReadSubset.ts"
import type { ReplyContext } from "../reply/Replies.ts"
import type { MergedParams } from "../request/RequestBody.ts"
import type { ResolvedShape } from "./ResolveShape.ts"
import { parseReadParams, type ShapeParams, type ShapeSelection } from "../request/ShapeParams.ts"

const admissionClass = (services: ApiServices, query: Readonly<Record<string, unknown>>): AdmissionClass => {
  const handle = query["handle"]
  if (typeof handle !== "string" || handle.trim() === "") return "initial"
  // With an authorisation hook nobody learns what exists before it has agreed, not even through a full house.
  return services.authorize !== undefined || services.logs.byHandle(handle) !== undefined
    ? "existing"
    : "initial"
}

const tooMany = ({ admission }: ApiServices, kind: AdmissionClass): Failure =>
  overloaded(kind, admission.limits[kind], 1 + Math.floor(Math.random() * 5))

/** The refusal of a request that could not run now: its body need not be waited for. */
export const refusedNow = (
  services: ApiServices,
  query: Readonly<Record<string, unknown>>
): Failure | undefined => {
  const kind = admissionClass(services, query)
  if (services.admission.hasRoom(kind)) return undefined
  services.admission.rejected[kind]++
  return tooMany(services, kind)
}

/** Lets a request run, or not. The permit is to be released when the response is over. */
export const admit = (services: ApiServices, query: Readonly<Record<string, unknown>>): Permit | Failure => {
  const kind = admissionClass(services, query)
  return services.admission.tryAcquire(kind) ?? tooMany(services, kind)
}

/**
 * The answer to an ordinary read, where nothing has to be waited for: the shape is there, what it asks for is in
 * memory, and nobody else has a say. A live request with nothing new is parked. `undefined` means: take the long way,
 * which knows every case.
 */
export const readShapeNow = (
  services: ApiServices,
  context: ReplyContext,
  request: ApiRequest,
  query: ParsedQuery
): ApiReply | ParkedRequest | ParkedEvents | undefined => {
  const { logs } = services
  if (services.authorize !== undefined || context.method !== "GET") return undefined
  if (!query.authorized || !query.wellFormed || Result.isFailure(query.params)) return undefined
  const params = query.params.success
  if (params.subset !== undefined || params.position.now) return undefined
  const ability = abilities[services.health.current()]
  if (!ability.servesExistingShapes || ability.wakesOnRequest) return undefined
  const admitted = admissionClass(services, query.values)
  if (!services.admission.hasRoom(admitted)) return undefined
  const resolved = services.resolver.resolveNow(params.selection)
  if (resolved === undefined) return undefined
  const { handle } = params
  const named = handle === undefined ? undefined : logs.byHandle(handle)
  const shape = findShape(services, resolved, handle, named)
  if (shape === undefined) return undefined
  const lsn = logs.lastSeenLsn(shape)
  const found = logs.readNow(shape, params.position.offset)
  if (found === undefined) return undefined
  const mustWait = !params.live && found._tag === "Slice" && found.upToDate
  if (mustWait && logs.caughtUp(shape, behindMillis) !== undefined) return undefined
  const log = logRequest(context, params, shape, resolved, request, query)
  if (found._tag === "Slice" && mustCompress(services, log, found)) return undefined
  const now = services.timers.nowMillis()
  const step = nextStep(services, log, found, lsn, now, now)
  if (step._tag === "Fail") return undefined
  if (step._tag === "Reply") {
    if (!isImmediate(step.reply)) return undefined
    services.registry.touch(shape)
    return step.reply
  }
  const permit = services.admission.tryAcquire(admitted)
  if (permit === undefined) return undefined
  services.admission.promote(permit)
  services.registry.touch(shape)
  if (step._tag === "Wait") return new ParkedRequest(services, log, permit, now, step.after, step.untilMillis)
  const reply = eventReply(services, log, step.first)
  return new ParkedEvents(services, reply, permit)
}

const logRequest = (
  context: ReplyContext,
  params: ShapeParams,
  shape: ShapeHandle,
  resolved: ResolvedShape,
  request: ApiRequest,
  query: ParsedQuery
): LogRequest => {
  const { cursor, expired_handle, handle } = query.values
  return {
    context,
    params,
    shape,
    handle: spokenHandle(shape, handle, expired_handle),
    cursor: typeof cursor === "string" ? cursor : undefined,
    ifNoneMatch: request.header("if-none-match"),
    acceptEncoding: request.header("accept-encoding"),
    where: resolved.definition.where
  }
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
    : askHook(services.authorize, {
        method: request.method,
        url: request.target,
        headers: request.headers(),
        shape,
        parameters,
        ...asked
      })

/**
 * Answers GET, HEAD and POST of an admitted request, whose parameters are `merged`: the ordinary log, a live answer, or a subset. A live request that
 * would be held comes back parked, as `readShapeNow` parks it.
 */
export const readShape = Effect.fnUntraced(function* (
  services: ApiServices,
  context: ReplyContext,
  request: ApiRequest,
  query: ParsedQuery,
  merged: MergedParams,
  permit: Permit
) {
  const parsed = merged === query.merged ? query.params : parseReadParams(merged)
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
  return yield* onFreshFacts((facts) =>
    answerRead(services, context, request, query, permit, params, selection, facts)
  )
})

const answerRead = Effect.fnUntraced(function* (
  services: ApiServices,
  context: ReplyContext,
  request: ApiRequest,
  query: ParsedQuery,
  permit: Permit,
  params: ShapeParams,
  selection: ShapeSelection,
  facts: Facts
) {
  const { handle } = params
  const named = handle === undefined ? undefined : services.logs.byHandle(handle)
  const resolved = yield* services.resolver.resolve(selection, named?.definition, facts)
  const subset =
    params.subset === undefined ? undefined : yield* checkSubset(services, resolved, params.subset, facts)
  const shape =
    findShape(services, resolved, handle, named) ?? (yield* makeShape(services, resolved, handle, facts))
  services.admission.promote(permit)
  services.registry.touch(shape)
  const log = logRequest(context, params, shape, resolved, request, query)
  if (subset !== undefined) return yield* readSubset(services, log, subset)
  const read = readLog(services, log, permit)
  return yield* handle === undefined ? Effect.mapError(read, beginAgain) : read
})

/** A client that has been given nothing yet is given the shape that there is now: for it no copy has come to an end. */
const beginAgain = (failure: Failure): Failure | Outdated =>
  failure === droppedWhileRead ? outdatedTable : failure
