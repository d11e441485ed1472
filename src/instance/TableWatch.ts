import { Effect } from "effect"
import type { PgError } from "../postgres/PgError.ts"
import type { Queryable } from "../postgres/SessionPool.ts"

/**
 * Looks every `everyMillis` whether the `pg_class` rows of the tables in use are still the same: any change of a table's
 * definition writes a new one. Costs one small query; the full comparison with the catalogue follows for tables that
 * changed only. So a table that was dropped, renamed or altered is noticed within seconds and without any write to it.
 * Never ends; while the database cannot be asked it waits for the next round.
 */
export const watchTables = (options: {
  readonly everyMillis: number
  readonly admin: Queryable
  readonly tables: () => ReadonlyArray<number>
  /** The table is another than at the last look, or gone. */
  readonly changed: (oid: number) => Effect.Effect<unknown, PgError>
}): Effect.Effect<never> =>
  Effect.gen(function* () {
    let known = new Map<number, string>()
    while (true) {
      yield* Effect.sleep(options.everyMillis)
      const oids = options.tables()
      if (oids.length === 0) {
        known = new Map()
        continue
      }
      yield* Effect.gen(function* () {
        const rows = yield* options.admin.query<{ readonly oid: string; readonly version: string }>(
          "SELECT oid::pg_catalog.int8::pg_catalog.text AS oid, xmin::pg_catalog.text AS version FROM pg_catalog.pg_class WHERE oid = ANY($1::pg_catalog.text::pg_catalog.oid[])",
          [`{${oids.join(",")}}`]
        )
        const now = new Map(rows.map((row) => [Number(row.oid), row.version]))
        for (const oid of oids) {
          const before = known.get(oid)
          if (before !== undefined && before !== now.get(oid)) yield* options.changed(oid)
        }
        known = now
      }).pipe(
        Effect.catch((error) => Effect.logDebug(`Tables are not watched at the moment: ${error.message}`))
      )
    }
  })
