import { counter, gauge, live, type MetricFamily, perProcess } from "./MetricFamily.ts"

/** What is measured of each process, and of HTTP workers. */
export const processFamilies: ReadonlyArray<MetricFamily> = [
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
  live(
    perProcess(
      "baton_slow_readers",
      "gauge",
      "Responses of which a piece waits because their client has not taken the one before.",
      ({ slowReaders }) => slowReaders.waiting
    )
  ),
  live(
    perProcess(
      "baton_slow_readers_cut_total",
      "counter",
      "Connections that were cut because their client took nothing for `ELECTRIC_TCP_SEND_TIMEOUT`.",
      ({ slowReaders }) => slowReaders.cut
    )
  ),
  live(
    perProcess(
      "baton_expired_offsets_total",
      "counter",
      "Requests of clients that were away for longer than the log of their shape is kept: they got a 409 and fetch its rows again, while the shape lives on.",
      ({ expiredReads }) => expiredReads
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
    name: "baton_event_loop_delay_seconds",
    type: "histogram",
    help: "How much later than asked for a timer fired, ten times a second: what a request may have to wait at least.",
    labels: ["process"],
    samples: ({ processes }) =>
      processes.flatMap(({ process, eventLoop }) =>
        eventLoop === undefined ? [] : [{ labels: { process }, distribution: eventLoop.delaySeconds }]
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
