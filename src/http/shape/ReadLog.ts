import { Clock, Effect } from "effect"
import { maxLsn } from "../../shared/Lsn.ts"
import { formatOffset, type LogOffset } from "../../shapes/LogOffset.ts"
import type { ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { ApiServices } from "./ApiServices.ts"
import { droppedWhileRead, failed } from "../reply/Failures.ts"
import { eventReply, mustCompress, nothingNewReply, type LogRequest } from "./LogReply.ts"
import { nextStep, outOfBounds } from "./LogStep.ts"

/** `message` of a read error names files of the server: that is for its log only. */
const unreadable = (error: ShapeReadError) =>
  Effect.logError(
    `The log of shape ${error.handle} cannot be read: ${error.message}. The client gets a 500 and tries again.`
  ).pipe(Effect.andThen(Effect.fail(failed("Unable to retrieve shape log: it could not be read"))))

/**
 * Answers a request for log entries: at once if there are any after its offset, or if it is not live; otherwise
 * when there are, when the shape is dropped, or when the long poll is over. Where it would wait, the caller may have it
 * parked instead. `startMillis`: when the request came, if that was before.
 */
export const readLog = Effect.fnUntraced(function* <P = never>(
  services: ApiServices,
  request: LogRequest,
  park?: (startMillis: number, after: LogOffset, untilMillis: number) => P,
  startMillis?: number
) {
  const { logs } = services
  const { params, shape } = request
  const { position } = params
  const clock = yield* Clock.Clock
  const start = startMillis ?? clock.currentTimeMillisUnsafe()
  let { settle } = services.registry
  let lsn = logs.lastSeenLsn()
  if (position.now) {
    const last = logs.lastOffset(shape)
    return nothingNewReply(services, request, formatOffset(last), maxLsn(lsn, last.tx), start)
  }
  const read = logs.read(shape, position.offset).pipe(Effect.catch(unreadable))
  while (true) {
    const found = yield* read
    if (found._tag === "Slice" && mustCompress(services, request, found))
      yield* services.compressed.prepare(shape, found)
    const now = clock.currentTimeMillisUnsafe()
    const step = nextStep(services, request, found, lsn, start, now)
    if (step._tag === "Reply") return step.reply
    if (step._tag === "Events") return eventReply(services, request, step.first, now)
    if (step._tag === "Fail" && step.failure === outOfBounds && settle !== undefined) {
      yield* settle // once: what it does not know after that, it will not know later
      settle = undefined
      continue
    }
    if (step._tag === "Fail") return yield* Effect.fail(step.failure)
    if (park !== undefined) return park(start, step.after, step.untilMillis)
    const wake = yield* logs.awaitChange(shape, step.after, step.untilMillis - now)
    if (wake === "dropped") return yield* Effect.fail(droppedWhileRead)
    lsn = logs.lastSeenLsn()
  }
})
