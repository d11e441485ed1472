import { abilities } from "../health/HealthState.ts"
import { countsOf } from "../telemetry/Distribution.ts"
import { counted, requestAttributes } from "../telemetry/Metrics.ts"
import { counter, gauge, kept, live, type MetricFamily } from "./MetricFamily.ts"

const kinds = ["initial", "existing"] as const

const total = (counts: ReadonlyArray<number>): number => counts.reduce((sum, count) => sum + count, 0)

/** As Electric calls them in OTLP and StatsD, where names may have dots. */
const dotted = [
  "electric.shapes.total_shapes.count",
  "electric.shapes.active_shapes.count",
  "electric.postgres.replication.slot_retained_wal_size",
  "electric.postgres.replication.slot_confirmed_flush_lsn_lag",
  "electric.postgres.replication.transaction_received.receive_lag",
  "electric.postgres.replication.transaction_received.operations",
  "electric.postgres.replication.transaction_received.count",
  "electric.plug.serve_shape.requests.count",
  "electric.shape_snapshot.create_snapshot_task.stop.duration",
  "electric.admission_control.acquire.current",
  "electric.admission_control.acquire.limit",
  "electric.admission_control.reject.count",
  "electric.storage.used.bytes"
]

const byPlainName = new Map(dotted.map((name) => [name.replaceAll(".", "_"), name]))

/** The name where names may have dots. */
export const dottedName = (name: string): string => byPlainName.get(name) ?? name

/** Under the names that Electric has for the same figures. */
export const electricFamilies: ReadonlyArray<MetricFamily> = [
  live(gauge("electric_shapes_total_shapes_count", "Shapes that there are.", ({ shapes }) => shapes)),
  live(
    gauge(
      "electric_shapes_active_shapes_count",
      "Shapes that changes are written to: all of them on the active instance, none on the others.",
      ({ shapes, state }) => (abilities[state].createsShapes ? shapes : 0)
    )
  ),
  gauge(
    "electric_postgres_replication_slot_retained_wal_size",
    "Bytes of WAL that Postgres keeps for the replication slot. Absent while the database cannot be asked.",
    ({ source }) => source?.retainedWalBytes
  ),
  gauge(
    "electric_postgres_replication_slot_confirmed_flush_lsn_lag",
    "Bytes of WAL that this service has not confirmed yet. Absent while the database cannot be asked.",
    ({ source }) => source?.unconfirmedWalBytes
  ),
  kept(counted.receiveLagMillis, "histogram", ({ metrics }) => [{ distribution: metrics.receiveLagMillis }]),
  kept(counted.operationsPerTransaction, "histogram", ({ metrics }) => [
    { distribution: metrics.operationsPerTransaction }
  ]),
  counter(
    "electric_postgres_replication_transaction_received_count",
    "Transactions received from Postgres.",
    ({ metrics }) => total(metrics.operationsPerTransaction.counts)
  ),
  kept(
    counted.requests({}),
    "counter",
    ({ requests }) =>
      requests.labelled().map(([labels, value]) => ({ labels: requestAttributes(labels), value })),
    ["status", "known_error", "live", "empty"]
  ),
  kept(counted.snapshotMillis, "histogram", ({ metrics }) => [
    { distribution: countsOf(metrics.snapshotMillis.value()) }
  ]),
  live({
    name: "electric_admission_control_acquire_current",
    type: "gauge",
    help: "Requests in progress, by whether their shape exists.",
    labels: ["kind"],
    samples: ({ processes }) =>
      kinds.map((kind) => ({
        labels: { kind },
        value: total(processes.map(({ admission }) => admission[kind].running))
      }))
  }),
  live({
    name: "electric_admission_control_acquire_limit",
    type: "gauge",
    help: "How many there may be, in each process.",
    labels: ["kind"],
    samples: ({ limits }) => kinds.map((kind) => ({ labels: { kind }, value: limits[kind] }))
  }),
  live({
    name: "electric_admission_control_reject_count",
    type: "counter",
    help: "Requests refused because there were too many others.",
    labels: ["kind"],
    samples: ({ rejected }) => kinds.map((kind) => ({ labels: { kind }, value: rejected[kind] }))
  }),
  gauge(
    "electric_storage_used_bytes",
    "Bytes in the storage directory: journal, checkpoint and files of shapes. Measured once a minute.",
    ({ journalBytes, stored }) =>
      journalBytes === undefined || stored === undefined
        ? undefined
        : journalBytes + stored.checkpoint + stored.firstRows + stored.logs
  )
]
