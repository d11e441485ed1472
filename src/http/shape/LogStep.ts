import { abilities } from "../../health/HealthState.ts"
import { refusals } from "../../health/Refusal.ts"
import { nextAlias } from "../../shapes/HandleAlias.ts"
import { formatOffset, type LogOffset } from "../../shapes/LogOffset.ts"
import { maxLsn, type Lsn } from "../../shared/Lsn.ts"
import type { LogRead, LogSlice } from "../../storage/ShapeLogs.ts"
import type { ApiReply } from "../reply/ApiReply.ts"
import type { ApiServices } from "./ApiServices.ts"
import { droppedNow, invalidRequest, mustRefetch, refusedFor, type Failure } from "../reply/Failures.ts"
import { nothingNewReply, sliceReply, type LogRequest } from "./LogReply.ts"

/** What to do with what was read: answer, or wait until the log is beyond `after` or the time is over and read again. */
type LogStep =
  | { readonly _tag: "Reply"; readonly reply: ApiReply }
  | { readonly _tag: "Fail"; readonly failure: Failure }
  /** Stream events; `first` is what was read, undefined when the client is ahead of the log. */
  | { readonly _tag: "Events"; readonly first: LogSlice | undefined }
  | { readonly _tag: "Wait"; readonly after: LogOffset; readonly untilMillis: number }

/** The shape is there, and what this client has of it is too old. It would take no answer by the name that it has. */
const startOver = ({ handle }: LogRequest): Failure => mustRefetch(nextAlias(handle))

/**
 * Final for clients, so only an instance that knows the whole log may say it: see `knowsWholeLog`, and once it has settled what the
 * active instance before may have told.
 */
export const outOfBounds: Failure = invalidRequest({ offset: ["out of bounds for this shape"] })

/**
 * The log may go on elsewhere: in the journal that another instance writes, which is read late here for some reason, or in what the
 * stream is to bring once more.
 */
export const behind = refusedFor(refusals.behind)

/**
 * The whole decision of a log request, made again after every look at the log. Times are those of `ApiServices.timers`,
 * which nobody sets. `lsn` was taken before the look:
 * what is committed in between then counts as not seen, instead of being claimed without having been delivered.
 */
export const nextStep = (
  services: ApiServices,
  request: LogRequest,
  found: LogRead,
  lsn: Lsn,
  startMillis: number,
  nowMillis: number
): LogStep => {
  const { params, shape } = request
  const { longPollTimeoutMillis } = services.config
  switch (found._tag) {
    case "Dropped":
      return { _tag: "Fail", failure: droppedNow(shape) }
    case "Expired":
      return { _tag: "Fail", failure: startOver(request) }
    case "Ahead": {
      // An event stream waits inside. Others are held until this instance's log catches up.
      if (params.sse) return { _tag: "Events", first: undefined }
      const untilMillis = startMillis + longPollTimeoutMillis / 2
      const knowsAll = abilities[services.health.current()].knowsWholeLog
      return nowMillis >= untilMillis
        ? { _tag: "Fail", failure: knowsAll ? outOfBounds : behind }
        : { _tag: "Wait", after: services.logs.lastOffset(shape), untilMillis }
    }
    case "Slice": {
      if (params.sse) return { _tag: "Events", first: found }
      const isEmpty = found.body instanceof Uint8Array && found.body.length === 0
      if (!params.live || !found.upToDate || !isEmpty)
        return { _tag: "Reply", reply: sliceReply(services, request, found, lsn) }
      const untilMillis = startMillis + longPollTimeoutMillis
      if (nowMillis < untilMillis) return { _tag: "Wait", after: found.next, untilMillis }
      const claimed = maxLsn(lsn, found.next.tx)
      const next = formatOffset(found.next)
      return { _tag: "Reply", reply: nothingNewReply(services, request, next, claimed) }
    }
  }
}
