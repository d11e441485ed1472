import { Schema } from "effect"

/**
 * What a failure asks for. `retry`: it may pass, try again with back-off. `fatal`: it stays until somebody changes
 * the configuration or the database, so start-up ends with it (a service that was already active serves on and keeps
 * trying: that is for its caller to say). `recreateSlot`: the slot is of no use any more; drop it, make a new one, and
 * every shape has to be fetched again.
 */
type Recovery = "retry" | "fatal" | "recreateSlot"

interface KindFacts {
  readonly recovery: Recovery
  /** The database could not be reached, or not be used at all: nothing is wrong with the statement itself. */
  readonly unreachable?: true
}

/** Every failure that is told apart, in one place. A kind that is not listed does not compile. */
const kindFacts = {
  // reaching the server
  connection_closed: { recovery: "retry", unreachable: true },
  connection_timeout: { recovery: "retry", unreachable: true },
  connection_refused: { recovery: "retry", unreachable: true },
  connection_failure: { recovery: "retry", unreachable: true },
  host_unreachable: { recovery: "retry", unreachable: true },
  name_resolution_failed: { recovery: "retry", unreachable: true },
  nxdomain: { recovery: "fatal", unreachable: true },
  pool_timeout: { recovery: "retry", unreachable: true },
  // encryption
  ssl_connection_failed: { recovery: "fatal", unreachable: true },
  ssl_not_supported: { recovery: "fatal", unreachable: true },
  ssl_connection_required: { recovery: "fatal", unreachable: true },
  // being let in
  invalid_username_or_password: { recovery: "fatal", unreachable: true },
  authorization_failure: { recovery: "fatal", unreachable: true },
  insufficient_privileges: { recovery: "fatal", unreachable: true },
  database_does_not_exist: { recovery: "fatal", unreachable: true },
  branch_does_not_exist: { recovery: "retry", unreachable: true },
  endpoint_not_found: { recovery: "fatal", unreachable: true },
  compute_quota_exceeded: { recovery: "fatal", unreachable: true },
  data_transfer_quota_exceeded: { recovery: "fatal", unreachable: true },
  compute_node_unreachable: { recovery: "retry", unreachable: true },
  pooler_without_replication: { recovery: "fatal", unreachable: true },
  pooler_login_failed: { recovery: "retry", unreachable: true },
  server_connection_crashed: { recovery: "retry", unreachable: true },
  // the server's condition
  database_server_shutting_down: { recovery: "retry", unreachable: true },
  database_server_unavailable: { recovery: "retry", unreachable: true },
  insufficient_resources: { recovery: "retry", unreachable: true },
  disk_full: { recovery: "retry" },
  read_only: { recovery: "retry" },
  // replication
  wal_level_is_not_logical: { recovery: "fatal" },
  replication_slot_in_use: { recovery: "retry" },
  duplicate_slot_file: { recovery: "retry" },
  missing_publication: { recovery: "retry" },
  database_slot_exceeded_max_size: { recovery: "recreateSlot" },
  database_slot_invalidated: { recovery: "recreateSlot" },
  exceeded_max_tx_size: { recovery: "recreateSlot" },
  replica_not_full: { recovery: "recreateSlot" },
  change_not_given: { recovery: "recreateSlot" },
  another_history: { recovery: "recreateSlot" },
  config_error: { recovery: "fatal" },
  // one statement
  query_canceled: { recovery: "retry" },
  gave_way: { recovery: "retry" },
  statement_timeout: { recovery: "retry" },
  lock_timeout: { recovery: "retry" },
  transaction_conflict: { recovery: "retry" },
  permission_denied: { recovery: "retry" },
  undefined_object: { recovery: "retry" },
  data_exception: { recovery: "retry" },
  syntax_error: { recovery: "fatal" },
  unknown: { recovery: "retry" }
} as const satisfies Record<string, KindFacts>

export type PgErrorKind = keyof typeof kindFacts

export const pgErrorKinds = Object.keys(kindFacts) as ReadonlyArray<PgErrorKind>

/**
 * A failure of anything that talks to Postgres, told apart by `kind`. `message` is for operators: what happened, whether
 * it heals by itself, what to do. Holds plain text only; connection secrets are never part of it.
 */
export class PgError extends Schema.TaggedError<PgError>()("PgError", {
  kind: Schema.Literals(pgErrorKinds),
  message: Schema.String,
  /** SQLSTATE, or the system's code such as `ECONNREFUSED`. */
  code: Schema.UndefinedOr(Schema.String),
  /** What the server said, in its words. */
  serverMessage: Schema.UndefinedOr(Schema.String),
  serverDetail: Schema.UndefinedOr(Schema.String),
  /** Function of the server's source that raised the error. */
  routine: Schema.UndefinedOr(Schema.String),
  /** Who was connected, where that is known. */
  role: Schema.optionalKey(Schema.String)
}) {
  get recovery(): Recovery {
    return kindFacts[this.kind].recovery
  }
  /** The database could not be reached or used at all; another request would fail as well. */
  get unreachable(): boolean {
    const facts: KindFacts = kindFacts[this.kind]
    return facts.unreachable === true
  }
}

/** A failure that our own code notices, with nothing from the server to go with it. */
export const ownPgError = (kind: PgErrorKind, message: string, code?: string): PgError =>
  new PgError({
    kind,
    message,
    code,
    serverMessage: undefined,
    serverDetail: undefined,
    routine: undefined
  })
