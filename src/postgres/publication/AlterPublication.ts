import { Effect } from "effect"
import { quoteIdentifier, quoteTable, type TableName } from "../Identifiers.ts"
import type { PgError } from "../errors/PgError.ts"
import { fromPgError, PublicationError, tableChanged } from "./PublicationError.ts"
import { requiredOperations } from "./PublicationState.ts"
import type { Queryable, SessionPool, TransactionOptions } from "../connection/SessionPool.ts"

/** A table that is altered by name and has to be the one with this OID. */
interface NamedTable extends TableName {
  readonly oid: number
}

export interface AlterTarget {
  readonly pool: SessionPool
  readonly publicationName: string
  readonly lockTimeoutMillis: number
}

/** The bound on the statement lies above that on the lock, so that it only ends what hangs elsewhere. */
export const alterLimits = (lockTimeoutMillis: number): TransactionOptions => ({
  settings: {
    lock_timeout: String(lockTimeoutMillis),
    statement_timeout: String(lockTimeoutMillis + 500)
  }
})

/** Tries again what lost against another session: a deadlock, or the same row of the catalogue. */
const conflictRetries = 2

/** One transaction on one table. What fails is an answer for the clients that wait for that table. */
const alter = (
  { pool, lockTimeoutMillis }: AlterTarget,
  table: NamedTable,
  statements: ReadonlyArray<string>,
  /** True when the table with this OID is what it should be now; otherwise somebody else has its name. */
  check: { readonly sql: string; readonly params: ReadonlyArray<unknown> }
): Effect.Effect<void, PublicationError> =>
  pool
    .transaction(
      (tx) =>
        Effect.gen(function* () {
          for (const statement of statements) yield* tx.query(statement)
          const rows = yield* tx.query(check.sql, check.params)
          if (rows.length === 0) return yield* tableChanged(table)
        }),
      alterLimits(lockTimeoutMillis)
    )
    .pipe(
      Effect.retry({
        times: conflictRetries,
        while: (error) => error._tag === "PgError" && error.kind === "transaction_conflict"
      }),
      Effect.catchTag("PgError", (error) => Effect.fail(fromPgError(table, error)))
    )

export const replicaIdentityFull = (table: TableName): string =>
  `ALTER TABLE ONLY ${quoteTable(table)} REPLICA IDENTITY FULL`

export const setIdentityFull = (
  target: AlterTarget,
  table: NamedTable
): Effect.Effect<void, PublicationError> =>
  alter(target, table, [replicaIdentityFull(table)], {
    sql: "SELECT 1 FROM pg_class WHERE oid = $1::oid AND oid = to_regclass($2) AND relreplident = 'f'",
    params: [table.oid, quoteTable(table)]
  })

/** What a replica identity can be beside FULL. */
export type PlainIdentity = "DEFAULT" | { readonly index: string }

/** Takes FULL back. Postgres refuses to make it an index that is not fit for it any more; then it becomes the default. */
export const restoreIdentity = (
  target: AlterTarget,
  table: NamedTable,
  identity: PlainIdentity
): Effect.Effect<void, PublicationError> => {
  const clause = identity === "DEFAULT" ? identity : `USING INDEX ${quoteIdentifier(identity.index)}`
  const done = alter(target, table, [`ALTER TABLE ONLY ${quoteTable(table)} REPLICA IDENTITY ${clause}`], {
    sql: "SELECT 1 FROM pg_class WHERE oid = $1::oid AND oid = to_regclass($2)",
    params: [table.oid, quoteTable(table)]
  })
  return identity === "DEFAULT"
    ? done
    : Effect.catchIf(
        done,
        ({ reason }) => reason === "database" || reason === "tableChanged",
        () => restoreIdentity(target, table, "DEFAULT")
      )
}

const membership = (publicationName: string, table: NamedTable) => ({
  sql: `SELECT 1 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE p.pubname = $1 AND r.prrelid = $2::oid AND r.prrelid = to_regclass($3)`,
  params: [publicationName, table.oid, quoteTable(table)]
})

/**
 * Servers on which the stream may lose every change of a table from its ADD TABLE on, if a transaction was just
 * writing to it (seen on 14.17 and 17.4, and not on 14.18 and 17.5; release notes of May 2025).
 */
export const losesChangesOfAddedTables = (serverVersionNum: number): boolean => {
  const major = Math.floor(serverVersionNum / 10000)
  const minor = serverVersionNum % 10000
  const repairedIn = new Map([
    [14, 18],
    [15, 13],
    [16, 9],
    [17, 5]
  ])
  return minor < (repairedIn.get(major) ?? (major < 14 ? Infinity : 0))
}

/** What a table is locked with before it is added: where the server needs it, in a way that keeps writers out, of partitions too. */
export const addingLock = (
  serverVersionNum: number
): { readonly mode: string; readonly keepsWritersOut: boolean } => {
  const keepsWritersOut = losesChangesOfAddedTables(serverVersionNum)
  return { mode: keepsWritersOut ? "SHARE ROW EXCLUSIVE" : "SHARE UPDATE EXCLUSIVE", keepsWritersOut }
}

/**
 * Adds the table, without those that inherit from it; partitions are published with their root anyhow. The table is
 * locked before the publication: a wait for it holds up no other table.
 */
export const addToPublication = (
  target: AlterTarget,
  table: NamedTable,
  serverVersionNum: number
): Effect.Effect<void, PublicationError> => {
  const { keepsWritersOut, mode } = addingLock(serverVersionNum)
  return alter(
    target,
    table,
    [
      `LOCK TABLE ${keepsWritersOut ? "" : "ONLY "}${quoteTable(table)} IN ${mode} MODE`,
      `ALTER PUBLICATION ${quoteIdentifier(target.publicationName)} ADD TABLE ONLY ${quoteTable(table)}`
    ],
    membership(target.publicationName, table)
  )
}

export const dropFromPublication = (
  target: AlterTarget,
  table: NamedTable
): Effect.Effect<void, PublicationError> =>
  alter(
    target,
    table,
    [`ALTER PUBLICATION ${quoteIdentifier(target.publicationName)} DROP TABLE ONLY ${quoteTable(table)}`],
    { sql: "SELECT 1", params: [] }
  )

/** Generated columns have been replicated since Postgres 18, if the publication says so. */
const generatedColumnsSince = 180000

/** Fails with `undefined_object`-like server errors as they are; the caller knows what an existing one means. */
export const createPublication = (
  database: Queryable,
  publicationName: string,
  serverVersionNum: number
): Effect.Effect<unknown, PgError> =>
  database.query(
    `CREATE PUBLICATION ${quoteIdentifier(publicationName)}` +
      (serverVersionNum >= generatedColumnsSince ? " WITH (publish_generated_columns = stored)" : "")
  )

/** Makes the publication carry all operations, and stored generated columns where the server can. */
export const completePublication = (
  database: Queryable,
  publicationName: string,
  serverVersionNum: number
): Effect.Effect<unknown, PgError> =>
  database.query(
    `ALTER PUBLICATION ${quoteIdentifier(publicationName)} SET (publish = '${requiredOperations.join(", ")}'` +
      (serverVersionNum >= generatedColumnsSince ? ", publish_generated_columns = stored)" : ")")
  )
