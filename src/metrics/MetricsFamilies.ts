import { ownLevels } from "../storage/levels/Levels.ts"
import { abilities, healthStates } from "../health/HealthState.ts"
import type { MetricsSnapshot } from "./MetricsSnapshot.ts"
import type { MetricValues, Sample } from "./MetricsText.ts"

/** A metric: what it is called and means, and how it comes about. */
export interface MetricFamily extends Omit<MetricValues, "samples"> {
  /** Names of labels beside those of histograms. */
  readonly labels: ReadonlyArray<string>
  readonly samples: (snapshot: MetricsSnapshot) => ReadonlyArray<Sample>
}

const one = (value: number | undefined): ReadonlyArray<Sample> => (value === undefined ? [] : [{ value }])

const gauge = (
  name: string,
  help: string,
  value: (snapshot: MetricsSnapshot) => number | undefined
): MetricFamily => ({ name, type: "gauge", help, labels: [], samples: (s) => one(value(s)) })

const counter = (name: string, help: string, value: (snapshot: MetricsSnapshot) => number): MetricFamily => ({
  name,
  type: "counter",
  help,
  labels: [],
  samples: (s) => one(value(s))
})

type Process = MetricsSnapshot["processes"][number]

const perProcess = (
  name: string,
  type: "gauge" | "counter",
  help: string,
  value: (report: Process) => number | undefined
): MetricFamily => ({
  name,
  type,
  help,
  labels: ["process"],
  samples: ({ processes }) =>
    processes.flatMap((report) => {
      const found = value(report)
      return found === undefined ? [] : [{ labels: { process: report.process }, value: found }]
    })
})

const kinds = ["initial", "existing"] as const

const total = (counts: ReadonlyArray<number>): number => counts.reduce((sum, count) => sum + count, 0)

/** Under the names that Electric has for the same figures. */
const electricFamilies: ReadonlyArray<MetricFamily> = [
  gauge("electric_shapes_total_shapes_count", "Shapes that there are.", ({ shapes }) => shapes),
  gauge(
    "electric_shapes_active_shapes_count",
    "Shapes that changes are written to: all of them on the active instance, none on the others.",
    ({ shapes, state }) => (abilities[state].createsShapes ? shapes : 0)
  ),
  gauge(
    "electric_postgres_replication_slot_retained_wal_size",
    "Bytes of WAL that Postgres keeps for the replication slot. Absent while the database cannot be asked.",
    ({ slot }) => slot?.retainedWalBytes
  ),
  gauge(
    "electric_postgres_replication_slot_confirmed_flush_lsn_lag",
    "Bytes of WAL that this service has not confirmed yet. Absent while the database cannot be asked.",
    ({ slot }) => slot?.unconfirmedWalBytes
  ),
  {
    name: "electric_postgres_replication_transaction_received_receive_lag",
    type: "histogram",
    help: "Milliseconds from the commit of a transaction, by the clock of Postgres, until all of it was received.",
    labels: [],
    samples: ({ metrics }) => [{ distribution: metrics.receiveLagMillis }]
  },
  {
    name: "electric_postgres_replication_transaction_received_operations",
    type: "histogram",
    help: "Changes of rows per transaction, those that concern no shape included.",
    labels: [],
    samples: ({ metrics }) => [{ distribution: metrics.operationsPerTransaction }]
  },
  counter(
    "electric_postgres_replication_transaction_received_count",
    "Transactions received from Postgres.",
    ({ metrics }) => total(metrics.operationsPerTransaction.counts)
  ),
  {
    name: "electric_plug_serve_shape_requests_count",
    type: "counter",
    help: "Answers to requests for shapes. `known_error`: refused for a condition that passes. `empty`: nothing new.",
    labels: ["status", "known_error", "live", "empty"],
    samples: ({ requests }) =>
      requests.labelled().map(([{ status, knownError, live, empty }, value]) => ({
        labels: {
          status: String(status),
          known_error: String(knownError),
          live: String(live),
          empty: String(empty)
        },
        value
      }))
  },
  {
    name: "electric_shape_snapshot_create_snapshot_task_stop_duration",
    type: "histogram",
    help: "Milliseconds from the request for a new shape's rows until the last one was written.",
    labels: [],
    samples: ({ metrics }) => [{ distribution: metrics.snapshotMillis }]
  },
  {
    name: "electric_admission_control_acquire_current",
    type: "gauge",
    help: "Requests in progress, by whether their shape exists.",
    labels: ["kind"],
    samples: ({ processes }) =>
      kinds.map((kind) => ({
        labels: { kind },
        value: total(processes.map(({ admission }) => admission[kind].running))
      }))
  },
  {
    name: "electric_admission_control_acquire_limit",
    type: "gauge",
    help: "How many there may be, in each process.",
    labels: ["kind"],
    samples: ({ limits }) => kinds.map((kind) => ({ labels: { kind }, value: limits[kind] }))
  },
  {
    name: "electric_admission_control_reject_count",
    type: "counter",
    help: "Requests refused because there were too many others.",
    labels: ["kind"],
    samples: ({ rejected }) => kinds.map((kind) => ({ labels: { kind }, value: rejected[kind] }))
  },
  gauge(
    "electric_storage_used_bytes",
    "Bytes in the storage directory: journal, checkpoint and files of shapes. Measured once a minute.",
    ({ storedBytes }) => storedBytes
  )
]

