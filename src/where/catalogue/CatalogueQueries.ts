/**
 * The catalogue queries. Each returns one row with one text column `payload`, a JSON array, so that the result
 * does not depend on how a driver decodes types. They work on PostgreSQL 14 to 18.
 */
const asPayload = (select: string): string =>
  `SELECT coalesce(json_agg(row_to_json(r)), '[]'::json)::text AS payload FROM (${select}) r`

export const settingsQuery = `SELECT json_build_array(json_build_object(
  'serverVersion', current_setting('server_version_num')::int,
  'searchPath', current_schemas(true),
  'encoding', current_setting('server_encoding'),
  'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
  'locale', coalesce(CASE WHEN coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' THEN d.datcollate END,
                     to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate),
  'ctype', d.datctype
))::text AS payload FROM pg_catalog.pg_database d WHERE d.datname = current_database()`

const sum = (row: string, from: string): string =>
  `(SELECT concat(count(*), '/', sum(hashtextextended(concat(${row}, '/', r.xmin), 0)::numeric)) FROM ${from})`

/**
 * A text that is another one whenever a row has come to, gone from or changed in what the queries below read. A few
 * milliseconds; the queries themselves take some hundred.
 */
export const versionQuery = (() => {
  const tables = ["type", "proc", "operator", "cast", "enum", "collation", "namespace", "language"]
  const parts = [
    ...tables.map((name) => sum("r.oid", `pg_catalog.pg_${name} r`)),
    sum("r.rngtypid", "pg_catalog.pg_range r"),
    sum("r.oid", "pg_catalog.pg_constraint r WHERE r.contypid <> 0"),
    sum(
      "r.attrelid, '.', r.attnum",
      "pg_catalog.pg_attribute r JOIN pg_catalog.pg_type t ON t.typtype = 'c' AND t.typrelid = r.attrelid WHERE r.attrelid >= 16384"
    )
  ]
  return `SELECT json_build_array(concat_ws(',', current_schemas(true)::text, ${parts.join(", ")}))::text AS payload`
})()

export const typesQuery = asPayload(`
  WITH RECURSIVE constrained AS (
    SELECT t.oid FROM pg_catalog.pg_type t
     WHERE t.typtype = 'd'
       AND (t.typnotnull OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid))
    UNION
    SELECT t.oid FROM pg_catalog.pg_type t JOIN constrained c ON t.typtype = 'd' AND t.typbasetype = c.oid
  )
  SELECT t.oid::int8, t.typname AS name, n.nspname AS schema, t.typtype AS kind, t.typcategory AS category,
         t.typispreferred AS preferred,
         CASE WHEN t.typlen = -1 AND t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc
              THEN t.typelem::int8 ELSE 0 END AS element,
         t.typarray::int8 AS array, t.typbasetype::int8 AS base, t.typtypmod AS "baseTypmod",
         t.typcollation::int8 AS collation, t.typdelim AS delimiter,
         EXISTS (SELECT 1 FROM constrained c WHERE c.oid = t.oid) AS constrained,
         t.typmodin <> 0 AS "hasModifier",
         (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)
           AS labels,
         coalesce((SELECT r.rngsubtype::int8 FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid),
                  (SELECT r.rngtypid::int8 FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid), 0) AS subtype,
         coalesce((SELECT r.rngcollation::int8 FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid), 0)
           AS "subtypeCollation",
         coalesce((SELECT r.rngmultitypid::int8 FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid), 0)
           AS multirange,
         coalesce((SELECT r.rngcanonical <> 0 FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid), false)
           AS canonical,
         CASE WHEN t.typtype = 'c' THEN (
           SELECT json_agg(json_build_object('name', a.attname, 'type', a.atttypid::int8, 'typmod', a.atttypmod,
                                             'collation', a.attcollation::int8) ORDER BY a.attnum)
             FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END AS fields
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
   WHERE NOT (t.typtype = 'c' AND n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))`)

export const operatorsQuery = asPayload(`
  SELECT o.oid::int8, o.oprname AS name, n.nspname AS schema, o.oprleft::int8 AS left, o.oprright::int8 AS right,
         o.oprresult::int8 AS result, o.oprcode::oid::int8 AS function
    FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
   WHERE o.oprcode <> 0`)

export const functionsQuery = asPayload(`
  SELECT p.oid::int8, p.proname AS name, n.nspname AS schema, p.prokind AS kind, p.provolatile AS volatility,
         p.proisstrict AS strict, p.proleakproof AS leakproof, p.proretset AS "returnsSet",
         ARRAY(SELECT a::int8 FROM unnest(p.proargtypes) a) AS args, p.prorettype::int8 AS result,
         p.provariadic::int8 AS variadic, p.pronargdefaults AS defaults,
         l.lanname = 'internal' AS internal, CASE WHEN l.lanname = 'internal' THEN p.prosrc ELSE '' END AS symbol,
         CASE WHEN p.proargmodes IS NULL AND p.pronargdefaults > 0 THEN to_json(p.proargnames) END AS "argNames"
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)`)

export const castsQuery = asPayload(`
  SELECT c.castsource::int8 AS source, c.casttarget::int8 AS target, c.castfunc::int8 AS function,
         CASE c.castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'assignment' ELSE 'explicit' END AS context,
         CASE c.castmethod WHEN 'f' THEN 'function' WHEN 'i' THEN 'text' ELSE 'binary' END AS method
    FROM pg_catalog.pg_cast c`)

export const collationsQuery = asPayload(`
  SELECT c.oid::int8, c.collname AS name, n.nspname AS schema, c.collisdeterministic AS deterministic,
         c.collprovider AS provider,
         coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', c.collcollate, '') AS locale
    FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
   WHERE c.collencoding IN (-1, pg_catalog.pg_char_to_encoding(current_setting('server_encoding')))`)
