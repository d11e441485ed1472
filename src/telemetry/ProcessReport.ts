import type { DistributionCounts } from "./Distribution.ts"

/** What one process of an instance says of itself, as plain data that travels between processes. */
export interface ProcessReport {
  /** `main`, or `worker-1` and so on. */
  readonly process: string
  /** Pairs of `RequestCounts`. */
  readonly requests: ReadonlyArray<readonly [number, number]>
  readonly admission: Readonly<
    Record<"initial" | "existing", { readonly running: number; readonly rejected: number }>
  >
  /** Requests whose response is not finished. */
  readonly openRequests: number
  /** Those of them that wait for a change, and what else waits for one. */
  readonly heldRequests: number
  /** Bytes of the journal that it has not read yet; undefined where it writes the journal. */
  readonly followerLagBytes: number | undefined
  readonly residentBytes: number
  readonly heapUsedBytes: number
  /** User and system time. */
  readonly cpuSeconds: number
  readonly eventLoop: EventLoopReport | undefined
}

export interface EventLoopReport {
  /** How much later than asked for timers fire. */
  readonly delayMillis: DistributionCounts
  /** Time that the loop was not waiting. */
  readonly activeSeconds: number
}
