import type { PgError, PgErrorKind } from "../../postgres/PgError.ts"
import { SnapshotFailed } from "../ShapeRegistry.ts"

/** Conditions of the server, besides being unreachable, that pass by themselves. */
const passing: ReadonlySet<PgErrorKind> = new Set<PgErrorKind>([
  "query_canceled",
  "disk_full",
  "read_only",
  "transaction_conflict"
])

const fail = (kind: SnapshotFailed["kind"], message: string) => new SnapshotFailed({ kind, message })

/** What clients are told when there is nothing from the server that they could be told. */
export const notAvailable = "Database connection not available"

/** The database cannot be used now; another attempt may succeed. */
export const isPassing = (error: PgError): boolean => error.unreachable || passing.has(error.kind)

export const schemaChanged = (message: string): SnapshotFailed => fail("schemaChanged", message)

/** Class 22, "Data Exception": division by zero, invalid input for a type, and so on. Source: Postgres docs, error codes. */
const isDataException = (error: PgError): boolean => error.code?.startsWith("22") === true

/**
 * How a failure of Postgres shows to the clients that wait for a snapshot. Source: HTTP API, failures of snapshots.
 * Stored values can always be printed: with a condition, data exceptions are the condition's.
 */
export const snapshotFailed = (error: PgError, hasCondition: boolean): SnapshotFailed => {
  const said = error.serverMessage
  if (hasCondition && said !== undefined && isDataException(error)) return fail("conditionFailed", said)
  if (error.kind === "undefined_object") return schemaChanged(said ?? error.message)
  if (error.kind === "permission_denied")
    return fail("unavailable", `Unable to create initial snapshot: ${said ?? error.message}`)
  if (error.kind === "pool_timeout")
    return fail("unavailable", "Snapshot creation failed because of a connection pool queue timeout")
  // Without words of the server it is our own text, which names hosts: not for clients.
  if (isPassing(error)) return fail("unavailable", said ?? notAvailable)
  return fail("unexpected", said ?? error.message)
}

/** The first row took longer than `limitMillis` to come. */
export const snapshotTooSlow = (limitMillis: number): SnapshotFailed =>
  fail(
    "unavailable",
    `Snapshot query took too long to return data (cancelled after ${limitMillis}ms). Please ensure snapshot queries ` +
      "are using an index to avoid taking up all database connections."
  )
