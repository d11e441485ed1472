import type { PgErrorKind } from "./PgError.ts"
import { privilegeAdvice } from "./PrivilegeAdvice.ts"
import { letReplicate } from "../RoleSql.ts"

/** The database that a message is about; what is unknown is left out of the text. */
export interface ErrorSubject {
  readonly host?: string
  readonly port?: number
  readonly database?: string
  /** Who connects. */
  readonly role?: string
}

interface Said {
  readonly code: string | undefined
  readonly message: string
  readonly detail: string | undefined
  readonly fromServer: boolean
}

const heals = "It is tried again until it succeeds."
const stays = "This does not heal by itself."

interface Text {
  /** What happened. */
  readonly what: (subject: string, said: Said) => string
  /** Whether it heals by itself, and what to do. */
  readonly outlook: string | ((said: Said, subject: ErrorSubject) => string)
  /** Whether the server's own words belong into the text: not when they say the same. */
  readonly quote?: boolean
}

const fixed =
  (what: string): Text["what"] =>
  () =>
    what

/**
 * The operator's text for every kind of failure: what happened, in the server's words where those matter, whether it
 * heals by itself, and what to do.
 */
export const explain = (kind: PgErrorKind, said: Said, subject: ErrorSubject): string => {
  const { what, outlook, quote } = texts[kind]
  const head = what(place(subject), said)
  const quoted =
    quote === false ? "" : said.detail === undefined ? said.message : `${said.message} (${said.detail})`
  const code = said.code === undefined || quoted === "" ? "" : ` [${said.code}]`
  const words = quoted === "" || quoted === head ? head : `${head}: ${quoted}`
  const advice = typeof outlook === "string" ? outlook : outlook(said, subject)
  // SQL ends with a semicolon.
  const end = code === "" && words.endsWith(";") ? "" : "."
  return `${words.replace(/\.$/, "")}${code}${end} ${advice}`
}

const place = ({ host, port }: ErrorSubject): string => {
  if (host === undefined) return "the database"
  const address = host.includes(":") ? `[${host}]` : host
  return port === undefined || host.startsWith("/") ? address : `${address}:${port}`
}

