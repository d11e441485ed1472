import { assert, describe, it } from "@effect/vitest"
import { AuthenticationError, ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import { classifyPgError } from "../../src/postgres/errors/ClassifyPgError.ts"
import { type PgErrorKind, pgErrorKinds, PgError, ownPgError } from "../../src/postgres/errors/PgError.ts"
import { explain } from "../../src/postgres/errors/ExplainPgError.ts"

/** An error as the server reports it, the way both libraries hand it on. */
const server = (code: string, message: string, more: { detail?: string; routine?: string } = {}) =>
  Object.assign(new Error(message), { code, severity: "FATAL", ...more })
const system = (code: string, message = code) => Object.assign(new Error(message), { code })

const R = "retry"
const F = "fatal"
const D = "recreateSlot"

type Row = readonly [PgErrorKind, typeof R | typeof F | typeof D, unknown]

const rows: ReadonlyArray<Row> = [
  // this side of the connection
  ["connection_refused", R, system("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:5432")],
  [
    "connection_refused",
    R,
    Object.assign(new AggregateError([system("ECONNREFUSED")], ""), { code: "ECONNREFUSED" })
  ],
  ["connection_refused", R, new AggregateError([system("ECONNREFUSED")], "")],
  ["connection_refused", R, system("ENOENT", "connect ENOENT /tmp/.s.PGSQL.5432")],
  ["connection_timeout", R, system("ETIMEDOUT")],
  ["connection_timeout", R, new Error("timeout expired")],
  ["connection_timeout", R, new Error("Connection timed out")],
  ["connection_closed", R, system("ECONNRESET", "read ECONNRESET")],
  ["connection_closed", R, system("EPIPE", "write EPIPE")],
  ["connection_closed", R, new Error("Connection terminated unexpectedly")],
  ["connection_closed", R, new Error("Connection terminated")],
  ["connection_closed", R, new Error("Connection closed")],
  ["connection_closed", R, system("ERR_STREAM_WRITE_AFTER_END", "write after end")],
  [
    "connection_closed",
    R,
    system("ECONNRESET", "Client network socket disconnected before secure TLS connection was established")
  ],
  ["host_unreachable", R, system("EHOSTUNREACH")],
  ["host_unreachable", R, system("ENETUNREACH")],
  ["nxdomain", F, system("ENOTFOUND", "getaddrinfo ENOTFOUND db.example")],
  ["name_resolution_failed", R, system("EAI_AGAIN")],
  ["ssl_connection_failed", F, system("DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate")],
  ["ssl_connection_failed", F, system("SELF_SIGNED_CERT_IN_CHAIN")],
  ["ssl_connection_failed", F, system("UNABLE_TO_VERIFY_LEAF_SIGNATURE")],
  ["ssl_connection_failed", F, system("CERT_HAS_EXPIRED")],
  ["ssl_connection_failed", F, system("ERR_TLS_CERT_ALTNAME_INVALID", "Hostname/IP does not match")],
  ["ssl_connection_failed", F, system("CA_FILE_UNREADABLE")],
  ["ssl_not_supported", F, system("TLS_REFUSED")],
  [
    "invalid_username_or_password",
    F,
    new Error("SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string")
  ],
  ["invalid_username_or_password", F, new Error("The server requested password authentication")],
  ["unknown", R, new Error("something else")],
  ["unknown", R, "just a text"],
  ["unknown", R, undefined],
  // the server
  ["connection_failure", R, server("08006", "connection failure")],
  ["pooler_without_replication", F, server("08P01", "unsupported startup parameter: replication")],
  ["server_connection_crashed", R, server("08P01", "server conn crashed?")],
  ["unknown", R, server("08P01", "unsupported startup parameter: x")],
  ["insufficient_privileges", F, server("42501", "must be superuser or replication role to start walsender")],
  [
    "insufficient_privileges",
    F,
    server("42501", "permission denied to start WAL sender", {
      detail: "Only roles with the REPLICATION attribute may start a WAL sender process."
    })
  ],
  [
    "insufficient_privileges",
    F,
    server("42501", "permission denied to use replication slots", {
      detail: "Only roles with the REPLICATION attribute may use replication slots."
    })
  ],
  ["permission_denied", R, server("42501", "permission denied for table items")],
  ["permission_denied", R, server("42501", "must be owner of table items")],
  ["invalid_username_or_password", F, server("28P01", 'password authentication failed for user "a"')],
  ["invalid_username_or_password", F, server("XX000", "password authentication failed for user 'a'")],
  ["branch_does_not_exist", R, server("28000", "branch main is not available")],
  [
    "ssl_connection_required",
    F,
    server("28000", 'no pg_hba.conf entry for host "1.2.3.4", user "a", database "b", no encryption')
  ],
  ["ssl_connection_required", F, server("28000", 'no pg_hba.conf entry for host "::1", user "a", SSL off')],
  [
    "authorization_failure",
    F,
    server(
      "28000",
      'no pg_hba.conf entry for replication connection from host "1.2.3.4", user "a", SSL encryption'
    )
  ],
  ["unknown", R, server("28000", 'pg_hba.conf rejects connection for host "1.2.3.4"')],
  ["database_does_not_exist", F, server("3D000", 'database "x" does not exist')],
  ["database_does_not_exist", F, server("XX000", 'database "x" does not exist')],
  [
    "database_server_shutting_down",
    R,
    server("57P01", "terminating connection due to administrator command")
  ],
  ["database_server_shutting_down", R, server("57P02", "terminating connection because of crash")],
  ["database_server_unavailable", R, server("57P03", "the database system is starting up")],
  ["insufficient_resources", R, server("53300", "sorry, too many clients already")],
  ["insufficient_resources", R, server("XX000", "remaining connection slots are reserved for superusers")],
  ["insufficient_resources", R, server("53200", "out of memory")],
  ["disk_full", R, server("53100", "could not extend file: No space left on device")],
  ["read_only", R, server("25006", "cannot execute CREATE PUBLICATION in a read-only transaction")],
  ["query_canceled", R, server("57014", "canceling statement due to user request")],
  ["statement_timeout", R, server("57014", "canceling statement due to statement timeout")],
  ["lock_timeout", R, server("55P03", "canceling statement due to lock timeout")],
  ["transaction_conflict", R, server("40P01", "deadlock detected")],
  ["transaction_conflict", R, server("40001", "could not serialize access")],
  ["missing_publication", R, server("42704", 'publication "p" does not exist')],
  ["undefined_object", R, server("42704", 'type "mood" does not exist')],
  ["undefined_object", R, server("42P01", 'relation "t" does not exist')],
  ["undefined_object", R, server("42703", 'column "c" does not exist')],
  ["undefined_object", R, server("42883", "function f() does not exist")],
  ["syntax_error", F, server("42601", 'syntax error at or near "x"')],
  ["wal_level_is_not_logical", F, server("55000", "logical decoding requires wal_level >= logical")],
  ["wal_level_is_not_logical", F, server("55000", 'logical decoding requires "wal_level" >= "logical"')],
  [
    "database_slot_exceeded_max_size",
    D,
    server("55000", 'cannot read from logical replication slot "s"', {
      detail: "This slot has been invalidated because it exceeded the maximum reserved size."
    })
  ],
  [
    "database_slot_invalidated",
    D,
    server("55000", 'can no longer access replication slot "s"', {
      detail: 'This replication slot has been invalidated due to "wal_removed".'
    })
  ],
  [
    "database_slot_invalidated",
    D,
    server("55000", 'can no longer get changes from replication slot "s"', {
      detail: "This slot has been invalidated because it was conflicting with recovery."
    })
  ],
  ["unknown", R, server("55000", 'cannot update table "t" because it does not have a replica identity')],
  ["replication_slot_in_use", R, server("55006", 'replication slot "s" is active for PID 1')],
  ["unknown", R, server("55006", 'database "x" is being accessed by other users')],
  [
    "duplicate_slot_file",
    R,
    server("58P02", "could not create file: File exists", { routine: "SaveSlotToPath" })
  ],
  ["endpoint_not_found", F, server("XX000", "The requested endpoint could not be found")],
  ["endpoint_not_found", F, server("XX000", "Your account has restrictions: planLimitReached.")],
  ["compute_quota_exceeded", F, server("XX000", "Your project has exceeded the compute time quota.")],
  ["data_transfer_quota_exceeded", F, server("XX000", "Your project has exceeded the data transfer quota.")],
  ["compute_node_unreachable", R, server("XX000", "Couldn't connect to compute node")],
  ["pooler_login_failed", R, server("XX000", "server login has been failing, try again later")],
  ["unknown", R, server("XX000", "could not open relation with OID 1")],
  ["data_exception", R, server("22012", "division by zero")],
  ["data_exception", R, server("22P02", 'invalid input syntax for type integer: "x"')],
  ["unknown", R, server("P0001", "raised by a function")]
]

describe("a failure of Postgres", () => {
  it.each(rows)("is %s (%s): %s", (kind, recovery, error) => {
    const classified = classifyPgError(error)
    assert.deepStrictEqual([classified.kind, classified.recovery], [kind, recovery])
  })

  it.each(rows)("is the same inside the error of the SQL library: %s (%s)", (kind, _, error) => {
    const wrapped = new SqlError({
      reason: new UnknownError({ cause: error, message: "Query failed", operation: "query" })
    })
    if (error instanceof Error) assert.strictEqual(classifyPgError(wrapped).kind, kind)
    assert.strictEqual(classifyPgError(new Error("outer", { cause: error })).kind, kind)
  })

  it("is taken over when it is classified already", () => {
    const error = ownPgError("pool_timeout", "x")
    assert.strictEqual(classifyPgError(error), error)
  })

  it("keeps what the server said apart from our explanation", () => {
    const error = classifyPgError(
      server("42501", "permission denied for table items", { detail: "d", routine: "aclcheck_error" })
    )
    assert.deepStrictEqual(
      [error.code, error.serverMessage, error.serverDetail, error.routine],
      ["42501", "permission denied for table items", "d", "aclcheck_error"]
    )
    assert.include(error.message, "permission denied for table items (d) [42501]")
    assert.isUndefined(classifyPgError(system("ECONNREFUSED")).serverMessage)
  })

  it("names the database it is about", () => {
    const refused = classifyPgError(system("ECONNREFUSED"), { host: "::1", port: 5433 })
    assert.include(refused.message, "Connection refused while trying to connect to [::1]:5433.")
  })

  it("that is a lack of a password is told from a wrong one by nobody", () => {
    const error = new SqlError({
      reason: new AuthenticationError({
        cause: new Error("The server requested password authentication"),
        message: "No password configured",
        operation: "connect"
      })
    })
    assert.strictEqual(classifyPgError(error).kind, "invalid_username_or_password")
  })

  it("is unreachable or not", () => {
    const closed = new SqlError({
      reason: new ConnectionError({ cause: new Error("Connection closed"), message: "x", operation: "query" })
    })
    assert.isTrue(classifyPgError(closed).unreachable)
    assert.isFalse(classifyPgError(server("42P01", "relation does not exist")).unreachable)
  })

  it("ends in a cycle of causes without going round for ever", () => {
    const error = new Error("a")
    error.cause = error
    assert.strictEqual(classifyPgError(error).kind, "unknown")
  })

  it.each(pgErrorKinds)("%s is explained: what, whether it heals, what to do", (kind) => {
    const said = { code: "12345", message: "The server's words", detail: undefined, fromServer: true }
    const message = explain(kind, said, { host: "db", port: 5432, database: "d" })
    assert.match(message, /^[A-Z].*\. [A-Z].*\.$/)
    assert.match(
      message,
      /tried again|does not heal|It heals|fetched again|compared with the database|created again|next request|Raise|happens/
    )
  })

  it("tells nothing that is secret", () => {
    const message = JSON.stringify(
      new PgError(
        classifyPgError(
          Object.assign(server("28P01", "no"), { password: "hunter2", connectionString: "hunter2" })
        )
      )
    )
    assert.notInclude(message, "hunter2")
  })
})
