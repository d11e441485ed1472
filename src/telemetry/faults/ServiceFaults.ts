import { configAdvice } from "../../config/ConfigAdvice.ts"
import { dutyDied, mistake } from "../../shared/GeneralFaults.ts"
import type { FaultRows } from "./FaultRows.ts"

/** Shapes, requests, and the processes of the service. */
export const serviceFaults = {
  "BATON-SHAPE-PURGED": {
    severity: "critical",
    title: "All shapes were dropped",
    happened: "What storage holds cannot be continued: a new slot, another database, or what the line says.",
    heals: "Yes: clients fetch them again.",
    advice: "Look for the line before it, which has the reason."
  },
  "BATON-SHAPE-COMPARED": {
    severity: "warning",
    title: "All shapes are compared with the database",
    happened:
      "The stream cannot go on from where the shapes are: the slot was lost or is new, a table was not published for some time, or what the line says.",
    heals:
      "Yes: every shape gets what it lacks, under its handle, and nothing is fetched again. All rows of the tables are read for that, and no new shape is made meanwhile.",
    advice: "Look for what has cost the slot or the publication; the line names it."
  },
  "BATON-SHAPE-DIFFERS": {
    severity: "critical",
    title: "Rows of shapes are not what Postgres has",
    happened:
      "A comparison that an operator has asked for (`baton verify`) has found rows that readers of shapes hold otherwise than Postgres has them: storage was damaged, rows were changed in a way that replication does not tell of, or there is a mistake in this service.",
    heals:
      "No: clients stay as they are until a row is changed the next time. With `--repair` all shapes get what they lack, under their handles.",
    advice:
      "Run `baton verify`, which names the rows and what the log said of them last; then `baton verify --repair`. If no disk and no tool explains it, report it.",
    metric: "baton_verify_differences_total"
  },
  "BATON-SHAPE-CONDITION": {
    severity: "warning",
    title: "A shape was dropped for its condition, or for a change",
    happened:
      "The condition of a shape failed for a changed row or cost more than is allowed, or a change of its table could not be passed on. The line says which.",
    heals: "Yes: its clients fetch it again, and it is dropped again at the next such row.",
    advice: "Correct the condition or the row, or raise the limit that the line names.",
    metric: "baton_shapes_dropped_total"
  },
  "BATON-SHAPE-DISCARDED": {
    severity: "warning",
    title: "A shape was dropped because its log cannot be read",
    happened: "What was stored of a shape is damaged or missing.",
    heals: "Yes: its clients fetch it again.",
    advice: "Look at the disk of the storage directory.",
    doctor: "storage"
  },
  "BATON-SHAPE-DROPPED": {
    severity: "info",
    title: "A shape was dropped",
    happened: "A shape could not be continued; the line says why.",
    heals: "Yes: its clients fetch it again.",
    advice: "If it comes often, mend what the line names."
  },
  "BATON-SHAPE-SNAPSHOT": {
    severity: "warning",
    title: "The first rows of a shape could not be read",
    happened:
      "Postgres failed, was too slow, or refused a value while a new shape's rows were read. Clients get an error.",
    heals: "The next request starts over.",
    advice: "Do what the line says: an index, a longer time-out, a corrected row.",
    metric: "baton_failed_snapshots_total"
  },
  "BATON-SHAPE-SUBSET": {
    severity: "warning",
    title: "A subset could not be read",
    happened: "The query of a subset failed, or its answer found no room. Clients get an error.",
    heals: "The next request tries again.",
    advice: "Do what the line says."
  },
  "BATON-SHAPE-LOG": {
    severity: "critical",
    title: "The log of a shape cannot be read",
    happened: "A file of the shape, or the bucket, could not be read. The client gets a 500 or a 503.",
    heals:
      "A client that asks again is answered once the disk is; a damaged shape is dropped and fetched again.",
    advice: "Look at the disk or the bucket.",
    doctor: "storage"
  },
  "BATON-SHAPE-SUBSELECT": {
    severity: "warning",
    title: "Rows for conditions with sub-selects cannot be read",
    happened:
      "Postgres could not be asked for rows that enter or leave shapes. Those shapes wait; all others go on.",
    heals: "Yes: it is tried again.",
    advice: "Mend what the line names: a privilege, a time-out, an index.",
    metric: "baton_subselect_behind_bytes"
  },
  "BATON-REQUEST-CUT": {
    severity: "warning",
    title: "A response was cut",
    happened: "What was being sent could not be read to its end.",
    heals: "Yes: the client tries again.",
    advice: "Look at the disk or the bucket."
  },
  "BATON-REQUEST-SLOW": {
    severity: "warning",
    title: "A request took long",
    happened: "An answer that waited for nothing took longer than BATON_SLOW_REQUEST.",
    heals: "It was answered.",
    advice:
      "Look at the class of the condition in the line: `asked` is evaluated by Postgres for each row, `first rows` wants an index."
  },
  "BATON-CLAUSE-SLOW": {
    severity: "warning",
    title: "Postgres takes long for conditions",
    happened:
      "Conditions that Postgres is asked about (class postgres) took more than half of BATON_MAX_DECISION_TIME for the rows of one transaction. Changes wait for that.",
    heals: "With the next transaction; shapes whose condition is above its limit are dropped.",
    advice:
      "Write the condition with what is evaluated here, or narrow it by AND with a comparison of a column.",
    metric: "baton_rows_decided_by_postgres_total"
  },
  "BATON-REQUEST-REFUSED": {
    severity: "warning",
    title: "Requests are refused",
    happened: "Clients get a 503: too many at once, or this instance cannot do now what they need.",
    heals: "As a rule, when the load or the cause passes.",
    advice:
      "Look for the line that has the cause; raise ELECTRIC_MAX_CONCURRENT_REQUESTS or add instances for too many at once.",
    metric: "electric_admission_control_reject_count"
  },
  "BATON-REQUEST-CONNECTIONS": {
    severity: "warning",
    title: "There may be fewer connections than clients",
    happened: "The limit of open files of this process is low.",
    heals: "No.",
    advice: "Raise the limit (ulimit -n, or LimitNOFILE) as the line says.",
    doctor: "process"
  },
  "BATON-HOST-HOOK": {
    severity: "critical",
    title: "The authorize hook failed",
    happened:
      "The hook of the program that Baton is part of threw, or gave something that is no shape. The client gets a 500.",
    heals: "No.",
    advice: "Let the hook return a shape, or fail with Refused for those who may not read."
  },
  "BATON-HOST-BODY": {
    severity: "critical",
    title: "The host reads the body of requests first",
    happened: "The body of a POST had been read before it reached Baton, so it cannot be answered.",
    heals: "No.",
    advice: "Mount Baton before what parses bodies, as the line says."
  },
  "BATON-HOST-CALLBACK": {
    severity: "critical",
    title: "A function of the host failed",
    happened: "What the program does when Baton tells it something has failed itself.",
    heals: "The service goes on.",
    advice: "Mend the function that the line names."
  },
  "BATON-WORKER-ENDED": {
    severity: "warning",
    title: "An HTTP worker has ended",
    happened:
      "A process that answers requests ended by itself; its connections are cut, and their clients connect again.",
    heals: "Yes: the next one starts.",
    advice: "If it comes often, look for its last line, and at the memory of the machine.",
    metric: "baton_http_worker_restarts_total"
  },
  "BATON-WORKER-REPLACED": {
    severity: "critical",
    title: "The files of the service were replaced while it runs",
    happened: "A worker that was to start is of another release.",
    heals: "With the next start of the service.",
    advice: "Start the service again.",
    metric: "baton_http_workers_ready"
  },
  "BATON-WORKER-STORAGE": {
    severity: "critical",
    title: "An HTTP worker cannot read storage",
    happened:
      "A worker cannot read the storage directory, and answers nothing until then; the other processes do.",
    heals: "When the directory can be read.",
    advice: "Mend what the line names.",
    doctor: "storage"
  },
  "BATON-WORKER-TAIL": {
    severity: "warning",
    title: "HTTP workers cannot hand on the journal",
    happened: "There is no socket between the processes of this instance.",
    heals: "No; other instances read the bucket.",
    advice: "Give this user a directory for temporary files, and start again."
  },
  "BATON-SERVICE-FAILED": {
    severity: "critical",
    lasts: true,
    title: "This instance cannot become active",
    happened: "Somebody has to mend something first; /v1/health says 503.",
    heals: "When it is mended: it is tried again.",
    advice: "Do what the line says.",
    doctor: "connection"
  },
  "BATON-CONFIG-INVALID": {
    severity: "critical",
    title: "The configuration cannot be used",
    happened:
      "A variable is missing, cannot be read, or names a file that is not there. The line names all of them.",
    heals: "No: the command has ended with exit code 1.",
    advice: "Correct what the line names, and start again.",
    doctor: "configuration"
  },
  "BATON-START-PORT": {
    severity: "critical",
    title: "The port cannot be listened on",
    happened:
      "Another program has the port, the certificate cannot be used, or the system does not allow it.",
    heals: "No: the command has ended with exit code 1.",
    advice: "Free the port, or set ELECTRIC_PORT (ELECTRIC_PROMETHEUS_PORT) to another one.",
    doctor: "configuration"
  },
  "BATON-START-FAILED": {
    severity: "critical",
    title: "The service could not be started",
    happened: "Something that is needed before anything else failed; the line says what.",
    heals: "No: the command has ended with exit code 1.",
    advice: "Do what the line says, and start again."
  },
  "BATON-SHAPE-EVICTED": {
    severity: "info",
    title: "Shapes were dropped because there are too many",
    happened: "There are more shapes than ELECTRIC_MAX_SHAPES, and those that were used least were dropped.",
    heals: "Yes: clients that come again fetch them again.",
    advice: "Raise the limit if clients fetch again and again.",
    metric: "electric_shapes_total_shapes_count"
  },
  "BATON-TELEMETRY-EXPORT": {
    severity: "warning",
    lasts: true,
    title: "Telemetry cannot be exported",
    happened:
      "The collector of OpenTelemetry or StatsD is out of reach, or refuses what it is sent. What was to be exported is lost.",
    heals: "When it answers again: it is tried again every minute. Nothing else depends on it.",
    advice: "Correct the endpoint or its keys, or mend the collector."
  },
  // They are met in folders that know nothing of this one.
  "BATON-SERVICE-MISTAKE": mistake,
  "BATON-SERVICE-STUMBLED": dutyDied,
  "BATON-CONFIG-ADVICE": configAdvice
} satisfies FaultRows
