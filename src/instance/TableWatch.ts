import { Effect } from "effect"
import type { PgError } from "../postgres/PgError.ts"
import type { Queryable } from "../postgres/SessionPool.ts"

interface Version {
  readonly oid: string
  readonly version: string
}

/** The row of the table, and which partitions are below it: attaching one does not change that row. */
const tableVersions = `SELECT c.oid::pg_catalog.int8::pg_catalog.text AS oid, pg_catalog.concat(c.xmin, '/', CASE c.relkind WHEN 'p' THEN (
    WITH RECURSIVE below AS (
      SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid
      UNION ALL
      SELECT i.inhrelid FROM below JOIN pg_catalog.pg_inherits i ON i.inhparent = below.inhrelid
    )
    SELECT pg_catalog.hashtextextended(pg_catalog.string_agg(inhrelid::pg_catalog.text, ',' ORDER BY inhrelid), 0) FROM below
  ) END) AS version
  FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::pg_catalog.text::pg_catalog.oid[])`

/** Labels of an enum and fields of a composite type: what values are written with. */
const typeVersions = `SELECT t.oid::pg_catalog.int8::pg_catalog.text AS oid, pg_catalog.hashtextextended(pg_catalog.concat(
    (SELECT pg_catalog.string_agg(pg_catalog.concat(e.oid, e.xmin, e.enumlabel), ',' ORDER BY e.oid)
       FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
    (SELECT pg_catalog.string_agg(pg_catalog.concat(a.attnum, a.xmin, a.attname), ',' ORDER BY a.attnum)
       FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0)
  ), 0)::pg_catalog.text AS version
  FROM pg_catalog.pg_type t WHERE t.oid = ANY($1::pg_catalog.text::pg_catalog.oid[])`

const look = (database: Queryable, sql: string, oids: Iterable<string | number>) =>
  Effect.map(
    database.query<Version>(sql, [`{${Array.from(oids).join(",")}}`]),
    (rows) => new Map(rows.map((row) => [row.oid, row.version]))
  )

/**
 * Looks at once and then every `everyMillis` whether the `pg_class` rows of the tables in use are still the same: any change of a table's
 * definition writes a new one. The same for the types of the database's own make that they use. Costs one or two small
 * queries; the full comparison with the catalogue follows for tables that are new here or changed. So a table that was dropped,
 * renamed or altered is noticed within seconds and without any write to it. Never ends; while the database cannot be
 * asked it waits for the next round.
 */
export const watchTables = (options: {
  readonly everyMillis: number
  readonly admin: Queryable
  readonly tables: () => ReadonlyArray<number>
  /** OIDs of types, each with the tables that use it. */
  readonly types: () => ReadonlyMap<string, ReadonlyArray<number>>
  /** The table, or a type of it, is another than at the last look, or gone. */
  readonly changed: (oid: number) => Effect.Effect<unknown, PgError>
}): Effect.Effect<never> =>
  Effect.gen(function* () {
    let tables = new Map<string, string>()
    let types = new Map<string, string>()
    let isFirst = true
    for (; ; yield* Effect.sleep(options.everyMillis)) {
      const oids = options.tables()
      if (oids.length === 0) {
        tables = new Map()
        types = new Map()
        isFirst = false
        continue
      }
      yield* Effect.gen(function* () {
        const doubtful = new Set<number>()
        const now = yield* look(options.admin, tableVersions, oids)
        for (const oid of oids) {
          if (tables.get(String(oid)) !== now.get(String(oid))) doubtful.add(oid)
        }
        const users = options.types()
        const typesNow =
          users.size === 0
            ? new Map<string, string>()
            : yield* look(options.admin, typeVersions, users.keys())
        for (const [type, usedBy] of users) {
          if (types.get(type) !== typesNow.get(type)) for (const oid of usedBy) doubtful.add(oid)
        }
        // What is seen for the first time may have changed since it was described, but for what there was at the start.
        if (!isFirst) for (const oid of doubtful) yield* options.changed(oid)
        isFirst = false
        tables = now
        types = typesNow
      }).pipe(
        Effect.catch((error) => Effect.logDebug(`Tables are not watched at the moment: ${error.message}`))
      )
    }
  })
