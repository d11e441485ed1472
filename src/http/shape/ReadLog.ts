import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import { maxLsn } from "../../shared/Lsn.ts"
import { formatOffset } from "../../shapes/LogOffset.ts"
import type { ShapeReadError } from "../../storage/ShapeLogs.ts"
import { behindMillis, retryAfterSeconds } from "../HttpTimings.ts"
import type { Permit } from "./Admission.ts"
import type { ApiServices } from "./ApiServices.ts"
import { failed, unavailable } from "../reply/Failures.ts"
import { countReply, failedReply } from "../reply/Replies.ts"
import { eventReply, mustCompress, nothingNewReply, type LogRequest } from "./LogReply.ts"
import { behind, nextStep, outOfBounds } from "./LogStep.ts"
import { ParkedEvents, ParkedRequest } from "./ParkedRequest.ts"

/** `message` of a read error names files of the server: that is for its log only. */
const unreadable = (error: ShapeReadError) =>
  error.mayPass === true ? unreadableNow(error) : unreadableAgain(error)

const unreadableNow = ({ handle, message }: ShapeReadError) =>
  reportFault("BATON-SHAPE-LOG", {
    message: `The log of shape ${handle} cannot be read now: ${message}. The client gets a 503 and tries again.`,
    about: handle,
    everyMillis: 10_000
  }).pipe(
    Effect.andThen(
      Effect.fail(
        unavailable(
          "The shape log cannot be read at the moment. Please try again later.",
          retryAfterSeconds.aMoment
        )
      )
    )
  )

const unreadableAgain = (error: ShapeReadError) =>
  reportFault("BATON-SHAPE-LOG", {
    message: `The log of shape ${error.handle} cannot be read: ${error.message}. The client gets a 500 and tries again.`,
    about: error.handle,
    everyMillis: 10_000
  }).pipe(Effect.andThen(Effect.fail(failed("Unable to retrieve shape log: it could not be read"))))

/**
 * Answers a request for log entries: at once if there are any after its offset, or if it is not live; otherwise it is
 * parked. `startMillis`: when the request came, if that was before.
 */
export const readLog = Effect.fnUntraced(function* (
  services: ApiServices,
  request: LogRequest,
  permit: Permit,
  startMillis = services.timers.nowMillis()
) {
  const { logs, timers } = services
  const { context, params, shape } = request
  const { position } = params
  let knowsAllTold: boolean | undefined
  // Once: after that the answer claims as much as there is. A live request is held anyway.
  let mayWait = !params.live
  while (true) {
    const lsn = logs.lastSeenLsn(shape)
    const late = mayWait ? logs.caughtUp(shape, behindMillis) : undefined
    if (position.now) {
      if (late !== undefined) {
        mayWait = false
        yield* late
        continue
      }
      const last = logs.lastOffset(shape)
      return nothingNewReply(services, request, formatOffset(last), maxLsn(lsn, last.tx))
    }
    const found = yield* Effect.catch(logs.read(shape, position.offset), unreadable)
    if (late !== undefined && found._tag === "Slice" && found.upToDate) {
      mayWait = false
      yield* late
      continue
    }
    if (found._tag === "Slice" && mustCompress(services, request, found))
      yield* services.compressed.prepare(shape, found)
    const step = nextStep(services, request, found, lsn, startMillis, timers.nowMillis())
    switch (step._tag) {
      case "Reply":
        return step.reply
      case "Wait":
        return new ParkedRequest(services, request, permit, startMillis, step.after, step.untilMillis)
      case "Events": {
        const reply = eventReply(services, request, step.first)
        return context.method === "HEAD" ? reply : new ParkedEvents(services, reply, permit)
      }
      case "Fail":
        if (step.failure !== outOfBounds) return yield* Effect.fail(step.failure)
        if (knowsAllTold !== undefined) return yield* Effect.fail(knowsAllTold ? outOfBounds : behind)
        knowsAllTold = yield* services.registry.settle // once
    }
  }
})

/** Answers a request that was held, where that takes waiting for a disk, or for what other processes know. Never fails. */
export const finishParked = (
  parked: ParkedRequest
): Effect.Effect<Effect.Success<ReturnType<typeof readLog>>> => {
  const { permit, request, services } = parked
  return readLog(services, request, permit, parked.sinceMillis()).pipe(
    Effect.catchCause((cause) => failedReply(services.replies, request.context, cause)),
    Effect.tap((made) =>
      Effect.sync(() => {
        if ("_tag" in made) return services.traces?.pass(parked, made)
        countReply(services.requests, made, true)
        services.traces?.answered(parked, made)
      })
    )
  )
}
