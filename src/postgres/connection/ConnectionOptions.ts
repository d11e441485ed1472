import type { PgPoolConfig } from "@effect/sql-pg/PgClient"
import { Redacted } from "effect"
import type { ClientConfig } from "pg"
import type { BatonConfig, DatabaseTarget } from "../../config/BatonConfig.ts"
import type { ErrorSubject } from "../errors/ExplainPgError.ts"
import { saslPrep } from "./SaslPrep.ts"
import { Transport, type TransportOptions } from "./Transport.ts"

/** The settings that decide how to connect, of whichever of the two database URLs. */
export type ConnectionConfig = Pick<
  BatonConfig,
  | "databaseUseIpv6"
  | "databaseCaCertificateFile"
  | "tcpKeepaliveIdleMillis"
  | "tcpKeepaliveIntervalMillis"
  | "tcpKeepaliveCount"
  | "tcpUserTimeoutMillis"
>

/**
 * Settings under which Postgres writes values as the HTTP API promises them, and reads the texts of conditions as we do. In force on the replication connection,
 * in every snapshot transaction and on administrative connections, so that one value has one text everywhere.
 */
export const displaySettings: Readonly<Record<string, string>> = {
  bytea_output: "hex",
  DateStyle: "ISO, DMY",
  TimeZone: "UTC",
  extra_float_digits: "1",
  IntervalStyle: "iso_8601",
  // What roles and databases may set otherwise, and what literals and operators in conditions would then mean.
  array_nulls: "on",
  backslash_quote: "safe_encoding",
  standard_conforming_strings: "on",
  transform_null_equals: "off",
  xmlbinary: "base64",
  xmloption: "content"
}

/**
 * For everything that reads the rows of shapes: where a policy would hide some of them from the role, Postgres refuses the
 * query instead. The stream holds the changes of all rows, whatever policies say.
 * Source: PostgreSQL documentation, "Row Security Policies".
 */
export const allRowsOrNone: Readonly<Record<string, string>> = { row_security: "off" }

/** Bound on connecting, logging in included, before an attempt counts as failed. */
export const connectTimeoutMillis = 10_000

/** A row cannot be larger in Postgres (`MaxAllocSize`). Room for it is taken only when such a row arrives. */
const maxMessageBytes = 0x3fffffff

/** Without a setting: soon enough to notice a dead server, rarely enough not to matter. */
const defaultKeepAliveIdleMillis = 30_000

const seconds = (millis: number): string => String(Math.max(1, Math.floor(millis / 1000)))

/**
 * TCP settings for the *server's* end of a connection. They bound how long Postgres keeps a session, and the lock it
 * holds, whose client is gone without a word: Node can set only the first of them for our end. Names and units are those
 * of Postgres (seconds, except the timeout). Empty when nothing is configured.
 */
export const serverTcpSettings = (config: ConnectionConfig): Readonly<Record<string, string>> => {
  const settings: Record<string, string> = {}
  if (config.tcpKeepaliveIdleMillis !== undefined) {
    settings["tcp_keepalives_idle"] = seconds(config.tcpKeepaliveIdleMillis)
  }
  if (config.tcpKeepaliveIntervalMillis !== undefined) {
    settings["tcp_keepalives_interval"] = seconds(config.tcpKeepaliveIntervalMillis)
  }
  if (config.tcpKeepaliveCount !== undefined) {
    settings["tcp_keepalives_count"] = String(config.tcpKeepaliveCount)
  }
  if (config.tcpUserTimeoutMillis !== undefined) {
    settings["tcp_user_timeout"] = String(config.tcpUserTimeoutMillis)
  }
  return settings
}

export const transportOptions = (target: DatabaseTarget, config: ConnectionConfig): TransportOptions => ({
  host: target.host,
  port: target.port,
  sslMode: target.sslMode,
  caCertificateFile: config.databaseCaCertificateFile,
  preferIpv6: config.databaseUseIpv6,
  keepAliveIdleMillis: config.tcpKeepaliveIdleMillis ?? defaultKeepAliveIdleMillis
})

/** What messages call this database. */
export const errorSubject = ({ host, port, database, username }: DatabaseTarget): ErrorSubject => ({
  host,
  port,
  database,
  role: username
})

/**
 * Options for an `@effect/sql-pg` pool that opens connections when they are needed and closes idle ones. `settings`
 * are sent when a session starts: leave them out for connections that may go through a pooler, which refuses those it
 * does not know. Statements are unnamed for the same reason, unless the sessions are to keep some (`Queryable`).
 */
export const poolOptions = (
  target: DatabaseTarget,
  config: ConnectionConfig,
  options: {
    readonly size: number
    readonly applicationName: string
    readonly settings: Readonly<Record<string, string>>
    readonly keepsStatements?: boolean
  }
): PgPoolConfig & { readonly maxConnections: number } => {
  const transport = transportOptions(target, config)
  return {
    host: target.host,
    port: target.port,
    database: target.database,
    username: target.username,
    // `pg` does this by itself. With MD5 or plain passwords it would be the other form; nobody has such passwords there.
    password:
      target.password === undefined ? undefined : Redacted.make(saslPrep(Redacted.value(target.password))),
    ssl: false, // the stream below negotiates TLS itself
    stream: () => new Transport(transport),
    applicationName: options.applicationName,
    startupParameters: options.settings,
    connectTimeout: connectTimeoutMillis,
    minConnections: 0,
    maxConnections: options.size,
    idleTimeout: "60 seconds",
    prepare: options.keepsStatements ?? false,
    maxMessageSize: maxMessageBytes
  }
}

/**
 * Options for one `pg` client, such as that of the replication connection. `settings` are sent when the session starts,
 * `replication` must be added by the caller.
 */
export const clientOptions = (
  target: DatabaseTarget,
  config: ConnectionConfig,
  options: {
    readonly applicationName: string
    readonly settings: Readonly<Record<string, string>>
    /** See `TransportOptions`. */
    readonly readBufferBytes?: number
  }
): ClientConfig => {
  const transport = { ...transportOptions(target, config), readBufferBytes: options.readBufferBytes }
  const { password } = target
  return {
    host: target.host,
    port: target.port,
    database: target.database,
    user: target.username,
    // A function shows nothing when printed, and keeps `pg` from looking for a password in the user's files.
    password: () => (password === undefined ? "" : Redacted.value(password)),
    ssl: false, // the stream below negotiates TLS itself
    stream: () => new Transport(transport),
    application_name: options.applicationName,
    options: startupOptions(options.settings),
    connectionTimeoutMillis: connectTimeoutMillis
  }
}

/** Settings as command-line options of a session; blanks and backslashes in values are escaped for the server. */
const startupOptions = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\ ]/g, "\\$&")}`)
    .join(" ")
