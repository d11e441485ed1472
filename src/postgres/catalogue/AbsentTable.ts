import { Effect } from "effect"
import { couldBeName, shownTable, type TableName } from "../Identifiers.ts"
import type { PgError } from "../errors/PgError.ts"
import type { Queryable } from "../connection/SessionPool.ts"

interface Found {
  readonly kind: string
  readonly temporary: boolean
  readonly system: boolean
  readonly columns: boolean
  readonly unreadable: boolean
}

const query = `SELECT c.relkind::text AS kind, c.relpersistence = 't' AS temporary,
    n.nspname ~ '^pg_' OR n.nspname = 'information_schema' AS system,
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
    getdatabaseencoding() = 'SQL_ASCII' AND EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname::text ~ '[^\\x01-\\x7f]'
    ) AS unreadable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2`

const kinds: Readonly<Record<string, string>> = {
  v: "a view",
  m: "a materialized view",
  f: "a foreign table",
  S: "a sequence",
  i: "an index",
  I: "an index",
  c: "a composite type",
  t: "a TOAST table"
}

/** The catalogue has a name that this server's or the client's encoding cannot hold. */
const cannotBeWritten: ReadonlySet<string | undefined> = new Set(["22P05", "22021"])

/** A name that the database cannot hold is none of its names, and what it cannot tell us is not there for us. */
export const orElseAbsent = <A>(read: Effect.Effect<A, PgError>, absent: A): Effect.Effect<A, PgError> =>
  Effect.catchIf(
    read,
    ({ code }) => cannotBeWritten.has(code),
    () => Effect.succeed(absent)
  )

/**
 * Why there is no table of that name to make shapes of, although there is something of that name: for clients. `undefined`
 * when there is nothing.
 */
export const whyAbsent = (
  database: Queryable,
  name: TableName
): Effect.Effect<string | undefined, PgError> =>
  couldBeName(name.schema) && couldBeName(name.name)
    ? orElseAbsent(
        Effect.map(database.query<Found>(query, [name.schema, name.name]), ([found]) =>
          found === undefined ? undefined : reasonOf(name, found)
        ),
        undefined
      )
    : Effect.succeed(undefined)

const reasonOf = (
  name: TableName,
  { columns, kind, system, temporary, unreadable }: Found
): string | undefined => {
  const others = "only ordinary and partitioned tables have shapes, because Postgres replicates nothing else."
  const what = kinds[kind]
  if (system) return `Table ${shownTable(name)} belongs to the system: ${others}`
  if (what !== undefined) return `Table ${shownTable(name)} is ${what}: ${others}`
  if (temporary) return `Table ${shownTable(name)} is a temporary table: ${others}`
  if (!columns) return `Table ${shownTable(name)} has no columns, so there is nothing to make shapes of.`
  return unreadable
    ? `Table ${shownTable(name)} has columns whose names are not valid UTF-8. Rename them.`
    : undefined
}
