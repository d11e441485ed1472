import type { MetricEvents, ServedAnswer } from "../MetricEvents.ts"
import type { StatsdSender } from "./StatsdSender.ts"

const received = "electric.postgres.replication.transaction_received"
const stored = "electric.storage.transaction_stored"
const serve = "electric.plug.serve_shape"
/** Electric has a name for each stream that a process serves; there is one here. */
const stack = { stack_id: "single_stack" }

const servedIn = (send: StatsdSender, { bytes, live, millis, status, table }: ServedAnswer): void => {
  send.distribution("plug.router_dispatch.stop.duration", millis, {
    route: "/v1/shape",
    status: String(status)
  })
  if (!live) {
    send.distribution(`${serve}.duration`, millis)
    send.count(`${serve}.count`, 1)
    if (bytes !== undefined) send.count(`${serve}.bytes`, bytes)
  }
  if (bytes !== undefined && table !== undefined)
    send.distribution("electric.shape.response_size.bytes", bytes, {
      root_table: table,
      is_live: String(live),
      ...stack
    })
}

/** Sends each event under the names that Electric has. */
export const statsdEvents = (send: StatsdSender): MetricEvents => ({
  answered: (status, knownError, live, empty) =>
    send.count(`${serve}.requests.count`, 1, {
      status: String(status),
      known_error: String(knownError),
      live: String(live),
      empty: String(empty)
    }),
  served: (about) => servedIn(send, about),
  received: (operations, lagMillis) => {
    send.count(`${received}.count`, 1)
    send.distribution(`${received}.operations`, operations)
    send.distribution(`${received}.receive_lag`, lagMillis)
  },
  stored: (operations, bytes, lagMillis) => {
    send.count(`${stored}.count`, 1)
    send.count(`${stored}.operations`, operations)
    send.count(`${stored}.bytes`, bytes)
    send.distribution(`${stored}.replication_lag`, lagMillis)
  },
  snapshot: (millis) =>
    send.distribution("electric.shape_snapshot.create_snapshot_task.stop.duration", millis),
  active: (millis, shapes) => {
    send.gauge("electric.connection.consumers_ready.duration", millis)
    send.gauge("electric.connection.consumers_ready.total", shapes)
  }
})
