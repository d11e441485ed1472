import { Effect, type Scope } from "effect"
import { allRowsOrNone, displaySettings } from "../../postgres/connection/ConnectionOptions.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { quoteLiteral } from "../../postgres/Identifiers.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { Pace } from "../folding/Pace.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"

/**
 * A transaction that sees the database as a snapshot does that another session has exported: at the very point from which a
 * new replication slot gives the changes. Source: PostgreSQL documentation, "SET TRANSACTION", `SNAPSHOT`.
 */
export const openSharedSnapshot = (
  sessions: Pick<SnapshotSessions["Service"], "acquire">,
  name: string
): Effect.Effect<SnapshotSession, PgError, Scope.Scope> =>
  Effect.gen(function* () {
    const { session } = yield* sessions.acquire
    // Between two tables logs are read, which may take long.
    const unbounded = { statement_timeout: "0", idle_in_transaction_session_timeout: "0" }
    const settings = Object.entries({ ...displaySettings, ...allRowsOrNone, ...unbounded }).map(
      ([setting, value]) => `pg_catalog.set_config(${quoteLiteral(setting)}, ${quoteLiteral(value)}, true)`
    )
    yield* session.run(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; " +
        `SET TRANSACTION SNAPSHOT ${quoteLiteral(name)}; SELECT ${settings.join(", ")}`
    )
    return session
  })

/** Composed but not yet written bytes above which rows wait in Postgres. */
const backlogBytes = 8 << 20

/** As fast as what comes of it is written. Where the writer was closed the turn is over, and who reads with it. */
export const paceOfWriter = (writer: JournalWriter): Pace => ({
  took: () => {
    writer.flush()
    return writer.unwrittenBytes < backlogBytes ? undefined : writer.written()
  }
})

/**
 * Runs a query in the transaction, which can go on whatever becomes of the query. Rows wait in Postgres for as long as `pace`
 * says. A row is valid during the call only.
 */
export const readRows = (
  session: SnapshotSession,
  sql: string,
  onRow: (row: Tuple) => void,
  pace: Pace
): Effect.Effect<void, PgError> =>
  Effect.callback<void, PgError>((resume) => {
    let isPaused = false
    let taken = 0
    session.startRows(`SAVEPOINT look; ${sql}; RELEASE SAVEPOINT look`, {
      onRow: (row, statement) => {
        if (statement !== 1) return
        taken++
        onRow(row)
      },
      onBatch: () => {
        if (isPaused) return
        const until = pace.took(taken)
        taken = 0
        if (until === undefined) return
        isPaused = true
        session.pause()
        void until.then(() => {
          isPaused = false
          session.resume()
        })
      },
      onEnd: (failure) => resume(failure === undefined ? Effect.void : Effect.fail(failure.error))
    })
    return Effect.sync(() => session.giveUp())
  }).pipe(
    Effect.tapError((error) => (error.unreachable ? Effect.void : session.run("ROLLBACK TO SAVEPOINT look")))
  )
