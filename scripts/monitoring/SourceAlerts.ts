import type { Alert } from "./Alert.ts"

const active = { 'baton_state{job="baton",instance="a",state="active"}': "1x60" }

/** About who is active, the replication slot and the stream. */
export const sourceAlerts: ReadonlyArray<Alert> = [
  {
    name: "BatonDown",
    severity: "critical",
    for: "2m",
    expression: "absent(baton_info)",
    summary: "No instance of Baton answers Prometheus",
    means: "No instance runs, or Prometheus reaches none of them on the port of `ELECTRIC_PROMETHEUS_PORT`.",
    heals: "When the service manager starts one.",
    whatToDo:
      "Look whether the process runs, and at the last line of its log, which says why it ended. If it runs, look at the targets of Prometheus.",
    firesWith: { 'up{job="baton",instance="a"}': "0x60" }
  },
  {
    name: "BatonNoActiveInstance",
    severity: "critical",
    for: "1m",
    expression: 'sum by (job) (baton_state{state=~"active|asleep"}) == 0',
    summary: "No instance of Baton is active: shapes get no changes, and none can be made",
    means:
      "Each instance waits for the lock, cannot reach the database, or cannot use its storage. Existing shapes are still served, as of the last change.",
    heals:
      "When the database can be reached again, or the holder of the lock ends. A holder that is frozen loses the lock after `BATON_WAL_SENDER_TIMEOUT`.",
    whatToDo:
      "See `baton_state`: with `disconnected` look at the database, with `unwritable` at the storage directory, with `waiting` at who holds the lock ([lock.md](lock.md)). `/v1/health` and the log say the same.",
    firesWith: { 'baton_state{job="baton",instance="a",state="active"}': "0x60" }
  },
  {
    name: "BatonTwoActiveInstances",
    severity: "warning",
    for: "2m",
    expression: 'sum by (job) (baton_state{state="active"}) > 1',
    summary: "More than one instance says that it is active",
    means:
      "Either two streams (`ELECTRIC_REPLICATION_STREAM_ID`) are scraped as one job, or an instance was overtaken and has not noticed. That one acknowledges nothing and its writes count for nothing.",
    heals: "An instance that was overtaken finds out within seconds, unless it is frozen.",
    whatToDo:
      "Give each stream a job of its own. Otherwise restart the instance with the lower `baton_epoch`.",
    firesWith: { ...active, 'baton_state{job="baton",instance="b",state="active"}': "1x60" }
  },
  {
    name: "BatonDatabaseUnreachable",
    severity: "critical",
    for: "2m",
    expression: 'max by (job, instance) (baton_state{state="disconnected"}) == 1',
    summary: "An instance of Baton cannot reach its database",
    means:
      "Connections fail or are refused. Shapes that exist are served as they are; nothing new arrives. WAL piles up in the database meanwhile.",
    heals: "It connects again by itself, every 10 s at the latest.",
    whatToDo:
      "The log has the error of Postgres. Look at the database, at its address, password and connection limit.",
    firesWith: { 'baton_state{job="baton",instance="a",state="disconnected"}': "1x60" }
  },
  {
    name: "BatonSlotLost",
    severity: "critical",
    for: "0m",
    expression: 'max by (job) (baton_slot_state{state="lost"}) == 1',
    summary: "Postgres has given up the replication slot of Baton",
    means:
      "The slot needed more WAL than `max_slot_wal_keep_size` allows, or was invalidated for another reason. Changes are lost between it and a new slot, so all shapes are compared with the database.",
    heals:
      "The active instance makes a new slot, reads the tables, and gives each shape what it lacks; nobody fetches anything again.",
    whatToDo:
      "Find out why nothing was read: no active instance for long, or a transaction that held everything up. Raise `max_slot_wal_keep_size`. If this stays for minutes, no instance is active.",
    firesWith: { 'baton_slot_state{job="baton",instance="a",state="lost"}': "1x60" }
  },
  {
    name: "BatonSlotUnreserved",
    severity: "critical",
    for: "0m",
    expression: 'max by (job) (baton_slot_state{state="unreserved"}) == 1',
    summary: "Postgres gives up the replication slot at its next checkpoint",
    means:
      "The slot retains more than `max_slot_wal_keep_size`. Until the next checkpoint it can still be saved.",
    heals: "If changes are read before that.",
    whatToDo:
      "Raise `max_slot_wal_keep_size` now, and reload Postgres. Then see why changes are not read: is an instance active, and what does its log say?",
    firesWith: { 'baton_slot_state{job="baton",instance="a",state="unreserved"}': "1x60" }
  },
  {
    name: "BatonSlotMissing",
    severity: "critical",
    for: "2m",
    expression:
      'max by (job) (baton_slot_state{state="missing"}) == 1 and on (job) sum by (job) (baton_state{state="active"}) > 0',
    summary: "The replication slot of Baton is gone although an instance is active",
    means: "Somebody has dropped the slot, or the database failed over to a server that does not have it.",
    heals:
      "With the end of the connection: the instance then makes a new slot and compares all shapes with the database, because nobody knows what was missed.",
    whatToDo:
      "If it stays, restart the active instance. Find out who drops slots: an upgrade of the cluster, a clean-up job.",
    firesWith: { ...active, 'baton_slot_state{job="baton",instance="a",state="missing"}': "1x60" }
  },
  {
    name: "BatonNotStreaming",
    severity: "critical",
    for: "2m",
    expression:
      'max by (job) (baton_slot_active) == 0 and on (job) sum by (job) (baton_state{state="active"}) > 0',
    summary: "An instance says that it is active, and nobody reads from its replication slot",
    means: "The connection is dead and the instance has not noticed, or it streams from another slot.",
    heals: "A dead connection is found within `wal_sender_timeout`, 60 s unless set.",
    whatToDo: "Restart the active instance; another one that waits takes over without loss.",
    firesWith: { ...active, 'baton_slot_active{job="baton",instance="a"}': "0x60" }
  },
  {
    name: "BatonStreamSilent",
    severity: "critical",
    for: "0m",
    expression: 'max by (job, instance) (baton_stream_state{state="silent"}) == 1',
    summary: "Nothing has come from the database to Baton for 10 s",
    means:
      "What is written to the database does not come through the replication slot: a heartbeat, written every few seconds, has not come round. Clients are served what was known before, and do not notice.",
    heals: "As the line of the log says that has `BATON-STREAM-SILENT`: it names the cause.",
    whatToDo:
      'Read that line, or `stream` in `/v1/health?verbose`, and do what it says. A walsender that decodes a large transaction is no alarm (`state="behind"`).',
    firesWith: { ...active, 'baton_stream_state{job="baton",instance="a",state="silent"}': "1x60" }
  },
  {
    name: "BatonStreamUnwatched",
    severity: "warning",
    for: "15m",
    expression: 'max by (job, instance) (baton_stream_state{state="unwatched"}) == 1',
    summary: "Nobody would notice if changes stopped coming to Baton",
    means: "The role may not write a heartbeat to the database, or `BATON_HEARTBEAT_INTERVAL` is 0.",
    heals: "When the role may; it is tried again every few seconds.",
    whatToDo:
      "Run the GRANT of the line that has `BATON-STREAM-UNWATCHED`. If it was turned off on purpose, silence this alert.",
    firesWith: { ...active, 'baton_stream_state{job="baton",instance="a",state="unwatched"}': "1x60" }
  },
  {
    name: "BatonSlotNearLimit",
    severity: "warning",
    for: "5m",
    expression: "min by (job) (baton_slot_safe_wal_bytes / baton_max_slot_wal_keep_bytes) < 0.25",
    summary: "Three quarters of the WAL that Postgres keeps for Baton are used up",
    means:
      "Not enough is acknowledged: changes are not read, or not made durable, or a long transaction keeps Postgres from moving the slot on.",
    heals: "When what holds it up ends.",
    whatToDo:
      "Compare `electric_postgres_replication_slot_confirmed_flush_lsn_lag` (what Baton has not confirmed) with `..._retained_wal_size` (what Postgres keeps). If only the second is large, look for old transactions: `SELECT * FROM pg_stat_activity ORDER BY xact_start`. Otherwise see BatonNotConfirming.",
    firesWith: {
      'baton_slot_safe_wal_bytes{job="baton",instance="a"}': "1e6x60",
      'baton_max_slot_wal_keep_bytes{job="baton",instance="a"}': "1e9x60"
    }
  },
  {
    name: "BatonWalRetained",
    severity: "warning",
    for: "15m",
    expression: "max by (job) (electric_postgres_replication_slot_retained_wal_size) > 1e10",
    summary: "Postgres keeps more than 10 GB of WAL for Baton",
    means: "The disk of the database fills. Without `max_slot_wal_keep_size` it does so without a limit.",
    heals: "When changes are read and acknowledged again.",
    whatToDo:
      "As for BatonSlotNearLimit. If the disk of the database is in danger, the slot can be dropped: all shapes are compared with the database then.",
    firesWith: { 'electric_postgres_replication_slot_retained_wal_size{job="baton",instance="a"}': "2e10x60" }
  },
  {
    name: "BatonNotConfirming",
    severity: "warning",
    for: "5m",
    expression: "max by (job) (electric_postgres_replication_slot_confirmed_flush_lsn_lag) > 1e9",
    summary: "More than 1 GB of WAL has not been confirmed by Baton for five minutes",
    means: "Baton does not keep up with the database, or cannot make durable what it reads.",
    heals: "When the load falls, or the disk or bucket takes what is written.",
    whatToDo:
      "See whether `baton_journal_write_failing` or `baton_bucket_failing_seconds` is above 0, and whether the main process is at its limit (BatonEventLoopBusy). Move requests away from it with `BATON_HTTP_WORKERS`. A transaction that is still running is read when it commits.",
    firesWith: {
      'electric_postgres_replication_slot_confirmed_flush_lsn_lag{job="baton",instance="a"}': "2e9x60"
    }
  },
  {
    name: "BatonChangesArriveLate",
    severity: "warning",
    for: "5m",
    expression:
      "histogram_quantile(0.9, sum by (job, le) (rate(electric_postgres_replication_transaction_received_receive_lag_bucket[5m]))) > 10000",
    summary: "Transactions arrive at Baton more than 10 s after their commit",
    means: "Postgres sends late (decoding a huge transaction, a slow network), or Baton reads late.",
    heals: "When the backlog is read.",
    whatToDo:
      "See `baton_stream_state` first, and the log where it is not `flowing`. Then the load of the database's walsender, and BatonEventLoopBusy.",
    firesWith: {
      'electric_postgres_replication_transaction_received_receive_lag_bucket{job="baton",le="10000"}': "0x60",
      'electric_postgres_replication_transaction_received_receive_lag_bucket{job="baton",le="30000"}':
        "0+60x60",
      'electric_postgres_replication_transaction_received_receive_lag_bucket{job="baton",le="+Inf"}':
        "0+60x60"
    }
  },
  {
    name: "BatonServedLate",
    severity: "warning",
    for: "5m",
    expression: "histogram_quantile(0.9, sum by (job, le) (rate(baton_serving_lag_seconds_bucket[5m]))) > 10",
    summary: "Clients get changes more than 10 s after their commit",
    means: "From the commit in Postgres to the answer of those who waited for it.",
    heals: "When the backlog is gone.",
    whatToDo:
      "If BatonChangesArriveLate fires too, begin there. Otherwise the main process is too busy: see BatonEventLoopBusy.",
    firesWith: {
      'baton_serving_lag_seconds_bucket{job="baton",le="10"}': "0x60",
      'baton_serving_lag_seconds_bucket{job="baton",le="30"}': "0+60x60",
      'baton_serving_lag_seconds_bucket{job="baton",le="+Inf"}': "0+60x60"
    }
  },
  {
    name: "BatonClocksApart",
    severity: "info",
    for: "10m",
    expression: "max by (job, instance) (abs(baton_database_clock_ahead_seconds)) > 5",
    summary: "The clocks of Baton and of its database differ by more than 5 s",
    means:
      "Lags that are measured from a commit are without the difference, as far as heartbeats are sent; times in logs are not. Nothing else depends on it.",
    heals: "When a time server sets one of them right.",
    whatToDo: "Look whether both machines follow a time server.",
    firesWith: { 'baton_database_clock_ahead_seconds{job="baton",instance="a"}': "-30x60" }
  },
  {
    name: "BatonTakeoverSlow",
    severity: "warning",
    for: "0m",
    expression:
      "sum by (job, instance) (increase(baton_takeover_seconds_sum[15m])) / sum by (job, instance) (increase(baton_takeover_seconds_count[15m])) > 10",
    summary: "An instance took more than 10 s from the lock to the stream",
    means: "For that long no changes arrived and no shapes could be made. Usually it takes milliseconds.",
    heals: "It is over.",
    whatToDo:
      "`ELECTRIC_LOG_LEVEL=debug` shows the steps of each takeover. A large journal that was not read before the lock came, and a slot that waits for open transactions, take longest.",
    firesWith: {
      'baton_takeover_seconds_sum{job="baton",instance="a"}': "0x25 30x35",
      'baton_takeover_seconds_count{job="baton",instance="a"}': "0x25 1x35"
    }
  }
]
