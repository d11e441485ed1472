import type { BatonConfig } from "../../config/BatonConfig.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { ReplicationConnection } from "../../replication/stream/ReplicationConnection.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { MetricsRecord } from "../../telemetry/Metrics.ts"
import { Heartbeat } from "./Heartbeat.ts"
import { lookAtStream } from "./LookAtStream.ts"

/** The heartbeat of one turn, which streams on this connection. */
export const makeHeartbeat = (
  services: { readonly admin: Queryable; readonly config: BatonConfig; readonly metrics: MetricsRecord },
  connection: ReplicationConnection,
  engine: StorageEngine,
  written: (lsn: Lsn) => void
): Heartbeat => {
  const { admin, config, metrics } = services
  return new Heartbeat({
    everyMillis: config.heartbeatMillis,
    slotName: config.slotName,
    admin,
    timers: engine.timers,
    status: metrics.stream,
    lag: metrics.servingLag,
    hearing: connection.hearing,
    written,
    askForPosition: connection.askForPosition,
    isWriteFailing: () => engine.writer?.isFailing === true,
    shift: () => engine.store.shift,
    look: lookAtStream(admin, config.slotName, connection.backendPid)
  })
}
