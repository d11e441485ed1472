import { ownLevels } from "../storage/levels/Levels.ts"
import { abilities, healthStates } from "../health/HealthState.ts"
import { countsOf } from "../telemetry/Distribution.ts"
import { counted, requestAttributes } from "../telemetry/Metrics.ts"
import { bucketFamilies } from "./BucketFamilies.ts"
import { counter, gauge, kept, live, type MetricFamily, one, perProcess } from "./MetricFamily.ts"
import type { MetricsSnapshot } from "./MetricsSnapshot.ts"
import type { MetricValues } from "./MetricsText.ts"

const kinds = ["initial", "existing"] as const

const total = (counts: ReadonlyArray<number>): number => counts.reduce((sum, count) => sum + count, 0)

/** Under the names that Electric has for the same figures. */
const electricFamilies: ReadonlyArray<MetricFamily> = [
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
    ({ slot }) => slot?.retainedWalBytes
  ),
  gauge(
    "electric_postgres_replication_slot_confirmed_flush_lsn_lag",
    "Bytes of WAL that this service has not confirmed yet. Absent while the database cannot be asked.",
    ({ slot }) => slot?.unconfirmedWalBytes
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
    ({ storedBytes }) => storedBytes
  )
]

const ownFamilies: ReadonlyArray<MetricFamily> = [
  live({
    name: "baton_info",
    type: "gauge",
    help: "Always 1.",
    labels: ["version", "instance_id"],
    samples: ({ version, instanceId }) => [{ labels: { version, instance_id: instanceId }, value: 1 }]
  }),
  live({
    name: "baton_state",
    type: "gauge",
    help: "1 for the state of this instance, 0 for the others.",
    labels: ["state"],
    samples: ({ state: current }) =>
      healthStates.map((state) => ({ labels: { state }, value: state === current ? 1 : 0 }))
  }),
  live(
    gauge(
      "baton_epoch",
      "The epoch of storage that is written or followed: one more at each takeover.",
      ({ epoch }) => epoch
    )
  ),
  kept(counted.takeovers, "counter", ({ metrics }) => one(metrics.takeovers.value().count)),
  kept(counted.takeoverMillis, "gauge", ({ metrics }) =>
    metrics.takeovers.value().count === 0 ? [] : one(metrics.takeoverMillis.value().value)
  ),
  live(
    gauge(
      "baton_storage_level",
      "Level of what is stored: releases that do not know it cannot take over any more.",
      ({ storageLevel }) => storageLevel
    )
  ),
  live(
    gauge(
      "baton_storage_newest_level",
      "Level that storage gets when it is finalised for this release.",
      () => ownLevels.newest
    )
  ),
  gauge("baton_journal_bytes", "Bytes of the journal's files.", ({ journalBytes }) => journalBytes),
  perProcess(
    "baton_follower_lag_bytes",
    "gauge",
    "Bytes of the journal that a process has not read yet. Absent where it is written.",
    ({ followerLagBytes }) => followerLagBytes
  ),
  kept(counted.failedSnapshots, "counter", ({ metrics }) => one(metrics.failedSnapshots.value().count)),
  kept(counted.rowsDecidedByPostgres, "counter", ({ metrics }) =>
    one(metrics.rowsDecidedByPostgres.value().count)
  ),
  live(
    gauge(
      "baton_subselect_shapes",
      "Shapes whose conditions have sub-selects.",
      ({ subselects }) => subselects.shapes
    )
  ),
  live(
    gauge(
      "baton_subselect_behind_bytes",
      "Bytes of WAL that other shapes are ahead of them, while rows are read that enter or leave. 0 as a rule.",
      ({ subselects }) => subselects.behindBytes
    )
  ),
  perProcess(
    "baton_open_requests",
    "gauge",
    "Requests whose response is not finished.",
    ({ openRequests }) => openRequests
  ),
  live(
    perProcess(
      "baton_held_requests",
      "gauge",
      "Requests that wait for a change, event streams included.",
      ({ heldRequests }) => heldRequests
    )
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
  live(
    perProcess(
      "baton_process_resident_memory_bytes",
      "gauge",
      "Memory of the process (RSS).",
      ({ residentBytes }) => residentBytes
    )
  ),
  live(
    perProcess(
      "baton_process_heap_used_bytes",
      "gauge",
      "JavaScript objects in it.",
      ({ heapUsedBytes }) => heapUsedBytes
    )
  ),
  live(
    perProcess(
      "baton_process_cpu_seconds_total",
      "counter",
      "User and system time, all threads.",
      ({ cpuSeconds }) => cpuSeconds
    )
  )
]

export const metricFamilies: ReadonlyArray<MetricFamily> = [
  ...electricFamilies,
  ...ownFamilies,
  ...bucketFamilies
]

export const metricValues = (snapshot: MetricsSnapshot): ReadonlyArray<MetricValues> =>
  metricFamilies.map((family) => ({ ...family, samples: family.samples(snapshot) }))
