import { Context, Effect, Metric } from "effect"
import { ComparisonCounts, countedComparisons, labelledComparisons } from "./ComparisonCounts.ts"
import { countBounds, Distribution, millisBounds, secondsBounds } from "./Distribution.ts"
import { type DropReason, dropReasons } from "./DropReason.ts"
import type { MetricEvents } from "./MetricEvents.ts"
import { RequestCounts, type RequestLabels } from "./RequestCounts.ts"
import { RunningSnapshots } from "./RunningSnapshots.ts"
import { ServingLag } from "./ServingLag.ts"
import { SlowReaders } from "./SlowReaders.ts"
import { StreamStatus } from "./stream/StreamStatus.ts"
import { TakeoverHistory } from "./TakeoverHistory.ts"

/** What is counted, under the names that it has for everybody; milliseconds have the same bounds everywhere. */
export const counted = {
  receiveLagMillis: Metric.histogram("electric_postgres_replication_transaction_received_receive_lag", {
    description:
      "Milliseconds from the commit of a transaction until all of it was received. The difference of the clocks is estimated and taken out.",
    boundaries: millisBounds
  }),
  operationsPerTransaction: Metric.histogram(
    "electric_postgres_replication_transaction_received_operations",
    {
      description: "Changes of rows per transaction, those that concern no shape included.",
      boundaries: countBounds
    }
  ),
  requests: (attributes: Readonly<Record<string, string>>) =>
    Metric.counter("electric_plug_serve_shape_requests_count", {
      description:
        "Answers to requests for shapes. `known_error`: refused for a condition that passes. `empty`: nothing new.",
      attributes,
      incremental: true
    }),
  snapshotMillis: Metric.histogram("electric_shape_snapshot_create_snapshot_task_stop_duration", {
    description: "Milliseconds from the request for a new shape's rows until the last one was written.",
    boundaries: millisBounds
  }),
  failedSnapshots: Metric.counter("baton_failed_snapshots_total", {
    description: "Shapes that could not be made because their rows could not be read to the end.",
    incremental: true
  }),
  rowsDecidedByPostgres: Metric.counter("baton_rows_decided_by_postgres_total", {
    description:
      "Changed rows for which Postgres was asked whether they belong to a shape: their conditions cannot be evaluated here.",
    incremental: true
  }),
  takeovers: Metric.counter("baton_takeovers_total", {
    description: "How often this instance has become active.",
    incremental: true
  }),
  takeoverSeconds: Metric.histogram("baton_takeover_seconds", {
    description: "From the lock to the replication stream, each time that this instance became active.",
    boundaries: secondsBounds
  }),
  servingLag: Metric.histogram("baton_serving_lag_seconds", {
    description:
      "From the commit of a transaction until a live answer with it was handed to its connection: for each that was waited for at the active instance, in all of its processes. The difference of the clocks is estimated and taken out.",
    boundaries: secondsBounds
  }),
  servingLagClamped: Metric.counter("baton_serving_lag_clamped_total", {
    description:
      "Those that count as 0 there, because the clock of Postgres was further ahead of this machine's than was estimated.",
    incremental: true
  }),
  snapshotBytes: Metric.counter("baton_snapshot_bytes_total", {
    description: "Bytes of first rows that were read, in wire form: it grows while a large table is.",
    incremental: true
  }),
  dropped: (attributes: Readonly<Record<string, string>>) =>
    Metric.counter("baton_shapes_dropped_total", {
      description:
        "Shapes that this instance has dropped as the active one. Their clients get a 409 and fetch them again.",
      attributes,
      incremental: true
    }),
  resets: (attributes: Readonly<Record<string, string>>) =>
    Metric.counter("baton_resets_total", {
      description: "How often this instance has dropped all shapes at once.",
      attributes,
      incremental: true
    }),
  ...countedComparisons
}

/** A metric in the registry of one program. */
interface Kept<Input, State> {
  readonly update: (input: Input) => void
  readonly value: () => State
}

/**
 * What the parts of one program count while they work; nothing is counted per row. The metrics of Effect hold it, so
 * whatever exports those exports this, and what the service itself serves is read from them. What is counted for each
 * request and each transaction stands in plain numbers, which the registry reads when it is asked: an update of a metric of
 * Effect takes 0.1 us, a hundred times as long.
 */
