import { Effect } from "effect"
import { orElseAbsent } from "./AbsentTable.ts"
import { couldBeName, type TableName } from "../Identifiers.ts"
import type { PgError } from "../errors/PgError.ts"
import type { Queryable } from "../connection/SessionPool.ts"
import type { PartitionInfo, TableInfo } from "./TableInfo.ts"

/** `FirstNormalObjectId`: objects below it come with Postgres. Source: `access/transam.h`. */
const firstOwnOid = 16384

/** What a type `t` of the user's own is made of, however deep: labels of enums, fields of composites. */
const contentsOfType = `
        WITH RECURSIVE within AS (
          SELECT t.oid
          UNION
          SELECT deeper.oid FROM within JOIN pg_type w ON w.oid = within.oid
          JOIN LATERAL (
            SELECT w.typelem AS oid UNION ALL SELECT w.typbasetype
            UNION ALL
            SELECT r.rngsubtype FROM pg_range r WHERE w.oid IN (r.rngtypid, r.rngmultitypid)
            UNION ALL
            SELECT f.atttypid FROM pg_attribute f
            WHERE w.typtype = 'c' AND f.attrelid = w.typrelid AND f.attnum > 0 AND NOT f.attisdropped
          ) deeper ON deeper.oid >= ${firstOwnOid}
        )
        SELECT jsonb_object_agg(w.oid::text, CASE w.typtype
          WHEN 'e' THEN (
            SELECT coalesce(jsonb_object_agg(l.oid::text, l.enumlabel), '{}') FROM pg_enum l WHERE l.enumtypid = w.oid
          )
          ELSE (
            SELECT coalesce(jsonb_agg(jsonb_build_array(f.attname, f.atttypid::int8, f.atttypmod) ORDER BY f.attnum), '[]')
            FROM pg_attribute f WHERE f.attrelid = w.typrelid AND f.attnum > 0 AND NOT f.attisdropped
          ) END)
        FROM within JOIN pg_type w ON w.oid = within.oid WHERE w.typtype IN ('c', 'e')`

/** Partitions of a table `c`, at any depth. */
const partitionsBelow = `
    WITH RECURSIVE below AS (
      SELECT c.oid, c.relkind, 0::oid AS parent, false AS attached WHERE c.relkind = 'p'
      UNION ALL
      SELECT child.oid, child.relkind, below.oid, NOT EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = child.oid AND a.attnum > 0
          AND a.xmin::text = rowtype.xmin::text AND a.cmin::text = rowtype.cmin::text
      )
      FROM below JOIN pg_inherits i ON i.inhparent = below.oid
      JOIN pg_class child ON child.oid = i.inhrelid
      JOIN pg_type rowtype ON rowtype.oid = child.reltype
    )
    SELECT coalesce(json_agg(json_build_object(
      'oid', oid::int8, 'parentOid', parent::int8, 'attached', attached, 'isLeaf', relkind = 'r'
    ) ORDER BY oid), '[]')
    FROM below WHERE parent <> 0 AND relkind IN ('r', 'p')`

/**
 * One row of JSON per table. Ordinary and partitioned tables only, and none of the system's or of a session's own: those
 * cannot be replicated. Partition trees are followed in pg_inherits because pg_partition_tree() would wait for locks.
 *
 * ATTACH PARTITION rewrites the catalogue rows of all columns, so a partition was created as one, hence empty, if any of
 * its columns is as old as its row type, to the command; when in doubt it counts as attached. Foreign tables send no
 * changes and do not count as leaves. From version 18 on a NOT NULL constraint may be NOT VALID: rows from before it may
 * have NULLs.
 * Source: PostgreSQL documentation, "System Catalogs".
 */
