import { unchecked } from "../errors/Unchecked.ts"
import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import { describeReport, type PublicationReport, saysSomething } from "./PublicationReport.ts"
import { digestOfCatalogue } from "./PublicationState.ts"
import type { Queryable } from "../connection/SessionPool.ts"
import { nowMillis } from "../../shared/Timers.ts"

/** Schemas became members of publications in Postgres 15. */
const schemasSince = 150000

const rows = (catalogue: string, condition: string) =>
  `(SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat(x.oid, ':', x.xmin), ',' ORDER BY x.oid))
      FROM pg_catalog.${catalogue} x ${condition})`

interface Version {
  readonly snapshot: string
  readonly version: string
}

/**
 * A text that is another one after any publication was made, altered or dropped; which tables are named in our own does
 * not count, because that changes with every new table. One cheap statement, which looks at nothing where no transaction has
 * ended since the one before.
 */
const versionOfPublications = (
  database: Queryable,
  publicationName: string,
  serverVersionNum: number,
  before: Version | undefined
): Effect.Effect<Version, PgError> => {
  const parts = [
    rows("pg_publication", ""),
    rows(
      "pg_publication_rel",
      "WHERE x.prpubid IS DISTINCT FROM (SELECT p.oid FROM pg_catalog.pg_publication p WHERE p.pubname = $1)"
    ),
    ...(serverVersionNum < schemasSince ? [] : [rows("pg_publication_namespace", "")])
  ]
  return Effect.map(
    database.query<{ readonly snapshot: string; readonly version: string | null }>(
      `SELECT s.snapshot, CASE WHEN s.snapshot <> $2::pg_catalog.text
         THEN pg_catalog.concat_ws('/', ${parts.join(", ")}) END AS version
       FROM (SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot) s`,
      [publicationName, before?.snapshot ?? ""],
      "kept"
    ),
    ([row]) => ({ snapshot: row?.snapshot ?? "", version: row?.version ?? before?.version ?? "" })
  )
}

const codes = {
  missing: "BATON-PUBLICATION-MISSING",
  publication: "BATON-PUBLICATION-ALTERED",
  vanished: "BATON-TABLE-GONE"
} as const

/**
 * How often is looked whether there is a reason to compare before its time. Not in step with the look at tables, once a second: the
 * two would always come at the same moment.
 */
const lookMillis = 1900

interface PublicationWatch {
  /** The definition of a table in use has changed, or what is below it, or something could not be done. */
  readonly lookSoon: () => void
  /** Compares in every period, and within two seconds of a change, for ever; reports that say something are passed on. */
  readonly run: (options: {
    readonly tablesInUse: () => Iterable<number>
    readonly onReport: (report: PublicationReport) => Effect.Effect<void>
  }) => Effect.Effect<never>
}

/** Says when publication and tables are compared. While the database cannot be asked it waits for the next look. */
export const makePublicationWatch = (options: {
  readonly database: Queryable
  readonly publicationName: string
  readonly refreshMillis: number
  readonly serverVersionNum: () => number
  readonly reconcile: (tablesInUse: Iterable<number>) => Effect.Effect<PublicationReport, PgError>
  /** The last comparison finds nothing again as long as nothing is altered. */
  readonly isQuiet: () => boolean
}): PublicationWatch => {
  const { database, publicationName, refreshMillis } = options
  let doubtful = false
  let seen: Version | undefined
  /** What was compared when nothing was found, and nothing left for later. */
  let quiet: { readonly digest: string; readonly tables: Iterable<number> } | undefined

  const hasChanged = Effect.gen(function* () {
    const now = yield* versionOfPublications(database, publicationName, options.serverVersionNum(), seen)
    const changed = doubtful || now.version !== seen?.version
    seen = now
    doubtful = false
    return changed
  })

  const run: PublicationWatch["run"] = ({ onReport, tablesInUse }) =>
    Effect.gen(function* () {
      let comparedMillis = yield* nowMillis
      const look = Effect.gen(function* () {
        const now = yield* nowMillis
        const changed = yield* hasChanged
        if (!changed && now - comparedMillis < refreshMillis) return
        comparedMillis = now
        const tables = tablesInUse()
        const digest = yield* digestOfCatalogue(database, options.serverVersionNum())
        if (!changed && quiet?.digest === digest && quiet.tables === tables) return
        quiet = undefined
        const report = yield* options.reconcile(tables)
        if (options.isQuiet()) quiet = { digest, tables }
        if (report.removed.length > 0) {
          yield* Effect.logInfo(
            `${report.removed.length} table(s) without shapes left the publication "${publicationName}".`
          )
        }
        if (!saysSomething(report)) return
        for (const { about, text } of describeReport(publicationName, report))
          yield* reportFault(codes[about], text)
        yield* onReport(report)
      }).pipe(
        Effect.catch((error) => {
          doubtful = true
          return unchecked(
            error,
            "BATON-PUBLICATION-UNSEEN",
            `The publication "${publicationName}" could not be checked. ${error.message}`
          )
        })
      )
      return yield* Effect.forever(Effect.delay(look, Math.min(lookMillis, refreshMillis)))
    })

  return {
    lookSoon: () => {
      doubtful = true
    },
    run
  }
}
