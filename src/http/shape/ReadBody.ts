import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect, Result } from "effect"
import { type ApiRequest, BodyTaken } from "../request/ApiRequest.ts"
import type { ApiServices } from "./ApiServices.ts"
import { badBody, bodyTaken, bodyTooLarge, bodyUnreadable, type Failure } from "../reply/Failures.ts"
import { mergeBody, parseBody, type MergedParams } from "../request/RequestBody.ts"

/** A length that the connection kept, and no bytes: a server delivers as many as were announced. */
const isMissing = (request: ApiRequest, bytes: Uint8Array): boolean =>
  bytes.length === 0 && Number(request.header("content-length") ?? 0) > 0

const toldOfBodies = new WeakSet<ApiServices>()

/** Said once: it is a mistake in the host's program, and every such request makes it. */
const bodyIsGone = (services: ApiServices, advice: string): Effect.Effect<never, Failure> =>
  Effect.suspend(() => {
    if (toldOfBodies.has(services)) return Effect.fail(bodyTaken)
    toldOfBodies.add(services)
    return Effect.andThen(
      reportFault(
        "BATON-HOST-BODY",
        "The body of a POST request had been read before it reached Baton, so it cannot be answered: the client gets a 500, " +
          `and so do all that come after it. This does not heal by itself. ${advice}`
      ),
      Effect.fail(bodyTaken)
    )
  })

/** The parameters of a POST: its body over those of its query. */
export const readBody = (
  services: ApiServices,
  request: ApiRequest,
  query: MergedParams
): Effect.Effect<MergedParams, Failure> => {
  const { limits } = services.config
  const received = services.bodies.read((arrived) => request.body(limits.bodyBytes, arrived))
  return received.pipe(
    Effect.flatMap((bytes) =>
      isMissing(request, bytes)
        ? new BodyTaken({ advice: "Hand requests to Baton before anything that reads bodies." })
        : Effect.succeed(bytes)
    ),
    Effect.catchTags({
      BodyTooLarge: () => Effect.fail(bodyTooLarge(limits)),
      BodyUnreadable: () => Effect.fail(bodyUnreadable),
      BodyTaken: ({ advice }) => bodyIsGone(services, advice)
    }),
    Effect.flatMap((bytes) => {
      const body = parseBody(bytes, limits)
      return Result.isFailure(body)
        ? Effect.fail(badBody(body.failure))
        : Effect.succeed(mergeBody(query, body.success))
    })
  )
}