const texts: Readonly<Record<PgErrorKind, Text>> = {
  connection_closed: {
    what: (at) => `The connection to ${at} was closed`,
    outlook: `${heals} If it keeps happening, look at the server's log and at proxies in between.`
  },
  connection_timeout: {
    what: (at) => `The connection to ${at} timed out`,
    outlook: `${heals} Check host, port and firewalls if it does not.`,
    quote: false
  },
  connection_refused: {
    what: (at) => `Connection refused while trying to connect to ${at}`,
    outlook: `${heals} Check that Postgres runs there and listens on that address.`,
    quote: false
  },
  connection_failure: { what: (at) => `The connection to ${at} failed`, outlook: heals },
  host_unreachable: {
    what: (at) => `There is no network route to ${at}`,
    outlook: `${heals} Check the network, and ELECTRIC_DATABASE_USE_IPV6 if the host has IPv6 addresses.`
  },
  name_resolution_failed: {
    what: (at) => `The host name of ${at} could not be looked up`,
    outlook: `${heals} Check the DNS configuration if it does not.`
  },
  nxdomain: {
    what: (at) => `The domain of ${at} does not exist`,
    outlook: `${stays} Check the host name in the database URL.`,
    quote: false
  },
  pool_timeout: {
    what: fixed("Timed out while waiting for a free database connection"),
    outlook:
      "It heals when running queries end. Raise ELECTRIC_DB_POOL_SIZE, or give slow snapshot queries an index.",
    quote: false
  },
  ssl_connection_failed: {
    what: (at) => `SSL connection failed to verify server certificate of ${at}`,
    outlook: `${stays} Check ELECTRIC_DATABASE_CA_CERTIFICATE_FILE and the server's certificate, its host name included.`
  },
  ssl_not_supported: {
    what: (at) => `Database server not configured to accept SSL connections (${at})`,
    outlook: `${stays} Turn on ssl in Postgres, or, if the network is trusted, use sslmode=disable and no CA file.`,
    quote: false
  },
  ssl_connection_required: {
    what: fixed("Connection refused: server requires SSL/TLS but the client connected without encryption"),
    outlook: `${stays} Remove sslmode=disable from the database URL, or turn on ssl in Postgres.`
  },
  invalid_username_or_password: {
    what: (at) => `Login to ${at} failed`,
    outlook: `${stays} Check user name and password in the database URL.`
  },
  authorization_failure: {
    what: fixed("Connection rejected"),
    outlook: `${stays} Allow this host, user and database in the server's pg_hba.conf (replication connections included).`
  },
  insufficient_privileges: {
    what: fixed("User does not have the REPLICATION attribute"),
    outlook: (_, { role }) =>
      `${stays} Run ${letReplicate(role ?? "…")} At providers that do not allow it, grant the role their replication role ` +
      '(GRANT rds_replication … on RDS; the page "The database role" has the others).'
  },
  database_does_not_exist: {
    what: fixed("The database does not exist"),
    outlook: `${stays} Check the database name in the database URL.`
  },
  branch_does_not_exist: {
    what: fixed("The database branch is not there"),
    outlook: `${heals} Check the branch in the database URL if it stays away.`
  },
  endpoint_not_found: {
    what: fixed("The database provider does not know this endpoint"),
    outlook: `${stays} Check the database URL and the state of the project at the provider.`
  },
  compute_quota_exceeded: {
    what: fixed("The database provider's compute quota is used up"),
    outlook: `${stays} Raise the quota at the provider.`
  },
  data_transfer_quota_exceeded: {
    what: fixed("The database provider's data transfer quota is used up"),
    outlook: `${stays} Raise the quota at the provider.`
  },
  compute_node_unreachable: {
    what: fixed("The database provider cannot reach its compute node"),
    outlook: heals
  },
  pooler_without_replication: {
    what: (at) => `A connection pooler stands at ${at}, and it passes no replication connections on`,
    outlook: `${stays} Let DATABASE_URL lead to Postgres itself; the pooler's address may go into ELECTRIC_POOLED_DATABASE_URL.`,
    quote: false
  },
  pooler_login_failed: {
    what: fixed("The connection pooler cannot log in to Postgres"),
    outlook: `${heals} Check the pooler's configuration and log if it does not.`
  },
  server_connection_crashed: { what: fixed("Server connection crashed"), outlook: heals },
  database_server_shutting_down: {
    what: (at, { code, message }) =>
      code === "57P01" && message.startsWith("terminating connection")
        ? `Postgres at ${at} ended the connection: it is shutting down, or somebody ended this session with pg_terminate_backend`
        : `Postgres at ${at} is shutting down`,
    outlook: heals
  },
  database_server_unavailable: {
    what: (at) => `Postgres at ${at} is not accepting connections`,
    outlook: heals
  },
  insufficient_resources: {
    what: (at) => `Postgres at ${at} is out of resources`,
    outlook: `${heals} Lower ELECTRIC_DB_POOL_SIZE or raise max_connections if it is connections that are missing; otherwise raise the limit that is named (max_wal_senders, max_replication_slots ...) and restart Postgres.`
  },
  disk_full: {
    what: fixed("The disk of the database server is full"),
    outlook: `${heals} Free space there.`
  },
  read_only: {
    what: fixed("The database is read-only"),
    outlook: `${heals} Check that the database URL leads to the primary, and default_transaction_read_only.`
  },
  wal_level_is_not_logical: {
    what: fixed("Logical replication requires wal_level >= logical"),
    outlook: `${stays} Set wal_level = logical in Postgres and restart it.`
  },
  replication_slot_in_use: {
    what: fixed(
      "Replication slot already in use by another database connection, possibly a program that is not ours"
    ),
    outlook: `${heals} Find out who it is with SELECT * FROM pg_replication_slots.`
  },
  duplicate_slot_file: {
    what: fixed(
      "Postgres could not save the replication slot, because a file of an earlier one is in the way"
    ),
    outlook: `${heals} Look into pg_replslot on the server if it does not.`
  },
  missing_publication: {
    what: fixed("The publication is missing, or it is younger than the position of the replication slot"),
    outlook:
      "It is created again unless tables are published manually; in that case create it, and drop the slot if it is older."
  },
  database_slot_exceeded_max_size: {
    what: fixed(
      "The replication slot needed more WAL than max_slot_wal_keep_size allows and was invalidated"
    ),
    outlook:
      "A new slot is created and all shapes are compared with the database. Raise max_slot_wal_keep_size, or watch the retained WAL size."
  },
  database_slot_invalidated: {
    what: fixed("Postgres has invalidated the replication slot"),
    outlook:
      "A new slot is created and all shapes are compared with the database. See pg_replication_slots.invalidation_reason for the cause."
  },
  exceeded_max_tx_size: {
    what: (_, said) => said.message,
    outlook:
      "A new slot is created and all shapes are compared with the database. Split such transactions, or raise ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE."
  },
  replica_not_full: {
    what: (_, said) => said.message,
    outlook:
      "A new slot is created and all shapes are compared with the database. Leave REPLICA IDENTITY FULL on published tables."
  },
  change_not_given: {
    what: (_, said) => said.message,
    outlook: "A new slot is created and all shapes are compared with the database. Correct the row."
  },
  another_history: {
    what: (_, said) => said.message,
    outlook: "A new slot is created and all shapes are compared with the database."
  },
  config_error: {
    what: (_, said) => said.message,
    outlook: `${stays} Change the database as said and start again.`
  },
  gave_way: { what: fixed("A long query was ended because others wait for its connection"), outlook: heals },
  query_canceled: { what: fixed("The statement was cancelled"), outlook: heals },
  statement_timeout: {
    what: fixed("The statement took longer than statement_timeout allows"),
    outlook: "Raise the timeout for this user, or make the statement faster with an index."
  },
  lock_timeout: {
    what: fixed("A lock could not be had in time"),
    outlook: `${heals} Find who holds it with pg_blocking_pids if it does not.`
  },
  transaction_conflict: { what: fixed("The transaction conflicted with another one"), outlook: heals },
  permission_denied: {
    what: fixed("The user of the database URL lacks a privilege"),
    outlook: ({ message }, { database, role }) =>
      role === undefined
        ? `${stays} Grant it, or make that user the owner.`
        : `${stays} ${privilegeAdvice({ said: message, role, database })}.`.replace(/;\.$/, ";")
  },
  undefined_object: {
    what: fixed("Something that the statement names is not in the database"),
    outlook: "This happens when the schema changes meanwhile; the next request looks at the new schema."
  },
  data_exception: {
    what: fixed("Postgres cannot do what the statement asks with the values that it meets"),
    outlook: `${stays} Correct the row, or change the condition or expression that fails for it.`
  },
  syntax_error: {
    what: fixed("Postgres did not understand a statement"),
    outlook: `${stays} Please report it.`
  },
  unknown: { what: fixed("Postgres or the connection to it failed"), outlook: heals }
}
