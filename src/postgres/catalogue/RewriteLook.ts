import { Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import type { Queryable } from "../connection/SessionPool.ts"

/**
 * What the catalogue says of how the rows of a table are stored: its files (those of its partitions, if it has some), the highest
 * number of a column, and the sum of `xmin` over the rows of its columns. Of these three parts, with dots between, the first is
 * another one when the table was written anew or emptied, the last when a column was altered or added. `ALTER COLUMN … TYPE … USING`
 * with the type that the column has makes both others, and nothing else that is known of the table.
 */
export type StoredForm = string

const partsOf = (form: StoredForm): ReadonlyArray<string> => form.split(".")

/**
 * Whether the table may have been written anew with other values, of which no change tells: `TRUNCATE`, `VACUUM FULL` and
 * `CLUSTER` leave the columns alone.
 */
export const mayHaveOtherValues = (before: StoredForm, now: StoredForm): boolean => {
  const [files, , columns] = partsOf(before)
  const [filesNow, , columnsNow] = partsOf(now)
  return files !== filesNow && columns !== columnsNow
}

/** Of tables, the last part of their form, and the transactions that the look has seen, as `pg_snapshot` prints them. */
export interface ColumnsLook {
  readonly columns: ReadonlyMap<number, string>
  readonly shown: string | undefined
}

const versionsSql = `
SELECT pg_catalog.string_agg(pg_catalog.concat(t.oid, ':', t.version), ' ') AS found,
  pg_catalog.pg_current_snapshot()::pg_catalog.text AS shown
FROM (
  SELECT x.attrelid AS oid, pg_catalog.sum(x.xmin::pg_catalog.text::pg_catalog.int8) AS version
  FROM pg_catalog.pg_attribute x
  WHERE x.attrelid = ANY (ARRAY(SELECT pg_catalog.unnest($1::pg_catalog.text::pg_catalog.oid[]))) AND x.attnum > 0
  GROUP BY x.attrelid
) t`

/** A small statement, because the stream waits for it; what it gives is another one whenever a column was altered, added or dropped. */
export const lookAtColumns = (
  database: Queryable,
  oids: Iterable<number>
): Effect.Effect<ColumnsLook, PgError> =>
  Effect.map(
    database.query<{ readonly found: string | null; readonly shown: string }>(
      versionsSql,
      [`{${[...oids].join(",")}}`],
      "kept"
    ),
    ([row]) => {
      const columns = new Map<number, string>()
      for (const entry of (row?.found ?? "").split(" ")) {
        const [oid = "", version = ""] = entry.split(":")
        if (oid !== "") columns.set(Number(oid), version)
      }
      return { columns, shown: row?.shown }
    }
  )

/** Whether a column was altered, added or dropped, with or without the rows being written anew. */
export const hasOtherColumns = (before: StoredForm, columns: string | undefined): boolean =>
  columns !== undefined && partsOf(before)[2] !== columns

const columnsSql = `
SELECT x.attrelid::pg_catalog.text AS oid, x.attnum::pg_catalog.int4 AS number, x.xmin::pg_catalog.text AS version
FROM pg_catalog.pg_attribute x
WHERE x.attrelid = ANY (ARRAY(SELECT pg_catalog.unnest($1::pg_catalog.text::pg_catalog.oid[]))) AND x.attnum > 0`

/**
 * Those of the tables, given as they were, of which a column was altered that they had then: a column that was added, whose default
 * had the table written anew, is another matter.
 */
export const alteredAmong = (
  database: Queryable,
  tables: ReadonlyMap<number, StoredForm>
): Effect.Effect<ReadonlySet<number>, PgError> =>
  tables.size === 0
    ? Effect.succeed(new Set())
    : Effect.map(
        database.query<{ readonly oid: string; readonly number: number; readonly version: string }>(
          columnsSql,
          [`{${[...tables.keys()].join(",")}}`],
          "kept"
        ),
        (columns) => {
          const sums = new Map<number, bigint>()
          for (const { number, oid, version } of columns) {
            const [, highest] = partsOf(tables.get(Number(oid)) ?? "")
            if (number <= Number(highest))
              sums.set(Number(oid), (sums.get(Number(oid)) ?? 0n) + BigInt(version))
          }
          const altered = new Set<number>()
          for (const [oid, form] of tables)
            if (String(sums.get(oid) ?? 0n) !== partsOf(form)[2]) altered.add(oid)
          return altered
        }
      )
