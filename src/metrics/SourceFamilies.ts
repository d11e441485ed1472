import { streamStates } from "../telemetry/stream/StreamStatus.ts"
import { gauge, live, type MetricFamily } from "./MetricFamily.ts"
import { slotStates } from "./MetricsSnapshot.ts"

/** Of the replication slot, and the clock of Postgres. All absent while the database cannot be asked. */
export const sourceFamilies: ReadonlyArray<MetricFamily> = [
  live({
    name: "baton_stream_state",
    type: "gauge",
    help: "1 for how it stands with the stream of changes, 0 for the others. `silent`: nothing has proved for 10 s that changes come. `behind`: they come late, and Postgres gets on. `unwatched`: no heartbeat is sent. `ended`: this instance has streamed, and does not at the moment. All 0 where it never has.",
    labels: ["state"],
    samples: ({ stream }) =>
      streamStates.map((state) => ({ labels: { state }, value: state === stream?.state ? 1 : 0 }))
  }),
  gauge(
    "baton_stream_unproven_seconds",
    "Since the last heartbeat was sent that has come round: everything that was written before it has come. Absent before the first, and while this instance does not stream.",
    ({ nowMillis, stream }) =>
      stream?.provenMillis === undefined || stream.state === "ended"
        ? undefined
        : Math.max(0, nowMillis - stream.provenMillis) / 1000
  ),
  gauge(
    "baton_heartbeat_round_trip_seconds",
    "From the moment at which the last heartbeat was sent until it had come round through the replication slot. Postgres writes it to its disk within `wal_writer_delay`.",
    ({ stream }) => (stream?.roundTripMillis === undefined ? undefined : stream.roundTripMillis / 1000)
  ),
  {
    name: "baton_slot_state",
    type: "gauge",
    help: "1 for the state of the replication slot, 0 for the others. `unreserved`: it is lost at the next checkpoint unless changes are read before. `lost`: a new slot is made, and all shapes are compared with the database. Absent, as all that is known of the slot, while the database cannot be asked.",
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
    "By how much the clock of Postgres is ahead of this machine's: lags that are measured from a commit are without it, as far as the heartbeat tells.",
    ({ source }) => source?.clockAheadSeconds
  )
]
