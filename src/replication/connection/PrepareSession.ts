import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import { type ConnectionConfig, serverTcpSettings } from "../../postgres/connection/ConnectionOptions.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { heartbeatMillis } from "../ReplicationTimings.ts"
import type { TextRow } from "./ReplicationSession.ts"

/** What has been found out about a session, and is in force on it. */
export interface SessionFacts {
  readonly systemId: string
  readonly timeline: number
  readonly serverVersion: number
  readonly walSenderTimeoutMillis: number
  /** Of the database, as Postgres names it. */
  readonly encoding: string
  /** Text comes as it is stored, in whatever encoding that may be. */
  readonly isRaw: boolean
}

type Query = (sql: string) => Effect.Effect<ReadonlyArray<TextRow>, PgError>

export type SessionConfig = ConnectionConfig & Pick<BatonConfig, "walSenderTimeoutMillis">

/** Looks at the server, and makes the session one that ends with this process and lets every text through. */
export const prepareSession = Effect.fnUntraced(function* (query: Query, config: SessionConfig) {
  const [system] = yield* query("IDENTIFY_SYSTEM")
  const configured = config.walSenderTimeoutMillis
  if (configured !== undefined) yield* query(`SET wal_sender_timeout = ${configured}`)
  const [server] = yield* query(
    "SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding, " +
      "(SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout') AS timeout"
  )
  const facts: SessionFacts = {
    systemId: system?.["systemid"] ?? "",
    timeline: Number(system?.["timeline"]),
    serverVersion: Number(server?.["version"]),
    walSenderTimeoutMillis: Number(server?.["timeout"]),
    encoding: server?.["encoding"] ?? "UTF8",
    isRaw: server?.["encoding"] === "SQL_ASCII"
  }
  // Postgres would refuse to give out what is not UTF-8, and with it everything behind it.
  if (facts.isRaw) yield* query("SET client_encoding = 'SQL_ASCII'")
  yield* endWithoutClient(query, facts, config)
  return facts
})

/**
 * Makes Postgres end this session when its client is gone (`client_connection_check_interval` while a statement runs,
 * TCP keepalives of the server's end while none does) or frozen (`idle_session_timeout` until it streams,
 * `wal_sender_timeout` from then on). A server that does not know or allow one of them is served without it.
 */
const endWithoutClient = Effect.fnUntraced(function* (
  query: Query,
  facts: SessionFacts,
  config: ConnectionConfig
) {
  const settings = {
    client_connection_check_interval: "500",
    idle_session_timeout: String(idleSessionTimeoutMillis(facts.walSenderTimeoutMillis)),
    // PG 17; counts while waiting for the lock as well.
    ...(facts.serverVersion >= 170_000 ? { transaction_timeout: "0" } : {}),
    tcp_keepalives_idle: "10",
    tcp_keepalives_interval: "5",
    tcp_keepalives_count: "3",
    ...serverTcpSettings(config)
  }
  const statements = Object.entries(settings).map(([name, value]) => `SET ${name} = ${value}`)
  yield* Effect.catch(query(statements.join("; ")), () =>
    Effect.forEach(statements, (statement) =>
      Effect.catch(Effect.asVoid(query(statement)), (error) =>
        error.unreachable
          ? Effect.fail(error)
          : reportFault(
              "BATON-DB-SETTING",
              `Postgres refuses "${statement}" on the replication connection, so it may notice late when this process ` +
                `is gone. Everything else works. ${error.message}`
            )
      )
    )
  )
})

/** As long as `wal_sender_timeout`, so that one bound holds before and while streaming; 0 is "never" for both. */
export const idleSessionTimeoutMillis = (walSenderTimeoutMillis: number): number =>
  walSenderTimeoutMillis === 0 ? 0 : Math.max(walSenderTimeoutMillis, 2 * heartbeatMillis)
