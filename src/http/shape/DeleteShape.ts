import { Effect, Result } from "effect"
import { plainHandle } from "../../shapes/HandleAlias.ts"
import { emptyBody, type ApiReply } from "../reply/ApiReply.ts"
import type { ApiServices } from "./ApiServices.ts"
import { deleteNotAllowed, handleMismatch, invalidRequest, noSuchShape, notNow } from "../reply/Failures.ts"
import { awaitActive } from "./LocateShape.ts"
import { authorizeShape } from "./ReadShape.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"
import { jsonType, type ReplyContext } from "../reply/Replies.ts"
import type { MergedParams } from "../request/RequestBody.ts"
import { parseDeleteParams } from "../request/ShapeParams.ts"

/** Drops a shape, named by its definition, its handle, or both. Only where the configuration allows it. */
export const deleteShape = Effect.fnUntraced(function* (
  services: ApiServices,
  context: ReplyContext,
  request: ApiRequest,
  merged: MergedParams
) {
  yield* awaitActive(services)
  if (!services.config.allowShapeDeletion) return yield* Effect.fail(deleteNotAllowed)
  const params = parseDeleteParams(merged)
  if (Result.isFailure(params)) return yield* Effect.fail(invalidRequest(params.failure))
  const { handle } = params.success
  const selection = yield* authorizeShape(services, request, merged, params.success.selection, {
    handle,
    position: undefined,
    live: false,
    subset: false
  })

  // A handle alone could name a shape that the hook says nothing about.
  if (services.authorize !== undefined && selection.table === undefined)
    return yield* Effect.fail(invalidRequest({ table: ["can't be blank"] }))

  yield* services.registry.settle
  const named = handle === undefined ? undefined : services.logs.byHandle(handle)
  let shape = named
  if (selection.table !== undefined) {
    const resolved = yield* services.resolver.resolve(selection, named?.definition)
    shape = services.logs.byIdentity(resolved.identity)
    // The definition is looked up first: without a shape of it, whatever the handle names does not matter.
    if (shape !== undefined && handle !== undefined && shape.handle !== plainHandle(handle))
      return yield* Effect.fail(handleMismatch)
  }
  if (shape === undefined) return yield* Effect.fail(noSuchShape)
  const dropped = yield* services.registry
    .drop(shape.handle, "deleted through the API")
    .pipe(
      Effect.catchTag("NotActive", ({ message, why }) => Effect.fail(notNow(services.health, why, message)))
    )
  if (!dropped) return yield* Effect.fail(noSuchShape)
  const headers = services.replies.headers(context, "deletion", jsonType)
  headers.push("electric-has-data", "true")
  const reply: ApiReply = services.replies.make(202, headers, emptyBody)
  return reply
})