export interface MetricsRecord {
  readonly requests: RequestCounts
  readonly receiveLagMillis: Distribution
  readonly operationsPerTransaction: Distribution
  readonly snapshotMillis: Kept<number, Metric.HistogramState>
  readonly failedSnapshots: Kept<number, Metric.CounterState<number>>
  readonly rowsDecidedByPostgres: Kept<number, Metric.CounterState<number>>
  readonly takeovers: Kept<number, Metric.CounterState<number>>
  readonly takeoverSeconds: Kept<number, Metric.HistogramState>
  readonly servingLag: ServingLag
  readonly stream: StreamStatus
  readonly snapshots: RunningSnapshots
  readonly slowReaders: SlowReaders
  /** See `setEvents`. */
  events: MetricEvents | undefined
  readonly takeoverHistory: TakeoverHistory
  /** Shapes that were dropped by the writer. */
  readonly dropped: Record<DropReason, number>
  /** How often all were dropped at once. */
  readonly resets: Record<DropReason, number>
  readonly comparisons: ComparisonCounts
}

const noDrops = (): Record<DropReason, number> =>
  Object.fromEntries(dropReasons.map((reason) => [reason, 0])) as Record<DropReason, number>

/** `context`: of the layer that asks for metrics, in which they are registered. */
const makeRecord = (context: Context.Context<never>): MetricsRecord => {
  const kept = <Input, State>(metric: Metric.Metric<Input, State>): Kept<Input, State> => ({
    update: (input) => metric.updateUnsafe(input, context),
    value: () => metric.valueUnsafe(context)
  })
  const read = <State>(metric: Metric.Metric<number, State>, get: () => State) =>
    void Metric.registerUnsafe(metric, context, { get, update: nothing, modify: nothing })
  const counting = (metric: Metric.Counter<number>, count: () => number) =>
    read(metric, () => ({ count: count(), incremental: true }))
  const receiveLagMillis = new Distribution(millisBounds)
  const operationsPerTransaction = new Distribution(countBounds)
  read(counted.receiveLagMillis, () => receiveLagMillis.histogram())
  read(counted.operationsPerTransaction, () => operationsPerTransaction.histogram())
  const requests = new RequestCounts([], (labels, count) =>
    counting(counted.requests(requestAttributes(labels)), count)
  )
  const servingLag = new ServingLag()
  read(counted.servingLag, () => servingLag.seconds.histogram())
  counting(counted.servingLagClamped, () => servingLag.clamped)
  const snapshots = new RunningSnapshots()
  counting(counted.snapshotBytes, () => snapshots.bytes)
  const comparisons = new ComparisonCounts()
  for (const [metric, label, numbers] of labelledComparisons(comparisons)) {
    for (const key of Object.keys(numbers))
      counting(metric({ [label]: key }), () => (numbers as Readonly<Record<string, number>>)[key] ?? 0)
  }
  counting(counted.repairRows, () => comparisons.repairRows)
  counting(counted.verifiedRows, () => comparisons.verifiedRows)
  read(counted.repairSeconds, () => comparisons.repairSeconds.histogram())
  read(counted.verifySeconds, () => comparisons.verifySeconds.histogram())
  const dropped = noDrops()
  const resets = noDrops()
  for (const reason of dropReasons) {
    counting(counted.dropped({ reason }), () => dropped[reason])
    counting(counted.resets({ reason }), () => resets[reason])
  }
  return {
    requests,
    receiveLagMillis,
    operationsPerTransaction,
    snapshotMillis: kept(counted.snapshotMillis),
    failedSnapshots: kept(counted.failedSnapshots),
    rowsDecidedByPostgres: kept(counted.rowsDecidedByPostgres),
    takeovers: kept(counted.takeovers),
    takeoverSeconds: kept(counted.takeoverSeconds),
    servingLag,
    stream: new StreamStatus(),
    snapshots,
    slowReaders: new SlowReaders(),
    events: undefined,
    takeoverHistory: new TakeoverHistory(),
    dropped,
    resets,
    comparisons
  }
}

const nothing = () => {}

export const requestAttributes = ({
  empty,
  knownError,
  live,
  status
}: RequestLabels): Readonly<Record<string, string>> => ({
  status: String(status),
  known_error: String(knownError),
  live: String(live),
  empty: String(empty)
})

/** From now on these are told of what is counted. */
export const setEvents = (record: MetricsRecord, events: MetricEvents | undefined): void => {
  record.events = events
  record.requests.onAnswer = events?.answered
}

const records = new WeakMap<Metric.MetricRegistry, MetricsRecord>()

/** The record of the registry of metrics that the Effect has which asks. */
export const Metrics: Effect.Effect<MetricsRecord> = Effect.map(Metric.MetricRegistry, (registry) => {
  const known = records.get(registry)
  if (known !== undefined) return known
  const made = makeRecord(Context.make(Metric.MetricRegistry, registry))
  records.set(registry, made)
  return made
})
