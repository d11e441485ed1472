import { Schema } from "effect"
import { type PgError } from "../errors/PgError.ts"
import type { TableName } from "../Identifiers.ts"
import { privilegeAdvice } from "../errors/PrivilegeAdvice.ts"

const reasons = [
  /** The table could not be locked in time to change it. Heals when the transaction that holds it is done. */
  "lockTimeout",
  /** A transaction that was writing to the table when it was published is still open. Heals when it ends. */
  "openTransaction",
  /** The table is not in the publication and may not be added. An operator adds it. */
  "notPublished",
  /** REPLICA IDENTITY is not FULL and may not be set. An operator sets it. */
  "identityNotFull",
  /** The publication leaves rows or columns of the table out. An operator removes row filter and column list. */
  "filtered",
  /** Changes of the partition are published under the name of the partitioned table. An operator changes that. */
  "publishedAsRoot",
  /** The shape has generated columns, which the publication does not carry. An operator changes that. */
  "generatedColumns",
  /** Postgres would refuse writes to the table: because of a virtual column, which only another definition changes. */
  "virtualColumn",
  /** The same because of what another publication says of the table. An operator changes that. */
  "writesRefused",
  /** The table, or a partition of it, is not in the WAL. Only another definition changes that. */
  "unlogged",
  /** A partition is a foreign table. */
  "foreignPartition",
  /** The publication is gone, or does not carry all operations. */
  "publication",
  /** The role lacks a privilege on the table. */
  "permission",
  /** The table was dropped, renamed or replaced since it was looked up. The next request looks again. */
  "tableChanged",
  /** The database could not be asked, or refused for another reason. */
  "database"
] as const

/**
 * Why changes of a table cannot be had. `kind` is what a request is told: `schemaChanged` to fetch anew, `unavailable` to
 * come back later, `refused` not to, as long as the table is what it is. `message` is the text for the client as well as for the operator.
 */
export class PublicationError extends Schema.TaggedError<PublicationError>()("PublicationError", {
  kind: Schema.Literals(["unavailable", "schemaChanged", "refused"]),
  reason: Schema.Literals(reasons),
  message: Schema.String,
  /** For the log only: SQL that names roles, or whom to ask. */
  advice: Schema.optionalKey(Schema.String)
}) {}

export type PublicationErrorReason = PublicationError["reason"]

const kindOf = (reason: PublicationErrorReason): PublicationError["kind"] => {
  if (reason === "tableChanged") return "schemaChanged"
  return reason === "virtualColumn" || reason === "unlogged" || reason === "foreignPartition"
    ? "refused"
    : "unavailable"
}

export const publicationError = (
  reason: PublicationErrorReason,
  message: string,
  advice?: string
): PublicationError =>
  new PublicationError({ kind: kindOf(reason), reason, message, ...(advice === undefined ? {} : { advice }) })

/** The table as messages write it. */
export const shown = ({ schema, name }: TableName): string => `${schema}.${name}`

const lockTimedOut = (): PublicationError =>
  publicationError(
    "lockTimeout",
    "Snapshot timed out while waiting for a table lock",
    "It heals when the transaction that holds a lock on the table ends: SELECT * FROM pg_stat_activity WHERE xact_start < now() - interval '5 s'"
  )

export const tableChanged = (table: TableName): PublicationError =>
  publicationError("tableChanged", `Database table "${shown(table)}" was changed or dropped meanwhile`)

/** What a failed statement on a table means for the clients that wait for that table. */
export const fromPgError = (table: TableName, error: PgError): PublicationError => {
  const words =
    error.serverMessage === undefined
      ? error.message
      : error.serverDetail === undefined
        ? error.serverMessage
        : `${error.serverMessage} (${error.serverDetail})`
  switch (error.kind) {
    case "lock_timeout":
    case "statement_timeout":
      return lockTimedOut()
    case "permission_denied":
      return new PublicationError({
        kind: "unavailable",
        reason: "permission",
        message: `Unable to create initial snapshot: ${words}`,
        advice: privilegeAdvice({
          said: error.serverMessage ?? "",
          role: error.role ?? "…",
          table
        })
      })
    case "undefined_object":
      return tableChanged(table)
    default:
      return publicationError("database", words)
  }
}
