import { Effect } from "effect"
import type { Queryable } from "../connection/SessionPool.ts"
import type { PgError } from "../errors/PgError.ts"

interface AncestorsLook {
  readonly ancestors: ReadonlyMap<number, ReadonlyArray<number>>
  /** The transactions that the look has seen, as `pg_snapshot` prints them. */
  readonly shown: string | undefined
}

/**
 * Partitioned tables above a set of tables, the nearest first; what is not in the answer is no partition. One small statement,
 * whatever else there is to say of the tables.
 */
export const lookAtAncestors = (
  database: Queryable,
  oids: Iterable<number>
): Effect.Effect<AncestorsLook, PgError> =>
  Effect.map(
    database.query<{ readonly found: string | null; readonly shown?: string }>(
      `WITH RECURSIVE asked AS MATERIALIZED (SELECT pg_catalog.unnest($1::pg_catalog.text::pg_catalog.oid[]) AS oid),
       above AS (
         SELECT c.oid AS leaf, i.inhparent AS oid, 1 AS distance
         FROM asked a JOIN pg_catalog.pg_class c ON c.oid = a.oid AND c.relispartition
         JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
         UNION ALL
         SELECT a.leaf, i.inhparent, a.distance + 1
         FROM above a JOIN pg_catalog.pg_class p ON p.oid = a.oid AND p.relispartition
         JOIN pg_catalog.pg_inherits i ON i.inhrelid = p.oid
       )
       SELECT pg_catalog.string_agg(pg_catalog.concat(leaf, ':', oid), ' ' ORDER BY leaf, distance) AS found,
       pg_catalog.pg_current_snapshot()::pg_catalog.text AS shown FROM above`,
      [`{${[...oids].join(",")}}`],
      "kept"
    ),
    ([row]) => {
      const ancestors = new Map<number, Array<number>>()
      for (const entry of (row?.found ?? "").split(" ")) {
        const colon = entry.indexOf(":")
        if (colon < 0) continue
        const leaf = Number(entry.slice(0, colon))
        const known = ancestors.get(leaf)
        if (known === undefined) ancestors.set(leaf, [Number(entry.slice(colon + 1))])
        else known.push(Number(entry.slice(colon + 1)))
      }
      return { ancestors, shown: row?.shown }
    }
  )
