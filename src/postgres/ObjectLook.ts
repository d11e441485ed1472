import { Effect } from "effect"
import type { PgError } from "./errors/PgError.ts"
import type { Queryable } from "./connection/SessionPool.ts"

/**
 * What is known of an object that a condition uses: hashes of what it is made of, with blanks between; empty when there is no
 * such object. More of them may come, as labels do, without any of the old ones being another one.
 */
export type Facts = string

export const isAnother = (before: Facts, now: Facts): boolean => {
  if (before === now || before === "") return false
  const present = new Set(now.split(" "))
  return before.split(" ").some((fact) => !present.has(fact))
}

const nameOf = (oid: string): string =>
  `(SELECT pg_catalog.concat(p.pronamespace, '.', p.proname, '(', p.proargtypes, ')') FROM pg_catalog.pg_proc p WHERE p.oid = ${oid})`

/** Left out: who may use it, what it is thought to cost. */
const withoutPlanning = "'{oid,proacl,proowner,procost,prorows,proparallel,prosupport}'::pg_catalog.text[]"

/**
 * A function is also what it calls: as far as Postgres knows that, and every function whose name its source mentions.
 * Functions of an extension are others with another version of it.
 * Source: PostgreSQL documentation, "System Catalogs".
 */
const factsSql = (hasDatabaseVersion: boolean): string => `
WITH RECURSIVE wanted AS MATERIALIZED (
  SELECT e.value AS key, e.value::pg_catalog.json ->> 0 AS kind, e.value::pg_catalog.json ->> 1 AS a,
    e.value::pg_catalog.json ->> 2 AS b, e.value::pg_catalog.json ->> 3 AS c, e.value::pg_catalog.json ->> 4 AS d
  FROM pg_catalog.json_array_elements_text($1::pg_catalog.text::pg_catalog.json) e
),
called AS (
  SELECT w.key, p.oid FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.a
  JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.proname = w.b AND p.proargtypes::pg_catalog.text = w.c
  WHERE w.kind = 'f'
  UNION
  SELECT f.key, g.oid FROM called f JOIN pg_catalog.pg_proc p ON p.oid = f.oid
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
  JOIN pg_catalog.pg_proc g ON g.oid >= 16384 AND (
    pg_catalog.strpos(pg_catalog.lower(p.prosrc), pg_catalog.lower(g.proname::pg_catalog.text)) > 0 OR EXISTS (
      SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid = g.oid))
),
facts AS (
  SELECT f.key, pg_catalog.concat(pg_catalog.to_jsonb(p) - ${withoutPlanning}, (
    SELECT x.extversion FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
  )) AS fact
  FROM called f JOIN pg_catalog.pg_proc p ON p.oid = f.oid
  UNION ALL
  SELECT w.key, pg_catalog.concat(o.oprresult, ${nameOf("o.oprcode")})
  FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.a
  JOIN pg_catalog.pg_operator o ON o.oprnamespace = n.oid AND o.oprname = w.b
    AND o.oprleft::pg_catalog.text = w.c AND o.oprright::pg_catalog.text = w.d
  WHERE w.kind = 'o'
  UNION ALL
  SELECT w.key, pg_catalog.concat(x.castmethod, x.castcontext, ${nameOf("x.castfunc")})
  FROM wanted w JOIN pg_catalog.pg_cast x
    ON x.castsource::pg_catalog.text = w.a AND x.casttarget::pg_catalog.text = w.b
  WHERE w.kind = 'x'
  UNION ALL
  SELECT w.key, pg_catalog.concat(pg_catalog.to_jsonb(t) - '{typacl,typowner}'::pg_catalog.text[], (
    SELECT pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(c.oid), ';' ORDER BY c.conname)
    FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid
  ), (
    SELECT pg_catalog.string_agg(pg_catalog.concat(a.attname, ' ', a.atttypid, ' ', a.atttypmod), ';' ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0
  ))
  FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.a
  JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = w.b WHERE w.kind = 't'
  UNION ALL
  SELECT w.key, pg_catalog.concat(e.oid, e.enumlabel) FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.a
  JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = w.b
  JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid WHERE w.kind = 't'
  UNION ALL
  SELECT w.key, pg_catalog.concat(pg_catalog.to_jsonb(l) - '{oid,collowner}'::pg_catalog.text[],
    pg_catalog.pg_collation_actual_version(l.oid))
  FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.a
  JOIN pg_catalog.pg_collation l ON l.collnamespace = n.oid AND l.collname = w.b WHERE w.kind = 'c'
  UNION ALL
  SELECT w.key, pg_catalog.concat(d.datcollate, ' ', d.datctype, ' ', pg_catalog.to_jsonb(d) ->> 'datlocprovider', ' ',
    pg_catalog.to_jsonb(d) ->> 'datlocale', ' ', pg_catalog.to_jsonb(d) ->> 'daticulocale'${
      hasDatabaseVersion ? ", ' ', pg_catalog.pg_database_collation_actual_version(d.oid)" : ""
    })
  FROM wanted w JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database() WHERE w.kind = 'd'
)
SELECT f.key, pg_catalog.string_agg(DISTINCT pg_catalog.md5(f.fact), ' ') AS facts FROM facts f GROUP BY 1`

/** The version of the collation of a database is known since Postgres 15. */
const databaseVersionSince = 150000

/** Looks at objects that conditions use, by the texts of `WhereClause.uses`. A few milliseconds. */
export const lookAtObjects = (
  database: Queryable,
  keys: ReadonlyArray<string>,
  serverVersionNum: number
): Effect.Effect<ReadonlyMap<string, Facts>, PgError> =>
  keys.length === 0
    ? Effect.succeed(new Map())
    : Effect.map(
        database.query<{ readonly key: string; readonly facts: string }>(
          factsSql(serverVersionNum >= databaseVersionSince),
          [JSON.stringify(keys)]
        ),
        (rows) => {
          const facts = new Map(keys.map((key) => [key, ""]))
          for (const row of rows) facts.set(row.key, row.facts)
          return facts
        }
      )

const kinds: Readonly<Record<string, string>> = { f: "function", o: "operator", t: "type", c: "collation" }

/** The object in the words of a log line. */
export const describeObject = (key: string): string => {
  const [kind = "", ...names] = JSON.parse(key) as ReadonlyArray<string>
  if (kind === "d") return "the collation of the database"
  return kind === "x" ? "a cast" : `the ${kinds[kind] ?? "object"} ${names.slice(0, 2).join(".")}`
}
