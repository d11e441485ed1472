import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { type AskingQuery, type CheckedZones, offsetIn, telltaleSeconds } from "../../where/index.ts"

/** The zone's offsets in Postgres, in seconds east of UTC, at the seconds since 1970 that are asked about. */
const offsetsSql = `SELECT pg_catalog.string_agg(
  pg_catalog.date_part('epoch', (u.at AT TIME ZONE z.name) - (u.at AT TIME ZONE 'UTC'))::integer::text, ',' ORDER BY u.n
) AS offsets
FROM pg_catalog.unnest($1::text[]) AS z(name), LATERAL (
  SELECT pg_catalog.to_timestamp(s.second::double precision) AS at, s.n
  FROM pg_catalog.unnest($2::text[]) WITH ORDINALITY AS s(second, n)
) AS u`

/** `invalid_parameter_value`: Postgres does not know the zone. */
const unknownZone = "22023"

/**
 * Compares the rules of time zones that conditions have needed with those of Postgres: where they are the same, they are
 * evaluated here from now on. Nobody waits for it: until then Postgres evaluates such conditions. Never fails; a zone that
 * Postgres could not be asked about comes again.
 */
export const settleZones = (zones: CheckedZones, query: AskingQuery<PgError>): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let zone = zones.next(); zone !== undefined; zone = zones.next()) {
      const { name, table } = zone
      const seconds = telltaleSeconds(table)
      yield* query(offsetsSql, [[name], seconds.map(String)]).pipe(
        Effect.flatMap(([row]) => {
          const offsets = String(row?.["offsets"]).split(",").map(Number)
          const other = seconds.findIndex((second, n) => offsetIn(table, second) !== offsets[n])
          zones.settle(name, other < 0 ? table : undefined)
          if (other < 0) return Effect.void
          const second = seconds[other] ?? 0
          return reportFault(
            "BATON-DB-TIMEZONES",
            `Postgres has other rules for the time zone ${name} than Node (${process.versions["tz"] ?? "its own data"}): at ` +
              `${new Date(second * 1000).toISOString()} it is ${hours(offsets[other] ?? Number.NaN)} there, and ` +
              `${hours(offsetIn(table, second))} here. Conditions that need them are evaluated by Postgres, which takes ` +
              "longer. It stays so until the older of the two gets the newer time zone data, and this is started again."
          )
        }),
        Effect.catch((error) => {
          if (error.code === unknownZone) zones.settle(name, undefined)
          return Effect.logDebug(`The time zone ${name} could not be compared: ${error.message}`)
        }),
        Effect.ensuring(Effect.sync(() => zones.over(name)))
      )
    }
  })

const hours = (offset: number): string => `UTC${offset < 0 ? "" : "+"}${Math.round(offset / 36) / 100} h`
