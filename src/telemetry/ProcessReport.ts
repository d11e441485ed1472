import type { DistributionCounts } from "./Distribution.ts"
import type { SlowReaderReport } from "./SlowReaders.ts"

/** What one process of an instance can say of itself at any moment. */
export interface LiveReport {
  /** `main`, or `worker-1` and so on. */
  readonly process: string
  readonly admission: Readonly<
    Record<"initial" | "existing", { readonly running: number; readonly rejected: number }>
  >
  /** Requests that wait for a change, and what else waits for one. */
  readonly heldRequests: number
  /** Responses of which a piece waits for a client that has not taken the one before. */
  readonly slowReaders: { readonly waiting: number; readonly cut: number }
  /** Requests whose offset was too old for the log of a shape that lives on. */
  readonly expiredReads: number
  readonly residentBytes: number
  readonly heapUsedBytes: number
  /** User and system time. */
  readonly cpuSeconds: number
}

/** What one process of an instance says of itself, as plain data that travels between processes. */
export interface ProcessReport extends LiveReport {
  /** Pairs of `RequestCounts`. */
  readonly requests: ReadonlyArray<readonly [number, number]>
  /** Requests whose response is not finished. */
  readonly openRequests: number
  /** Bytes of the journal that it has not read yet; undefined where it writes the journal. */
  readonly followerLagBytes: number | undefined
  readonly eventLoop: EventLoopReport | undefined
  readonly slowest: ReadonlyArray<SlowReaderReport>
}

export interface EventLoopReport {
  /** How much later than asked for timers fire. */
  readonly delaySeconds: DistributionCounts
  /** Time that the loop was not waiting. */
  readonly activeSeconds: number
}
