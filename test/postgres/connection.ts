import { Redacted } from "effect"
import type { DatabaseTarget } from "../../src/config/BatonConfig.ts"
import type { ConnectionConfig } from "../../src/postgres/connection/ConnectionOptions.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"

/** What the configuration would say for a test database, with nothing out of the ordinary. */
export const plainConfig: ConnectionConfig = {
  databaseUseIpv6: false,
  databaseCaCertificateFile: undefined,
  tcpKeepaliveIdleMillis: undefined,
  tcpKeepaliveIntervalMillis: undefined,
  tcpKeepaliveCount: undefined,
  tcpUserTimeoutMillis: undefined
}

export const targetOf = (
  database: Pick<TestDatabase, "host" | "port" | "user" | "password" | "name">,
  changes: Partial<DatabaseTarget> = {}
): DatabaseTarget => ({
  host: database.host,
  port: database.port,
  database: database.name,
  username: database.user,
  password: Redacted.make(database.password),
  sslMode: "prefer",
  ...changes
})
