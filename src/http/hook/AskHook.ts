import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Cause, Effect, Result } from "effect"
import type { Authorize, AuthorizeRequest } from "./Authorize.ts"
import { crashed, type Failure } from "../reply/Failures.ts"
import { hookAnswer } from "./HookAnswer.ts"
import { hookRefusal } from "./HookRefusal.ts"
import type { ShapeSelection } from "../request/ShapeParams.ts"

/**
 * Asks the host's hook for the shape that is to be served. When the hook itself fails, or says nothing that makes sense,
 * the client gets a 500 without details, and the log says that it was the hook.
 */
export const askHook = (
  authorize: Authorize,
  request: AuthorizeRequest
): Effect.Effect<ShapeSelection, Failure> =>
  Effect.suspend(() => authorize(request)).pipe(
    Effect.matchCauseEffect({
      onSuccess: (answer) => {
        const shape = hookAnswer(answer, request.shape)
        return Result.isSuccess(shape) ? Effect.succeed(shape.success) : hookFailed(request, shape.failure)
      },
      onFailure: (cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.interrupt : refusedBecause(request, cause)
    })
  )

/** A hook of a program without Effect throws, one of a program with Effect fails or dies: what it says counts, not how. */
const refusedBecause = Effect.fnUntraced(function* (request: AuthorizeRequest, cause: Cause.Cause<unknown>) {
  for (const reason of cause.reasons) {
    if (Cause.isInterruptReason(reason)) continue
    const refusal = yield* hookRefusal(Cause.isFailReason(reason) ? reason.error : reason.defect)
    if (refusal === undefined) continue
    return yield* refusal._tag === "Failure" ? Effect.fail(refusal) : hookFailed(request, refusal.problem)
  }
  return yield* hookFailed(request, undefined, cause)
})

const hookFailed = (
  { method, shape }: AuthorizeRequest,
  problem: string | undefined,
  cause: Cause.Cause<unknown> = Cause.empty
): Effect.Effect<never, Failure> =>
  Effect.andThen(
    reportFault("BATON-HOST-HOOK", {
      message:
        `The authorize hook of this program failed for a ${method} request for table ${JSON.stringify(shape.table ?? "")}` +
        `${problem === undefined ? "" : `: ${problem}`}. The client gets a 500; the service goes on. Let the hook ` +
        "return a shape, or fail with Refused for those who may not read.",
      cause
    }),
    Effect.fail(crashed)
  )
