import { Data, Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import { quoteIdentifier, quoteLiteral, quoteTable, type TableName } from "../Identifiers.ts"
import type { Queryable } from "../connection/SessionPool.ts"
import { type AlterTarget, alterLimits, addingLock, replicaIdentityFull } from "./AlterPublication.ts"

/** A table that is altered by name and has to be the one with this OID. */
interface NamedTable extends TableName {
  readonly oid: number
}

/**
 * Alters many tables in one transaction: those alone that nobody has locked, because whoever waits while it holds locks on others may
 * wait for somebody who waits for it. Where one of them cannot be altered, halves are tried, so that it takes nobody along. Gives those that
 * were altered; each of the others is for a transaction of its own, which waits for locks and knows what is wrong.
 */
const together = <T extends NamedTable, E>(
  tables: ReadonlyArray<T>,
  alter: (some: ReadonlyArray<T>) => Effect.Effect<boolean, E>
): Effect.Effect<ReadonlyArray<T>, E> =>
  Effect.gen(function* () {
    if (tables.length === 0) return []
    if (yield* alter(tables)) return tables
    if (tables.length === 1) return []
    const middle = Math.ceil(tables.length / 2)
    const first = yield* together(tables.slice(0, middle), alter)
    return [...first, ...(yield* together(tables.slice(middle), alter))]
  })

/** Tables of which somebody has a lock that is in the way: any, one that writers have, or one of those who alter. */
const lockedAmong = (
  database: Queryable,
  tables: ReadonlyArray<NamedTable>,
  modes: "any" | "noWriters" | "noAlterers"
): Effect.Effect<ReadonlySet<number>, PgError> =>
  Effect.map(
    database.query<{ readonly oid: bigint }>(
      `SELECT DISTINCT relation::int8 AS oid FROM pg_locks
       WHERE locktype = 'relation' AND pid IS DISTINCT FROM pg_backend_pid() AND relation = ANY ($1::oid[])
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND ($2 = 'any' OR mode NOT IN ('AccessShareLock', 'RowShareLock')
           AND ($2 = 'noWriters' OR mode <> 'RowExclusiveLock'))`,
      [`{${tables.map(({ oid }) => oid).join(",")}}`, modes],
      "kept"
    ),
    (rows) => new Set(rows.map(({ oid }) => Number(oid)))
  )

const identityOf = (rows: ReadonlyArray<NamedTable>) =>
  [`{${rows.map(({ oid }) => oid).join(",")}}`, JSON.stringify(rows.map(quoteTable))] as const

/** How many of them are still those with these OIDs. */
const stillNamed = `FROM ROWS FROM (unnest($1::oid[]), json_array_elements_text($2::text::json)) AS t(oid, name)
  JOIN pg_class c ON c.oid = t.oid AND c.oid = to_regclass(t.name)`

/** Some of the tables could not be altered: nothing of it was done. */
class NotAll extends Data.TaggedError("NotAll")<{ readonly cause?: PgError }> {}

/** The database cannot be reached, or the publication itself is locked: that is so of each table. */
const concernsAll = ({ code, kind }: PgError): boolean =>
  code === undefined || kind === "lock_timeout" || kind === "statement_timeout"

/** Locks and alters; takes back what it has done unless all of it could be done, and gives false then. */
const allOrNone = (
  { lockTimeoutMillis, pool }: AlterTarget,
  lock: string,
  statement: string,
  check: { readonly sql: string; readonly params: ReadonlyArray<unknown>; readonly rows: number }
): Effect.Effect<boolean, PgError> =>
  pool
    .transaction(
      (tx) =>
        Effect.gen(function* () {
          yield* Effect.mapError(tx.query(lock), (cause) =>
            cause.code === undefined ? cause : new NotAll({ cause })
          )
          yield* Effect.mapError(tx.query(statement), (cause) =>
            concernsAll(cause) ? cause : new NotAll({ cause })
          )
          const found = yield* tx.query(check.sql, check.params, "kept")
          if (found.length !== check.rows) return yield* new NotAll({})
        }),
      alterLimits(lockTimeoutMillis)
    )
    .pipe(
      Effect.as(true),
      Effect.catchTag("NotAll", () => Effect.succeed(false))
    )

/** Sets the replica identity of those to FULL of which that can be done at once, and gives them. */
export const setIdentitiesFull = <T extends NamedTable>(
  target: AlterTarget,
  tables: ReadonlyArray<T>
): Effect.Effect<ReadonlyArray<T>, PgError> =>
  Effect.flatMap(lockedAmong(target.pool, tables, "any"), (locked) =>
    together(
      tables.filter(({ oid }) => !locked.has(oid)),
      (some) =>
        allOrNone(
          target,
          `LOCK TABLE ${listOf(some)} IN ACCESS EXCLUSIVE MODE NOWAIT`,
          // One message for all of them: others wait for these tables meanwhile.
          `DO ${quoteLiteral(`BEGIN ${some.map(replicaIdentityFull).join("; ")}; END`)}`,
          {
            sql: `SELECT 1 ${stillNamed} WHERE c.relreplident = 'f'`,
            params: identityOf(some),
            rows: some.length
          }
        )
    )
  )

/**
 * Adds those to the publication that nobody keeps it from, and gives them. As for a single table, the tables are locked first, and
 * their writers are kept out by no wait for the publication, except where the server needs that they are.
 */
export const addAllToPublication = <T extends NamedTable>(
  target: AlterTarget,
  tables: ReadonlyArray<T>,
  serverVersionNum: number
): Effect.Effect<ReadonlyArray<T>, PgError> => {
  const lock = addingLock(serverVersionNum)
  return Effect.flatMap(
    lockedAmong(target.pool, tables, lock.keepsWritersOut ? "noWriters" : "noAlterers"),
    (locked) =>
      together(
        tables.filter(({ oid }) => !locked.has(oid)),
        (some) =>
          allOrNone(
            target,
            `LOCK TABLE ${lock.keepsWritersOut ? some.map(quoteTable).join(", ") : listOf(some)} IN ${lock.mode} MODE NOWAIT`,
            `ALTER PUBLICATION ${quoteIdentifier(target.publicationName)} ADD TABLE ${listOf(some)}`,
            {
              sql: `SELECT 1 ${stillNamed} WHERE EXISTS (
                SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                WHERE p.pubname = $3 AND r.prrelid = c.oid)`,
              params: [...identityOf(some), target.publicationName],
              rows: some.length
            }
          )
      )
  )
}

const listOf = (tables: ReadonlyArray<TableName>): string =>
  tables.map((table) => `ONLY ${quoteTable(table)}`).join(", ")
