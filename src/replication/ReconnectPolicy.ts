import {
  firstDelayMillis,
  longestDelayMillis,
  provenStreamMillis,
  secondDelayMillis
} from "./ReplicationTimings.ts"

/**
 * When to connect again after a failure. The first retry comes almost at once, because the commonest failure is one
 * terminated backend on a healthy server; then 1, 2, 4, 8, 10, 10 ... seconds.
 */
interface ReconnectState {
  /** Failures in a row. */
  readonly failures: number
}

export const noFailures: ReconnectState = { failures: 0 }

/** The state after a failure; `streamedMillis` is how long changes streamed before it, 0 when it did not get that far. */
export const afterFailure = (state: ReconnectState, streamedMillis: number): ReconnectState => ({
  failures: streamedMillis >= provenStreamMillis ? 1 : state.failures + 1
})

export const reconnectDelayMillis = ({ failures }: ReconnectState): number => {
  if (failures <= 0) return 0
  if (failures === 1) return firstDelayMillis
  return Math.min(secondDelayMillis * 2 ** Math.min(failures - 2, 10), longestDelayMillis)
}
