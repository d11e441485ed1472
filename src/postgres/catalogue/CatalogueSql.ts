/** Through a sub-select, so that Postgres keeps one plan for any array: to make a plan takes longer than to look. */
const oids = (parameter: number): string =>
  `ARRAY(SELECT pg_catalog.unnest($${parameter}::pg_catalog.text::pg_catalog.oid[]))`

/** How many rows of a catalogue there are, and the sum of their `xmin`, and of their OIDs if one may take another's place. */
const rowsOf = (catalogue: string, condition: string, oid?: string): string =>
  `(SELECT pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum(x.xmin::pg_catalog.text::pg_catalog.int8)${
    oid === undefined ? "" : `, ' ', pg_catalog.sum(x.${oid}::pg_catalog.int8)`
  }) FROM pg_catalog.${catalogue} x ${condition})`

/**
 * Everything that a look depends on, in one text, and without a join or a recursion, so that Postgres takes a millisecond
 * for it. `around` is an expression for the OIDs that the look before has found. A table that comes to belong to them is
 * a row of `pg_inherits` below one of them; one that leaves, or moves, has its own row of `pg_class` written. Schemas and
 * members of other publications may change it for nothing, which costs a whole look.
 */
const versionSql = (around: string, types: string | undefined, hasSchemas: boolean): string => {
  const parts = [
    rowsOf("pg_class", `WHERE x.oid = ANY (${around})`, "oid"),
    rowsOf("pg_inherits", `WHERE x.inhparent = ANY (${around})`, "inhrelid"),
    rowsOf("pg_publication_rel", `WHERE x.prrelid = ANY (${around})`, "oid"),
    rowsOf("pg_namespace", ""),
    rowsOf("pg_attribute", `WHERE x.attrelid = ANY (${oids(1)}) AND x.attnum > 0`),
    rowsOf("pg_index", `WHERE x.indrelid = ANY (${oids(1)}) AND x.indisprimary`, "indexrelid"),
    rowsOf("pg_publication", "WHERE x.pubname = $2", "oid")
  ]
  if (hasSchemas) parts.push(rowsOf("pg_publication_namespace", "", "oid"))
  if (types !== undefined) {
    parts.push(
      rowsOf("pg_type", `WHERE x.oid = ANY (${types})`, "oid"),
      rowsOf("pg_enum", `WHERE x.enumtypid = ANY (${types})`, "oid"),
      rowsOf(
        "pg_attribute",
        `JOIN pg_catalog.pg_type t ON t.typrelid = x.attrelid
          WHERE t.oid = ANY (${types}) AND t.typtype = 'c' AND x.attnum > 0`
      )
    )
  }
  return `pg_catalog.concat_ws('/', ${parts.join(", ")})`
}

/** More OIDs than these are only sent when there is a reason to. */
export const mostSentAlways = 500
/** The transactions that a look would show. */
export const snapshotSql = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot"

/** `$1` tables, `$2` publication, `$3` around, `$4` snapshot of the look before: the same one needs no version. `$5` types. */
export const changedSql = (hasTypes: boolean, hasSchemas: boolean): string => `
SELECT s.snapshot, CASE WHEN s.snapshot <> $4::pg_catalog.text
  THEN ${versionSql(oids(3), hasTypes ? oids(5) : undefined, hasSchemas)} END AS version
FROM (SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot) s`

/**
 * `xmin` of a row is another one whenever it was altered, and the sum of those of several rows when any of them was, came
 * or went. Statistics are updated in place. The rows of a table: itself, its schema, its columns, its primary key,
 * everything below it if it is partitioned. `$1` are tables, `$2` is the publication, `$3` are types.
 * Source: PostgreSQL documentation, "System Columns" and "System Catalogs".
 */
export const lookSql = (hasTypes: boolean, hasSchemas: boolean): string => `
WITH RECURSIVE wanted AS MATERIALIZED (
  SELECT c.oid, c.relnamespace, c.relkind, c.relispartition, c.relfilenode, pg_catalog.concat(c.xmin, '/', (
    SELECT n.xmin FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace
  )) AS own
  FROM pg_catalog.pg_class c WHERE c.oid = ANY (${oids(1)})
),
columns AS (
  SELECT a.attrelid AS oid, pg_catalog.concat(
    pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8), ':', pg_catalog.max(a.attnum)
  ) AS version
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = ANY (${oids(1)}) AND a.attnum > 0 GROUP BY 1
),
keys AS (
  SELECT i.indrelid AS oid, i.xmin AS version FROM pg_catalog.pg_index i
  WHERE i.indrelid = ANY (${oids(1)}) AND i.indisprimary
),
below AS (
  SELECT w.oid AS root, i.inhrelid AS oid
  FROM wanted w JOIN pg_catalog.pg_inherits i ON i.inhparent = w.oid WHERE w.relkind = 'p'
  UNION ALL
  SELECT b.root, i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid
),
trees AS (
  SELECT b.root AS oid, pg_catalog.concat(
    pg_catalog.count(*), '/', pg_catalog.sum(p.oid::pg_catalog.int8), '/',
    pg_catalog.sum(p.xmin::pg_catalog.text::pg_catalog.int8), ':', pg_catalog.sum(p.relfilenode::pg_catalog.int8)
  ) AS version
  FROM below b JOIN pg_catalog.pg_class p ON p.oid = b.oid GROUP BY 1
),
above AS (
  SELECT w.oid AS leaf, w.oid, w.relispartition FROM wanted w
  UNION ALL
  SELECT a.leaf, p.oid, p.relispartition
  FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
  JOIN pg_catalog.pg_class p ON p.oid = i.inhparent WHERE a.relispartition
),
around AS MATERIALIZED (SELECT a.oid FROM above a UNION SELECT b.oid FROM below b),
members AS (
  SELECT a.leaf AS oid, pg_catalog.string_agg(r.oid::pg_catalog.text, ',') AS version
  FROM above a JOIN pg_catalog.pg_publication_rel r ON r.prrelid = a.oid
  JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $2 GROUP BY 1
)
SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot,
${versionSql("ARRAY(SELECT y.oid FROM around y)", hasTypes ? oids(3) : undefined, hasSchemas)} AS version,
(SELECT pg_catalog.string_agg(y.oid::pg_catalog.text, ',') FROM around y) AS around,
(SELECT pg_catalog.string_agg(pg_catalog.concat(w.oid, ':', w.own, ':', w.relfilenode${
  hasSchemas
    ? `, ':', (SELECT pg_catalog.concat('s', s.oid) FROM pg_catalog.pg_publication_namespace s
      JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid WHERE p.pubname = $2 AND s.pnnspid = w.relnamespace)`
    : ""
}), ' ') FROM wanted w) AS tables,
${["columns", "keys", "trees", "members"]
  .map(
    (part) =>
      `(SELECT pg_catalog.string_agg(pg_catalog.concat(x.oid, ':', x.version), ' ') FROM ${part} x) AS ${part}`
  )
  .join(", ")},
(
  SELECT pg_catalog.string_agg(pg_catalog.concat(t.oid, ':', t.xmin, '/', n.xmin, '/',
    (SELECT pg_catalog.sum(e.xmin::pg_catalog.text::pg_catalog.int8)
      FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '/',
    (SELECT pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8)
      FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0)
  ), ' ')
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  WHERE t.oid = ANY (${oids(3)})
) AS types, (
  SELECT pg_catalog.concat(p.oid, '/', p.xmin, ':', p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate)
  FROM pg_catalog.pg_publication p WHERE p.pubname = $2
) AS publication`
