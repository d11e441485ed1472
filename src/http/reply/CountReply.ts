import type { RequestCounts } from "../../telemetry/RequestCounts.ts"
import type { ApiReply } from "./ApiReply.ts"

/** Counts an answer to a request for a shape, by what its headers say. */
export const countReply = (counts: RequestCounts, { status, headers }: ApiReply, live: boolean): void => {
  let knownError = false
  let empty = false
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] === "electric-has-data") empty = headers[i + 1] === "false"
    else if (headers[i] === "electric-internal-known-error") knownError = true
  }
  counts.add(status, knownError, live, empty)
}