const ownFamilies: ReadonlyArray<MetricFamily> = [
  {
    name: "baton_info",
    type: "gauge",
    help: "Always 1.",
    labels: ["version", "instance_id"],
    samples: ({ version, instanceId }) => [{ labels: { version, instance_id: instanceId }, value: 1 }]
  },
  {
    name: "baton_state",
    type: "gauge",
    help: "1 for the state of this instance, 0 for the others.",
    labels: ["state"],
    samples: ({ state: current }) =>
      healthStates.map((state) => ({ labels: { state }, value: state === current ? 1 : 0 }))
  },
  gauge(
    "baton_epoch",
    "The epoch of storage that is written or followed: one more at each takeover.",
    ({ epoch }) => epoch
  ),
  counter(
    "baton_takeovers_total",
    "How often this instance has become active.",
    ({ metrics }) => metrics.takeovers
  ),
  gauge(
    "baton_takeover_milliseconds",
    "From the lock to the replication stream, the last time that this instance became active.",
    ({ metrics }) => metrics.takeoverMillis
  ),
  gauge(
    "baton_storage_level",
    "Level of what is stored: releases that do not know it cannot take over any more.",
    ({ storageLevel }) => storageLevel
  ),
  gauge(
    "baton_storage_newest_level",
    "Level that storage gets when it is finalised for this release.",
    () => ownLevels.newest
  ),
  gauge("baton_journal_bytes", "Bytes of the journal's files.", ({ journalBytes }) => journalBytes),
  perProcess(
    "baton_follower_lag_bytes",
    "gauge",
    "Bytes of the journal that a process has not read yet. Absent where it is written.",
    ({ followerLagBytes }) => followerLagBytes
  ),
  counter(
    "baton_failed_snapshots_total",
    "Shapes that could not be made because their rows could not be read to the end.",
    ({ metrics }) => metrics.failedSnapshots
  ),
  counter(
    "baton_rows_decided_by_postgres_total",
    "Changed rows for which Postgres was asked whether they belong to a shape: their conditions cannot be evaluated here.",
    ({ metrics }) => metrics.rowsDecidedByPostgres
  ),
  perProcess(
    "baton_open_requests",
    "gauge",
    "Requests whose response is not finished.",
    ({ openRequests }) => openRequests
  ),
  perProcess(
    "baton_held_requests",
    "gauge",
    "Requests that wait for a change, event streams included.",
    ({ heldRequests }) => heldRequests
  ),
  gauge(
    "baton_http_workers_configured",
    "Processes beside the main one that should answer requests.",
    ({ workers }) => workers.configured
  ),
  gauge(
    "baton_http_workers_ready",
    "Processes beside the main one that do answer requests.",
    ({ workers }) => workers.ready
  ),
  counter(
    "baton_http_worker_restarts_total",
    "How often such a process has ended by itself.",
    ({ workers }) => workers.restarts
  ),
  {
    name: "baton_event_loop_delay_milliseconds",
    type: "histogram",
    help: "How much later than asked for a timer fired, ten times a second: what a request may have to wait at least.",
    labels: ["process"],
    samples: ({ processes }) =>
      processes.flatMap(({ process, eventLoop }) =>
        eventLoop === undefined ? [] : [{ labels: { process }, distribution: eventLoop.delayMillis }]
      )
  },
  perProcess(
    "baton_event_loop_active_seconds_total",
    "counter",
    "Time in which the event loop was not waiting. A rate close to 1 is a process that can do no more.",
    ({ eventLoop }) => eventLoop?.activeSeconds
  ),
  perProcess(
    "baton_process_resident_memory_bytes",
    "gauge",
    "Memory of the process (RSS).",
    ({ residentBytes }) => residentBytes
  ),
  perProcess(
    "baton_process_heap_used_bytes",
    "gauge",
    "JavaScript objects in it.",
    ({ heapUsedBytes }) => heapUsedBytes
  ),
  perProcess(
    "baton_process_cpu_seconds_total",
    "counter",
    "User and system time, all threads.",
    ({ cpuSeconds }) => cpuSeconds
  )
]

export const metricFamilies: ReadonlyArray<MetricFamily> = [...electricFamilies, ...ownFamilies]

export const metricValues = (snapshot: MetricsSnapshot): ReadonlyArray<MetricValues> =>
  metricFamilies.map((family) => ({ ...family, samples: family.samples(snapshot) }))
