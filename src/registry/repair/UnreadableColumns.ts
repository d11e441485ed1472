import { Effect } from "effect"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { quoteIdentifier, quoteTable } from "../../postgres/Identifiers.ts"
import { isPassing } from "../snapshot/SnapshotErrors.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import type { Pace } from "../folding/Pace.ts"
import { readRows } from "./SharedSnapshot.ts"

/** `ONLY` where the table has no partitions: those that inherit from it have other rows. */
export const selectFrom = (table: TableInfo, columns: ReadonlyArray<string>): string =>
  `SELECT ${columns.join(", ")} FROM ${table.kind === "partitioned" ? "" : "ONLY "}${quoteTable(table)}`

/**
 * Columns of a table that have a value which Postgres cannot give out, with what it says of it. Reads the table once for all
 * columns together, a column at a time.
 */
export const unreadableColumns = (
  session: SnapshotSession,
  table: TableInfo,
  pace: Pace
): Effect.Effect<ReadonlyMap<string, string>, PgError> =>
  Effect.gen(function* () {
    const found = new Map<string, string>()
    for (const { name } of table.columns) {
      const sql = selectFrom(table, [quoteIdentifier(name)])
      yield* Effect.catchIf(
        readRows(session, sql, () => {}, pace),
        (error) => !isPassing(error),
        (error) => Effect.sync(() => void found.set(name, error.serverMessage ?? error.message))
      )
    }
    return found
  })
