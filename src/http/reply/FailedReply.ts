import { Cause, Effect, Option } from "effect"
import type { ApiReply } from "./ApiReply.ts"
import { crashed, type Failure } from "./Failures.ts"
import type { Replies, ReplyContext } from "./Replies.ts"

/** The reply that tells a client why there is no other. What must not happen is told to the operator. */
export const failedReply = (
  replies: Replies,
  context: ReplyContext,
  cause: Cause.Cause<Failure>
): Effect.Effect<ApiReply> => {
  const failure = Cause.findErrorOption(cause)
  if (Option.isSome(failure)) return Effect.succeed(replies.failure(context, failure.value))
  if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
  return Effect.logError(
    `A ${context.method} request failed inside Baton (request ${context.requestId}). ` +
      "This is a bug in Baton, please report it. The client gets a 500; the service goes on.",
    cause
  ).pipe(Effect.as(replies.failure(context, crashed)))
}
