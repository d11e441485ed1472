import { Context } from "effect"
import { countBounds, Distribution, millisBounds } from "./Distribution.ts"
import { RequestCounts } from "./RequestCounts.ts"

/**
 * What the parts of one process count while they work: plain numbers, written where things happen and read when metrics
 * are asked for. Nothing is counted per row.
 */
export interface MetricsRecord {
  readonly requests: RequestCounts
  /** From the commit in Postgres, by its clock, to the arrival of the whole transaction here, by ours; 0 if that is behind. */
  readonly receiveLagMillis: Distribution
  readonly operationsPerTransaction: Distribution
  /** From the request to the last row. */
  readonly snapshotMillis: Distribution
  failedSnapshots: number
  /** Rows for which Postgres was asked to evaluate conditions. */
  rowsDecidedByPostgres: number
  takeovers: number
  /** From the lock to the stream, the last time; undefined when this instance never had the lock. */
  takeoverMillis: number | undefined
}

export const makeMetrics = (): MetricsRecord => ({
  requests: new RequestCounts(),
  receiveLagMillis: new Distribution(millisBounds),
  operationsPerTransaction: new Distribution(countBounds),
  snapshotMillis: new Distribution(millisBounds),
  failedSnapshots: 0,
  rowsDecidedByPostgres: 0,
  takeovers: 0,
  takeoverMillis: undefined
})

/** One record for the process, unless another one is provided. */
export const Metrics = Context.Reference<MetricsRecord>("baton/telemetry/Metrics", {
  defaultValue: makeMetrics
})
