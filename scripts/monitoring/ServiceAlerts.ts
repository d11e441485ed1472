import type { Alert } from "./Alert.ts"

/** About shapes, requests and processes. */
export const serviceAlerts: ReadonlyArray<Alert> = [
  {
    name: "BatonFaultLasts",
    severity: "warning",
    for: "5m",
    expression: "max by (job, code) (baton_fault_active) == 1",
    summary: "A fault of Baton has lasted for five minutes ({{ $labels.code }})",
    means:
      "What the code stands for in [errors.md](errors.md). Those that need somebody at once have an alert of their own, too.",
    heals: "[errors.md](errors.md) says it of each code.",
    whatToDo:
      "Look the code up in [errors.md](errors.md), and for it in the log: the line says what it is about and what to do.",
    firesWith: { 'baton_fault_active{job="baton",instance="a",code="BATON-DB-REFUSED"}': "1x60" }
  },
  {
    name: "BatonFaultsAgainAndAgain",
    severity: "warning",
    for: "0m",
    expression:
      'sum by (job, code) (increase(baton_faults_total{code!~"BATON-(CONFIG|REQUEST|SHAPE)-.*"}[15m])) > 20',
    summary: "Baton reports the same fault again and again ({{ $labels.code }})",
    means:
      "What the code stands for in [errors.md](errors.md). What concerns single requests and shapes is not counted here.",
    heals: "[errors.md](errors.md) says it of each code.",
    whatToDo: "Look the code up in [errors.md](errors.md), and for it in the log.",
    firesWith: { 'baton_faults_total{job="baton",instance="a",code="BATON-WORKER-ENDED"}': "0+3x60" }
  },
  {
    name: "BatonAllShapesStartedOver",
    severity: "warning",
    for: "0m",
    expression: "sum by (job, reason) (increase(baton_resets_total[30m])) > 0",
    summary: "Baton has dropped all shapes at once ({{ $labels.reason }})",
    means:
      "What came between is not known, so each client gets a 409 and fetches its shapes again. `stream`: another database, or one that is behind what shapes have. `publication`: it did not carry everything for a time. `storage`: the checkpoint is missing.",
    heals: "By itself; the database has to read the first rows of all shapes meanwhile.",
    whatToDo:
      "The log says what has happened, in the line `Dropped all … shapes`. Look for what caused it: somebody who altered the publication or dropped the slot, a restored backup, storage that was lost.",
    firesWith: { 'baton_resets_total{job="baton",instance="a",reason="stream"}': "0x10 1x50" }
  },
  {
    name: "BatonShapesDiffer",
    severity: "critical",
    for: "0m",
    expression: "sum by (job) (increase(baton_verify_differences_total[1h])) > 0",
    summary: "Clients of Baton hold rows that are not what Postgres has",
    means:
      "A comparison that was asked for (`baton verify`) has found rows of shapes that are missing, other than in Postgres, or not there any more. Storage was damaged in a way that checksums do not tell, rows were changed past replication (a tool for damaged tables, a restored file), or there is a mistake in this service.",
    heals: "Not by itself: such a row stays as it is until it is changed the next time.",
    whatToDo:
      "`baton verify` names the rows, and what the log said of each last. `baton verify --repair` brings all shapes to what Postgres has, under their handles: clients fetch nothing again. If no disk and no tool explains it, report it with what was found.",
    firesWith: { 'baton_verify_differences_total{job="baton",instance="a",kind="missing"}': "0x10 2x50" }
  },
  {
    name: "BatonShapesFail",
    severity: "warning",
    for: "0m",
    expression:
      'sum by (job, reason) (increase(baton_shapes_dropped_total{reason=~"storage|change|condition|other"}[30m])) > 0',
    summary: "Baton has dropped shapes that it could not keep up to date ({{ $labels.reason }})",
    means:
      "`storage`: their files are damaged. `change`: a value that cannot be given on. `condition`: their condition fails or costs too much. Their clients start over, and meet the same if the cause stays.",
    heals: "`storage` does. The others only when the row or the condition changes.",
    whatToDo: "The log names the shapes with the reason. With `storage`, check the disk.",
    firesWith: { 'baton_shapes_dropped_total{job="baton",instance="a",reason="storage"}': "0x10 3x50" }
  },
  {
    name: "BatonShapesEvicted",
    severity: "info",
    for: "15m",
    expression: 'sum by (job) (rate(baton_shapes_dropped_total{reason="evicted"}[15m])) > 0.1',
    summary: "Baton drops shapes all the time because there are more than ELECTRIC_MAX_SHAPES",
    means:
      "Clients come back to shapes that were dropped, and their rows are read from the database again and again.",
    heals: "When fewer shapes are in use.",
    whatToDo: "Raise `ELECTRIC_MAX_SHAPES`, or look who asks for so many different shapes.",
    firesWith: { 'baton_shapes_dropped_total{job="baton",instance="a",reason="evicted"}': "0+60x60" }
  },
  {
    name: "BatonSnapshotsFail",
    severity: "warning",
    for: "0m",
    expression: "sum by (job) (increase(baton_failed_snapshots_total[15m])) > 3",
    summary: "First rows of new shapes cannot be read",
    means:
      "Queries for first rows fail or take too long: rights, a lock on the table, no index for the condition, no connections.",
    heals: "When the cause is gone; clients try again.",
    whatToDo: "The log has the error of each, with what to do.",
    firesWith: { 'baton_failed_snapshots_total{job="baton",instance="a"}': "0+1x60" }
  },
  {
    name: "BatonSnapshotLong",
    severity: "info",
    for: "5m",
    expression: "max by (job, instance) (baton_snapshots_oldest_seconds) > 3600",
    summary: "The first rows of a shape have been read for more than an hour",
    means: "A very large table, or a query that hangs. While `baton_snapshot_bytes_total` rises, rows come.",
    heals: "When all rows are read.",
    whatToDo:
      "Look at the query in `pg_stat_activity`. It keeps Postgres from removing old rows of all tables for as long as it runs.",
    firesWith: { 'baton_snapshots_oldest_seconds{job="baton",instance="a"}': "4000x60" }
  },
  {
    name: "BatonSubselectsBehind",
    severity: "warning",
    for: "5m",
    expression: "max by (job) (baton_subselect_behind_bytes) > 1e8",
    summary: "Shapes with sub-selects are more than 100 MB of WAL behind the others",
    means: "Rows that enter or leave them are being read from Postgres, slower than they change.",
    heals: "When the load falls. Where too much waits, they start over.",
    whatToDo:
      "Look for slow queries of Baton in `pg_stat_activity`: an index on the columns that sub-selects compare helps most.",
    firesWith: { 'baton_subselect_behind_bytes{job="baton",instance="a"}': "1e9x60" }
  },
  {
    name: "BatonRequestsRefused",
    severity: "warning",
    for: "5m",
    expression: "sum by (job, kind) (rate(electric_admission_control_reject_count[5m])) > 0",
    summary: "Baton refuses requests because too many are in progress ({{ $labels.kind }})",
    means:
      "Clients get 503 and try again later. `initial`: requests for shapes that have to be made; `existing`: all others.",
    heals: "When fewer come at once.",
    whatToDo:
      "Raise `ELECTRIC_MAX_CONCURRENT_REQUESTS` if memory allows; a held request takes a few kilobytes. More instances or `BATON_HTTP_WORKERS` share them.",
    firesWith: {
      'electric_admission_control_reject_count{job="baton",instance="a",kind="initial"}': "0+60x60"
    }
  },
  {
    name: "BatonServerErrors",
    severity: "critical",
    for: "5m",
    expression:
      'sum by (job) (rate(electric_plug_serve_shape_requests_count{status=~"5..",known_error="false"}[5m])) > 0.05',
    summary: "Baton answers requests with errors that it cannot explain",
    means: "Answers with status 500: files that cannot be read, or a bug.",
    heals: "Not by itself, as a rule.",
    whatToDo:
      "The log has each with its cause and the request's id. Check the disk; report it if the log says so.",
    firesWith: {
      'electric_plug_serve_shape_requests_count{job="baton",status="500",known_error="false",live="false",empty="false"}':
        "0+60x60"
    }
  },
  {
    name: "BatonUnavailable",
    severity: "warning",
    for: "10m",
    expression:
      'sum by (job) (rate(electric_plug_serve_shape_requests_count{status="503"}[5m])) / sum by (job) (rate(electric_plug_serve_shape_requests_count[5m])) > 0.1',
    summary: "Baton answers more than a tenth of all requests with 503",
    means: "Clients ask for new shapes while none can be made, or too much is going on.",
    heals: "With what causes it: see the other alerts.",
    whatToDo:
      "The body of such an answer, and the log, say why. Without an active instance begin with BatonNoActiveInstance.",
    firesWith: {
      'electric_plug_serve_shape_requests_count{job="baton",status="503",known_error="true",live="false",empty="false"}':
        "0+60x60"
    }
  },
  {
    name: "BatonSlowReaders",
    severity: "info",
    for: "10m",
    expression: "sum by (job) (rate(baton_slow_readers_cut_total[10m])) > 0.1",
    summary: "Baton cuts connections whose clients do not read",
    means: "Clients, or a proxy in front, take nothing of an answer for `ELECTRIC_TCP_SEND_TIMEOUT`.",
    heals: "They connect again.",
    whatToDo:
      "Look at the proxy: buffers that are too small, or a limit on its own clients. Otherwise these are clients on bad networks.",
    firesWith: { 'baton_slow_readers_cut_total{job="baton",instance="a",process="main"}': "0+60x60" }
  },
  {
    name: "BatonEventLoopBusy",
    severity: "warning",
    for: "10m",
    expression: "max by (job, instance, process) (rate(baton_event_loop_active_seconds_total[5m])) > 0.9",
    summary: "The process {{ $labels.process }} of Baton is at its limit",
    means: "One core does everything in a process. Answers and changes wait for their turn.",
    heals: "When the load falls.",
    whatToDo:
      "`main`: set `BATON_HTTP_WORKERS`, so that others answer requests; what the stream costs stays. A worker: set more of them, or replicas on other machines.",
    firesWith: { 'baton_event_loop_active_seconds_total{job="baton",instance="a",process="main"}': "0+59x60" }
  },
  {
    name: "BatonWorkersMissing",
    severity: "warning",
    for: "2m",
    expression: "min by (job, instance) (baton_http_workers_ready - baton_http_workers_configured) < 0",
    summary: "Fewer HTTP workers of Baton answer than should",
    means:
      "A worker does not start, or was started from files of another release. The others answer in its place.",
    heals: "It is started again and again, unless the files of the release were replaced.",
    whatToDo: "The log says why. After an upgrade in place, restart the service.",
    firesWith: {
      'baton_http_workers_ready{job="baton",instance="a"}': "1x60",
      'baton_http_workers_configured{job="baton",instance="a"}': "2x60"
    }
  },
  {
    name: "BatonWorkersRestart",
    severity: "warning",
    for: "0m",
    expression: "sum by (job, instance) (increase(baton_http_worker_restarts_total[15m])) > 2",
    summary: "HTTP workers of Baton end again and again",
    means: "They run out of memory, or are killed.",
    heals: "Each is replaced at once; its clients connect again.",
    whatToDo: "Look for the kernel's out-of-memory killer, and at the last lines of the log with `worker=`.",
    firesWith: { 'baton_http_worker_restarts_total{job="baton",instance="a"}': "0+1x60" }
  }
]
