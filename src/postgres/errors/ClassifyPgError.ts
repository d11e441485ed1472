import { explain, type ErrorSubject } from "./ExplainPgError.ts"
import { ownPgError, PgError, type PgErrorKind } from "./PgError.ts"

/** What can be known of a failure, whichever library raised it. */
interface Facts {
  /** SQLSTATE or system error code. */
  readonly code: string | undefined
  readonly message: string
  readonly detail: string | undefined
  readonly routine: string | undefined
  /** Raised by the server, as opposed to this side of the connection. */
  readonly fromServer: boolean
}

/**
 * Names any failure of a Postgres connection or statement: an error of `pg`, of `@effect/sql-pg` (whose reason is looked
 * into), of the socket or of TLS. Total. Decides by SQLSTATE or system code; by text only where one code stands for
 * several situations, and in favour of retrying when the text is not recognised, since servers translate their texts.
 * `subject` names the database in messages.
 */
export const classifyPgError = (error: unknown, subject: ErrorSubject = {}): PgError => {
  if (error instanceof PgError) return error
  const facts = factsOf(error)
  const kind = facts.fromServer ? kindOfServerError(facts) : kindOfLocalError(facts)
  return new PgError({
    kind,
    message: explain(kind, facts, subject),
    code: facts.code,
    serverMessage: facts.fromServer ? facts.message : undefined,
    serverDetail: facts.fromServer ? facts.detail : undefined,
    routine: facts.routine,
    ...(subject.role === undefined ? {} : { role: subject.role })
  })
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined

const sqlState = /^[0-9A-Z]{5}$/

/** Follows `reason` and `cause` (and the first of several connection attempts) down to the failure with a code. */
const factsOf = (error: unknown, depth = 0): Facts => {
  if (typeof error !== "object" || error === null) {
    return {
      code: undefined,
      message: String(error),
      detail: undefined,
      routine: undefined,
      fromServer: false
    }
  }
  const fields = error as Readonly<Record<string, unknown>>
  const code = text(fields["code"])
  // System codes may have five capitals as well (EPIPE); only the server sends a severity.
  const fromServer = code !== undefined && sqlState.test(code) && text(fields["severity"]) !== undefined
  const own: Facts = {
    code,
    message: text(fields["message"]) ?? String(error),
    detail: text(fields["detail"]),
    routine: text(fields["routine"]),
    fromServer
  }
  if (fromServer || depth > 4) return own
  const attempts = Array.isArray(fields["errors"]) ? (fields["errors"] as ReadonlyArray<unknown>) : []
  for (const inner of [fields["reason"], fields["cause"], attempts[0]]) {
    if (typeof inner !== "object" || inner === null) continue
    const found = factsOf(inner, depth + 1)
    if (found.fromServer || code === undefined) return found
  }
  return own
}

/** Source: PostgreSQL documentation, "PostgreSQL Error Codes". */
const kindOfServerError = (facts: Facts): PgErrorKind => {
  const { message, detail = "" } = facts
  switch (facts.code) {
    case "08006":
      return "connection_failure"
    case "08P01":
      if (/unsupported startup parameter: replication/.test(message)) return "pooler_without_replication"
      return message.includes("server conn crashed") ? "server_connection_crashed" : "unknown"
    case "25006":
      return "read_only"
    case "25P03":
    case "57P05":
      return "connection_closed"
    case "28P01":
      return "invalid_username_or_password"
    case "28000":
      if (/^branch /i.test(message)) return "branch_does_not_exist"
      if (!message.includes("no pg_hba.conf entry")) return "unknown"
      return /no encryption|SSL off/.test(message) ? "ssl_connection_required" : "authorization_failure"
    case "3D000":
      return "database_does_not_exist"
    case "40001":
    case "40P01":
      return "transaction_conflict"
    case "42501":
      return /REPLICATION attribute/.test(detail) || /replication role|WAL sender|walsender/i.test(message)
        ? "insufficient_privileges"
        : "permission_denied"
    case "42601":
      return "syntax_error"
    case "42704":
      return message.includes("publication") ? "missing_publication" : "undefined_object"
    case "42P01":
    case "42703":
    case "42883":
    case "3F000":
      return "undefined_object"
    case "53100":
      return "disk_full"
    case "53200":
    case "53300":
    case "53400":
      return "insufficient_resources"
    case "55000":
      if (/wal_level"? >= "?logical/.test(message)) return "wal_level_is_not_logical"
      if (detail.includes("exceeded the maximum reserved size")) return "database_slot_exceeded_max_size"
      if (/can no longer (access|get changes from) replication slot/.test(message)) {
        return "database_slot_invalidated"
      }
      return /slot has been invalidated/.test(detail) ? "database_slot_invalidated" : "unknown"
    case "55006":
      return message.includes("replication slot") ? "replication_slot_in_use" : "unknown"
    case "55P03":
      return "lock_timeout"
    case "57014":
      return message.includes("statement timeout") ? "statement_timeout" : "query_canceled"
    case "57P01":
    case "57P02":
      return "database_server_shutting_down"
    case "57P03":
      return "database_server_unavailable"
    case "57P04":
      return "database_does_not_exist"
    case "58P02":
      return facts.routine === "SaveSlotToPath" || /slot/i.test(message) ? "duplicate_slot_file" : "unknown"
    case "XX000":
      return kindOfPoolerError(message)
    default:
      // Class 22, "Data Exception": division by zero, a text that is no number, and so on.
      return facts.code?.startsWith("22") === true ? "data_exception" : "unknown"
  }
}

/** Poolers and hosted databases put everything under XX000; only their texts tell it apart. */
const kindOfPoolerError = (message: string): PgErrorKind => {
  if (/tuple concurrently (updated|deleted)/.test(message)) return "transaction_conflict"
  if (message.includes("password authentication failed for user")) return "invalid_username_or_password"
  if (/remaining connection slots/.test(message)) return "insufficient_resources"
  if (/database ".*" does not exist/.test(message)) return "database_does_not_exist"
  if (/endpoint (could not be found|not found)|Tenant or user not found/i.test(message))
    return "endpoint_not_found"
  if (/account has restrictions/.test(message)) return "endpoint_not_found"
  if (/compute time quota/.test(message)) return "compute_quota_exceeded"
  if (/data transfer quota/.test(message)) return "data_transfer_quota_exceeded"
  if (/couldn't connect to compute node/i.test(message)) return "compute_node_unreachable"
  if (/server login (has been )?failing/.test(message)) return "pooler_login_failed"
  return "unknown"
}

/** Verification of the server's certificate, as Node names what is wrong with it. */
const certificateCode =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|ERR_TLS_CERT_|ERR_OSSL_|ERR_SSL_.*(CERTIFICATE|UNKNOWN_CA)|CA_FILE)/

const kindOfLocalError = ({ code = "", message }: Facts): PgErrorKind => {
  switch (code) {
    case "ECONNREFUSED":
    case "ENOENT": // the socket file of a server that is not running
      return "connection_refused"
    case "ETIMEDOUT":
    case "ERR_SOCKET_CONNECTION_TIMEOUT":
      return "connection_timeout"
    case "ECONNRESET":
    case "EPIPE":
    case "ERR_STREAM_DESTROYED":
    case "ERR_STREAM_PREMATURE_CLOSE":
    case "ERR_STREAM_WRITE_AFTER_END":
      return "connection_closed"
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EHOSTDOWN":
    case "ENETDOWN":
    case "EADDRNOTAVAIL":
      return "host_unreachable"
    case "ENOTFOUND":
      return "nxdomain"
    case "EAI_AGAIN":
    case "EAI_FAIL":
      return "name_resolution_failed"
    case "TLS_REFUSED":
      return "ssl_not_supported"
    default:
  }
  if (certificateCode.test(code)) return "ssl_connection_failed"
  if (message === "Connection timed out" || message === "timeout expired") return "connection_timeout"
  if (/requested password authentication|password must be a /.test(message)) {
    return "invalid_username_or_password"
  }
  return /^Connection (closed|terminated|is closed)|disconnected before secure TLS/.test(message)
    ? "connection_closed"
    : "unknown"
}

/** A failure that our own code notices: `what` happened, with the kind's explanation added. */
export const explainedPgError = (kind: PgErrorKind, what: string, subject: ErrorSubject = {}): PgError =>
  ownPgError(
    kind,
    explain(kind, { code: undefined, message: what, detail: undefined, fromServer: false }, subject)
  )
