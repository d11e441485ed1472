import { gauge, type MetricFamily } from "./MetricFamily.ts"
import { slotStates } from "./MetricsSnapshot.ts"

/** Of the replication slot, and the clock of Postgres. All absent while the database cannot be asked. */
export const sourceFamilies: ReadonlyArray<MetricFamily> = [
  {
    name: "baton_slot_state",
    type: "gauge",
    help: "1 for the state of the replication slot, 0 for the others. `unreserved`: it is lost at the next checkpoint unless changes are read before. `lost`: all shapes start over. Absent, as all that is known of the slot, while the database cannot be asked.",
    labels: ["state"],
    samples: ({ source }) =>
      source === undefined
        ? []
        : slotStates.map((state) => ({ labels: { state }, value: state === source.state ? 1 : 0 }))
  },
  gauge("baton_slot_active", "1 while somebody streams from the replication slot.", ({ source }) =>
    source === undefined || source.state === "missing" ? undefined : Number(source.isActive)
  ),
  gauge(
    "baton_slot_safe_wal_bytes",
    "Bytes of WAL that can still be written before Postgres may give the slot up. Absent where `max_slot_wal_keep_size` is unlimited.",
    ({ source }) => source?.safeWalBytes
  ),
  gauge(
    "baton_max_slot_wal_keep_bytes",
    "`max_slot_wal_keep_size` of the database. Absent where it is unlimited.",
    ({ source }) => source?.maxKeepBytes
  ),
  gauge(
    "baton_database_clock_ahead_seconds",
    "By how much the clock of Postgres is ahead of this machine's: it is in every lag that is measured from a commit.",
    ({ source }) => source?.clockAheadSeconds
  )
]