const describeTables = (condition: string): string => `
SELECT json_build_object(
  'oid', c.oid::int8,
  'schema', n.nspname,
  'name', c.relname,
  'kind', CASE c.relkind WHEN 'p' THEN 'partitioned' ELSE 'table' END,
  'columns', (
    SELECT coalesce(json_agg(json_build_object(
      'name', a.attname,
      'attnum', a.attnum,
      'typeOid', t.oid::int8,
      'typeName', t.typname,
      'typeSchema', tn.nspname,
      'typeModifier', a.atttypmod,
      'dimensions', a.attndims,
      'typeKind', t.typtype,
      'element', CASE WHEN e.typarray = t.oid
        THEN json_build_object('typeOid', e.oid::int8, 'typeName', e.typname) END,
      'baseTypeOid', CASE t.typtype WHEN 'd' THEN b.oid::int8 END,
      'baseTypeName', CASE t.typtype WHEN 'd' THEN quote_ident(bn.nspname) || '.' || quote_ident(b.typname) END,
      'outputFunction', quote_ident(pn.nspname) || '.' || quote_ident(p.proname),
      'collationOid', a.attcollation::int8,
      'contents', CASE WHEN t.oid >= ${firstOwnOid} THEN (${contentsOfType}) END,
      'notNull', a.attnotnull AND NOT EXISTS (
        SELECT FROM pg_constraint k
        WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey[1] = a.attnum AND NOT k.convalidated
      ),
      'generated', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE 'no' END
    ) ORDER BY a.attnum), '[]')
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_namespace tn ON tn.oid = t.typnamespace
    LEFT JOIN pg_type e ON e.oid = t.typelem
    JOIN LATERAL (
      WITH RECURSIVE chain AS (
        SELECT t.oid, t.typtype, t.typbasetype
        UNION ALL
        SELECT under.oid, under.typtype, under.typbasetype
        FROM chain JOIN pg_type under ON under.oid = chain.typbasetype
        WHERE chain.typtype = 'd'
      )
      SELECT oid FROM chain WHERE typtype <> 'd'
    ) bottom ON true
    JOIN pg_type b ON b.oid = bottom.oid
    JOIN pg_namespace bn ON bn.oid = b.typnamespace
    JOIN pg_proc p ON p.oid = b.typoutput
    JOIN pg_namespace pn ON pn.oid = p.pronamespace
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  ),
  'primaryKey', (
    SELECT coalesce(json_agg(a.attname ORDER BY k.position), '[]')
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = c.oid AND i.indisprimary AND k.position <= i.indnkeyatts
  ),
  'ancestorOids', (
    WITH RECURSIVE above AS (
      SELECT i.inhparent AS oid, 1 AS distance FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition
      UNION ALL
      SELECT i.inhparent, above.distance + 1
      FROM above JOIN pg_class parent ON parent.oid = above.oid AND parent.relispartition
      JOIN pg_inherits i ON i.inhrelid = above.oid
    )
    SELECT coalesce(json_agg(oid::int8 ORDER BY distance), '[]') FROM above
  ),
  'partitions', (${partitionsBelow})
)::text AS described, current_setting('server_version_num')::int4 AS version
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND ${condition}`

const byName = describeTables("n.nspname = $1 AND c.relname = $2")
const byNames = describeTables(`c.oid = ANY (ARRAY(
    SELECT named.oid FROM ROWS FROM (json_array_elements_text($1::text::json), json_array_elements_text($2::text::json)) AS w(schema, name)
    JOIN pg_namespace nn ON nn.nspname = w.schema JOIN pg_class named ON named.relnamespace = nn.oid AND named.relname = w.name
  ))`)
const byOid = describeTables("c.oid = ANY ($1::oid[])")

interface Described extends Omit<TableInfo, "leafOids" | "partitions"> {
  readonly partitions: ReadonlyArray<PartitionInfo & { readonly isLeaf: boolean }>
}

interface Row {
  readonly described: string
  readonly version: number
}

export interface Descriptions {
  readonly tables: ReadonlyArray<TableInfo>
  /** `server_version_num`, known when there is a table. */
  readonly serverVersionNum: number | undefined
}

/** A table without columns cannot be a shape and counts as absent. */
const descriptionsOf = (rows: ReadonlyArray<Row>): Descriptions => {
  const tables: Array<TableInfo> = []
  for (const row of rows) {
    const { partitions, ...described } = JSON.parse(row.described) as Described
    if (described.columns.length === 0) continue
    tables.push({
      ...described,
      columns: described.columns.map(({ element, baseTypeOid, baseTypeName, contents, ...column }) => ({
        ...column,
        // JSON has null where our types say undefined.
        element: element ?? undefined,
        baseTypeOid: baseTypeOid ?? undefined,
        ...(baseTypeName == null ? {} : { baseTypeName }),
        ...(contents == null ? {} : { contents })
      })),
      leafOids: partitions.filter((partition) => partition.isLeaf).map((partition) => partition.oid),
      partitions: partitions.map(({ oid, parentOid, attached }) => ({ oid, parentOid, attached }))
    })
  }
  return { tables, serverVersionNum: rows[0]?.version }
}

const none: Descriptions = { tables: [], serverVersionNum: undefined }

/** The table of that name as the catalogue has it now, if there is one that could be replicated. */
export const describeByName = (
  database: Queryable,
  { schema, name }: TableName
): Effect.Effect<Descriptions, PgError> =>
  couldBeName(schema) && couldBeName(name)
    ? orElseAbsent(Effect.map(database.query<Row>(byName, [schema, name], "kept"), descriptionsOf), none)
    : Effect.succeed(none)

/** The same for several names, all as of one moment, in no particular order. */
export const describeByNames = (
  database: Queryable,
  names: ReadonlyArray<TableName>
): Effect.Effect<Descriptions, PgError> => {
  const [first, ...more] = names
  if (first === undefined) return Effect.succeed(none)
  if (more.length === 0) return describeByName(database, first)
  const possible = names.filter(({ name, schema }) => couldBeName(schema) && couldBeName(name))
  const texts = [possible.map(({ schema }) => schema), possible.map(({ name }) => name)]
  return Effect.map(
    database.query<Row>(
      byNames,
      texts.map((list) => JSON.stringify(list)),
      "kept"
    ),
    descriptionsOf
  )
}

/** Those of the tables that exist, in no particular order, all as of one moment. */
export const describeByOid = (
  database: Queryable,
  oids: ReadonlyArray<number>
): Effect.Effect<Descriptions, PgError> =>
  oids.length === 0
    ? Effect.succeed(none)
    : Effect.map(database.query<Row>(byOid, [`{${oids.join(",")}}`], "kept"), descriptionsOf)
