import type { Effect } from "effect"
import { notice } from "../../telemetry/Notices.ts"
import type { Classification } from "../../where/index.ts"
import { redactQuery } from "../request/QueryString.ts"

/** A request as the log has it: without secrets. */
export interface ShownRequest {
  readonly method: string
  readonly target: string
  readonly requestId: string
}

export const shownTarget = (path: string, query: string, secret: string | undefined): string =>
  query === "" ? path : `${path}?${redactQuery(query, secret)}`

/** What the class of a condition means for those who want it faster. */
const classes: Readonly<Record<Classification | "none", string>> = {
  none: " It has no condition.",
  indexed: " Its condition is of the class indexed: found by a value of each changed row.",
  evaluated: " Its condition is of the class evaluated: here, for each changed row of the table.",
  postgres: " Its condition is of the class postgres, which is asked about changed rows."
}

/** Tells of a request that took `millis` although it did not wait for changes: a line a minute for each status. */
export const tellSlow = (
  { method, requestId, target }: ShownRequest,
  status: number,
  millis: number,
  condition: Classification | "none" | undefined
): Effect.Effect<void> =>
  notice(
    "BATON-REQUEST-SLOW",
    `${method} ${target} was answered with ${status} after ${Math.round(millis)} ms (request ${requestId}).` +
      `${condition === undefined ? "" : classes[condition]} First rows want an index in Postgres; look at the load of the database ` +
      "and of this machine otherwise. BATON_SLOW_REQUEST says from which time on this is said.",
    String(status)
  )
