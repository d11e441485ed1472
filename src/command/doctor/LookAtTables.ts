import { Effect } from "effect"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { type PublicationState, readTables } from "../../postgres/publication/PublicationState.ts"
import type { TableRights, TablesFacts } from "./Facts.ts"

/** Of databases with more tables the first ones by name are looked at, those that are published before others. */
const mostTables = 1000

type Row = TableRights & { readonly oid: number }

/** Partitions are looked at with the table above them, unless they are published by their own name. */
const rightsSql = `SELECT coalesce(json_agg(json_build_object(
    'oid', t.oid::int8, 'schema', t.schema, 'name', t.relname,
    'mayRead', has_table_privilege($2, t.oid, 'SELECT'), 'mayUseSchema', has_schema_privilege($2, t.relnamespace, 'USAGE'),
    'isOwner', pg_has_role(t.relowner, 'USAGE'), 'isFiltered', row_security_active(t.oid)
  )), '[]')::text AS json
  FROM (
    SELECT c.oid, c.relname, c.relnamespace, c.relowner, n.nspname AS schema
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_publication p ON p.pubname = $1 LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
    WHERE c.relkind IN ('r', 'p') AND (NOT c.relispartition OR r.oid IS NOT NULL) AND c.relpersistence <> 't'
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY r.oid IS NULL, n.nspname, c.relname LIMIT ${mostTables + 1}
  ) AS t`

/** What the role, and the one that reads rows, may do with the tables of the database, and how the publication has them. */
export const lookAtTables = (
  admin: Queryable,
  publicationName: string,
  publication: PublicationState | undefined,
  reader: string
): Effect.Effect<TablesFacts, PgError> =>
  Effect.gen(function* () {
    const [row] = yield* admin.query<{ readonly json: string }>(rightsSql, [publicationName, reader])
    const all = JSON.parse(row?.json ?? "[]") as ReadonlyArray<Row>
    const rights = all.slice(0, mostTables)
    const oids = rights.map(({ oid }) => oid)
    const states =
      publication === undefined ? [] : yield* readTables(admin, publicationName, publication, oids)
    return { reader, rights, states, areMore: all.length > mostTables }
  })
