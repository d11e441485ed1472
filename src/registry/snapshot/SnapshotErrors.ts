import type { PgError, PgErrorKind } from "../../postgres/errors/PgError.ts"
import type { TableName } from "../../postgres/Identifiers.ts"
import { privilegeAdvice } from "../../postgres/errors/PrivilegeAdvice.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { SnapshotFailed } from "../ShapeRegistry.ts"

/** Conditions of the server, besides being unreachable, that pass by themselves. */
const passing: ReadonlySet<PgErrorKind> = new Set<PgErrorKind>([
  "query_canceled",
  "gave_way",
  "disk_full",
  "read_only",
  "transaction_conflict"
])

const fail = (kind: SnapshotFailed["kind"], message: string) => new SnapshotFailed({ kind, message })

/** What clients are told when there is nothing from the server that they could be told. */
export const notAvailable = "Database connection not available"

/** The database cannot be used now; another attempt may succeed. */
export const isPassing = (error: PgError): boolean => error.unreachable || passing.has(error.kind)

/** The table, or something that the query takes from it, is not there, or not as the catalogue said. */
export const isOutdated = (error: PgError): boolean =>
  error.kind === "undefined_object" || lookupFailed.test(error.serverMessage ?? "")

/** What went while the query was being planned or executed has no SQLSTATE of its own. */
const lookupFailed =
  /^(cache lookup failed for|could not open relation with OID|type with OID \d+ does not exist)/

const ofTable = new Set(["42P01", "42703", "3F000"])

/**
 * Postgres does not understand a condition that was made from the catalogue: something in it has gone or become another since.
 * SQLSTATE class 42 without what is about the table, the role, or grammar.
 */
export const isOfCondition = (error: PgError): boolean =>
  error.code?.startsWith("42") === true &&
  !ofTable.has(error.code) &&
  error.code !== "42501" &&
  error.code !== "42601"

export const schemaChanged = (message: string): SnapshotFailed => fail("schemaChanged", message)

/**
 * A query over rows that exist fails by a value only in its condition: data exceptions, what a function of the user's own
 * raises, constraints of domains, limits of the program, and what is not implemented. By SQLSTATE class.
 * Source: PostgreSQL documentation, "PostgreSQL Error Codes".
 */
export const isAboutValues = ({ code = "" }: PgError): boolean => /^(?:0A|22|23|2F|38|39|54|P0)/.test(code)

/**
 * The role may not execute a function: one of the condition, since nothing else in the query calls any. Postgres has one
 * SQLSTATE for all privileges; in another language than English it is taken for one of the table.
 */
export const isDeniedFunction = ({ kind, serverMessage = "" }: PgError): boolean =>
  kind === "permission_denied" && serverMessage.startsWith("permission denied for function ")

/**
 * How a failure of Postgres shows to the clients that wait for a snapshot. Source: HTTP API, failures of snapshots.
 * Stored values can always be printed: with a condition, data exceptions are the condition's.
 */
export const snapshotFailed = (error: PgError, hasCondition: boolean): SnapshotFailed => {
  const said = error.serverMessage
  if (hasCondition && said !== undefined && (isAboutValues(error) || isDeniedFunction(error)))
    return fail("conditionFailed", said)
  if (hasCondition && said !== undefined && isOfCondition(error)) return fail("conditionOutdated", said)
  if (isOutdated(error)) return schemaChanged(said ?? error.message)
  if (error.kind === "permission_denied")
    return fail("unavailable", `Unable to create initial snapshot: ${said ?? error.message}`)
  if (error.kind === "pool_timeout")
    return fail("unavailable", "Snapshot creation failed because of a connection pool queue timeout")
  if (error.kind === "gave_way") return fail("unavailable", error.message)
  // Without words of the server it is our own text, which names hosts: not for clients.
  if (isPassing(error)) return fail("unavailable", said ?? notAvailable)
  return fail("unexpected", said ?? error.message)
}

/** The tables that the rows of a shape are read from, its own first. */
export const tablesRead = ({ table, where }: ShapeDefinition): ReadonlyArray<TableName> => [
  table,
  ...(where?.members ?? []).map((member) => member.table)
]

/** Which of the tables that a query reads Postgres speaks of: it names no schema. */
export const tableIn = (said: string, tables: ReadonlyArray<TableName>): TableName | undefined =>
  tables.find(({ name }) => said.replaceAll('"', "").endsWith(` ${name}`)) ?? tables[0]

/**
 * What the log says of a failure of a query that reads these tables. No snapshot is tried again before a client asks for the shape again, so the texts that
 * promise that are replaced.
 */
export const snapshotReport = (
  error: PgError,
  { kind }: SnapshotFailed,
  tables: ReadonlyArray<TableName>
): string => {
  const { serverMessage: said, serverDetail: detail, code } = error
  if (said !== undefined && kind === "conditionOutdated")
    return (
      `Postgres does not understand its condition: ${said} [${code}]. The catalogue is read anew; if it stays like that, ` +
      "clients that ask for it get a 400 with this reason."
    )
  if (said !== undefined && error.kind === "permission_denied" && error.role !== undefined) {
    return `${said} [${code}]. This does not heal by itself. ${privilegeAdvice({ said, role: error.role, table: tableIn(said, tables) })}`
  }
  if (said === undefined || (error.kind !== "data_exception" && error.kind !== "unknown"))
    return error.message
  const words = `${said}${detail === undefined ? "" : ` (${detail})`} [${code}]`
  return kind === "conditionFailed"
    ? `its condition cannot be evaluated for a row of the table, or not at all: ${words}. Clients that ask for it get a ` +
        "400 with this reason until the row or the condition is another one."
    : `${words}. Clients that ask for it get a 500 with these words, and each of their requests tries it anew. It ` +
        "does not heal by itself unless the cause, in the database, passes."
}

/** The first row took longer than `limitMillis` to come. */
export const snapshotTooSlow = (limitMillis: number): SnapshotFailed =>
  fail(
    "unavailable",
    `Snapshot query took too long to return data (cancelled after ${limitMillis}ms). Please ensure snapshot queries ` +
      "are using an index to avoid taking up all database connections."
  )
