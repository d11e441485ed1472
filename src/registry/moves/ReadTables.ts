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

/** Which rows of a table. */
interface Wanted {
  readonly conditions: ReadonlyArray<string>
  /** Names of columns: in the order of `rowBytes` of these. */
  readonly orderedBy?: ReadonlyArray<string>
}

/** What is done with rows, which are valid during the call only. */
interface RowReader {
  /** False where no more of them are wanted. */
  readonly onRow: (row: Tuple) => boolean
  /** Before more rows are taken from the connection. */
  readonly pause: Effect.Effect<void>
}

/**
 * Reads those rows of a table for which one of the conditions holds, with the columns of the table, in the transaction that the
 * session is in. False when it was ended because no more were wanted; then the session is of no use any more.
 */
export const readTable = (
  session: SnapshotSession,
  table: LaneTable,
  { conditions, orderedBy }: Wanted,
  reader: RowReader
): Effect.Effect<boolean, PgError | TableUnreadable> =>
  Effect.gen(function* () {
    const kind = yield* session.run(
      `SELECT relkind, pg_catalog.to_regclass(${quoteLiteral(quoteTable(table))})::pg_catalog.oid FROM pg_catalog.pg_class WHERE oid = ${table.oid}`
    )
    const [relkind, named] = kind[0]?.[0] ?? []
    if (relkind === undefined || named !== String(table.oid))
      return yield* Effect.fail(new TableUnreadable(table, "was dropped or renamed"))
    const { columns, name, schema } = table
    const sql = tableQuery({ schema, name, columns, isPartitioned: relkind === "p" }, conditions, orderedBy)
    return yield* readRows(session, sql, reader)
  }).pipe(
    Effect.mapError((error) =>
      error._tag === "TableUnreadable" || mayPass(error)
        ? error
        : new TableUnreadable(table, error.serverMessage ?? error.message, error)
    )
  )

/** Fewer rows than these are taken as they come. */
const rowsPerTurn = 256

/** What has come of a query: some rows, or its end. */
type Came = "rows" | "all" | "enough" | { readonly failure: PgError } | { readonly defect: unknown }

const readRows = (
  session: SnapshotSession,
  sql: string,
  { onRow, pause }: RowReader
): Effect.Effect<boolean, PgError> =>
  Effect.suspend(() => {
    let came: Came | undefined
    let resume: ((came: Effect.Effect<Came>) => void) | undefined
    let ends: Came | undefined
    let rows = 0
    const tell = (what: Came) => {
      came = what
      resume?.(Effect.succeed(what))
      resume = undefined
    }
    session.startRows(sql, {
      onRow: (row) => {
        if (ends !== undefined) return
        rows++
        try {
          if (!onRow(row)) ends = "enough"
        } catch (defect) {
          ends = { defect }
        }
      },
      onBatch: () => {
        if (ends !== undefined) return session.giveUp()
        if (rows < rowsPerTurn) return
        rows = 0
        session.pause()
        tell("rows")
      },
      onEnd: (failure) => tell(ends ?? (failure === undefined ? "all" : { failure: failure.error }))
    })
    const next = Effect.callback<Came>((told) => {
      if (came !== undefined) return told(Effect.succeed(came))
      resume = told
      return Effect.sync(() => session.giveUp())
    })
    const goOn = Effect.suspend(() => {
      came = undefined
      session.resume()
      return rest
    })
    const rest: Effect.Effect<boolean, PgError> = Effect.flatMap(next, (what) => {
      if (what === "rows")
        return Effect.andThen(
          Effect.onInterrupt(pause, () => Effect.sync(() => session.giveUp())),
          goOn
        )
      if (typeof what === "string") return Effect.succeed(what === "all")
      return "defect" in what ? Effect.die(what.defect) : Effect.fail(what.failure)
    })
    return rest
  })

/** A statement that has taken all the time it is given would take it again. */
const mayPass = (error: PgError): boolean => isPassing(error) && error.kind !== "query_canceled"
