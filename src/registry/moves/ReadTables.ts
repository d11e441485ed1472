import { Effect } from "effect"
import { quoteLiteral, quoteTable } from "../../postgres/Identifiers.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { isPassing } from "../snapshot/SnapshotErrors.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import { tableQuery } from "./CandidateQuery.ts"
import type { LaneTable } from "./LaneTable.ts"

/** Rows of a table cannot be read any more as they were, whatever is tried: shapes that need them have to go. */
export class TableUnreadable {
  readonly _tag = "TableUnreadable"
  readonly table: LaneTable
  readonly reason: string
  /** What Postgres says, if that is why. */
  readonly error: PgError | undefined
  constructor(table: LaneTable, reason: string, error?: PgError) {
    this.table = table
    this.reason = reason
    this.error = error
  }
}

/**
 * Reads those rows of a table for which one of the conditions holds, with the columns of the table, in the transaction that the
 * session is in. A row is valid during the call only.
 */
export const readTable = (
  session: SnapshotSession,
  table: LaneTable,
  conditions: ReadonlyArray<string>,
  onRow: (row: Tuple) => void
): Effect.Effect<void, PgError | TableUnreadable> =>
  Effect.gen(function* () {
    const kind = yield* session.run(
      `SELECT relkind, pg_catalog.to_regclass(${quoteLiteral(quoteTable(table))})::pg_catalog.oid FROM pg_catalog.pg_class WHERE oid = ${table.oid}`
    )
    const [relkind, named] = kind[0]?.[0] ?? []
    if (relkind === undefined || named !== String(table.oid))
      return yield* Effect.fail(new TableUnreadable(table, "was dropped or renamed"))
    const sql = tableQuery(
      { schema: table.schema, name: table.name, columns: table.columns, isPartitioned: relkind === "p" },
      conditions
    )
    yield* Effect.callback<void, PgError>((resume) => {
      session.startRows(sql, {
        onRow,
        onBatch: () => {},
        onEnd: (failure) => resume(failure === undefined ? Effect.void : Effect.fail(failure.error))
      })
      return Effect.sync(() => session.giveUp())
    })
  }).pipe(
    Effect.mapError((error) =>
      error._tag === "TableUnreadable" || mayPass(error)
        ? error
        : new TableUnreadable(table, error.serverMessage ?? error.message, error)
    )
  )

/** A statement that has taken all the time it is given would take it again. */
const mayPass = (error: PgError): boolean => isPassing(error) && error.kind !== "query_canceled"
