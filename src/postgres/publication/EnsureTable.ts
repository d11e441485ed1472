import { Effect } from "effect"
import type { TableInfo } from "../catalogue/TableInfo.ts"
import type { SingleFlight } from "../../shared/Coalesce.ts"
import { fromPgError, type PublicationError, tableChanged } from "./PublicationError.ts"
import { publicationProblem } from "./PublicationPlan.ts"
import type { PublicationTables } from "./PublicationTables.ts"

export interface EnsureTableOptions {
  /** The shape selects generated columns, which the publication then has to carry. Default false. */
  readonly generatedColumns?: boolean
}

export interface EnsuredTable {
  /** It was added, or its replica identity was set, just now. */
  readonly altered: boolean
}

/** Makes a table's changes be published. Concurrent calls for one table share the work. */
export const makeEnsureTable =
  (tables: PublicationTables, flights: SingleFlight<EnsuredTable, PublicationError>) =>
  (table: TableInfo, options: EnsureTableOptions = {}): Effect.Effect<EnsuredTable, PublicationError> => {
    const needsGeneratedColumns = options.generatedColumns ?? false
    const ensure = Effect.gen(function* () {
      const publication = yield* tables.read
      const problem = publicationProblem(publication, tables.mode)
      if (publication === undefined || problem !== undefined) return yield* problem ?? tableChanged(table)
      const state = yield* tables.readTable(publication, table)
      return { altered: yield* tables.bringIntoOrder(publication, state, needsGeneratedColumns) }
    }).pipe(Effect.catchTag("PgError", (error) => Effect.fail(fromPgError(table, error))))
    return Effect.suspend(() =>
      Effect.map(
        flights.join(`${table.oid} ${needsGeneratedColumns}`, tables.ledger.using(table.oid, ensure)),
        (flight) => flight.value
      )
    )
  }
