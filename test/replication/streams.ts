import { Deferred, Effect, Exit, Fiber } from "effect"
import { PgError } from "../../src/postgres/errors/PgError.ts"
import { journalLsn, type Lsn, parseLsn, zeroServerLsn } from "../../src/shared/Lsn.ts"
import type { ReplicationConnection } from "../../src/replication/stream/ReplicationConnection.ts"
import type { StreamOptions } from "../../src/replication/stream/RunStream.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { recordingSink, type SinkEvent } from "./recording-sink.ts"
import { adminOf, until } from "./support.ts"

/** Tables with and without full replica identity, and one that is not published. */
export const setUpTables = (db: TestDatabase) =>
  db.query(
    `CREATE TABLE t (id int PRIMARY KEY, note text);
     ALTER TABLE t REPLICA IDENTITY FULL;
     ALTER TABLE t ALTER note SET STORAGE EXTERNAL;
     CREATE TABLE loose (id int PRIMARY KEY, note text);
     CREATE TABLE unpublished (id int);
     CREATE PUBLICATION ${db.publicationName} FOR TABLE t, loose`
  )

export interface Running {
  readonly events: Array<SinkEvent>
  readonly fiber: Fiber.Fiber<never, PgError>
}

/** What tests do with the stream of one database. */
export const streamsOn = (database: () => TestDatabase) => {
  const sql = (text: string) => Effect.promise(() => database().query(text))

  /** A fresh slot and empty tables, so that a test sees only its own changes. */
  const freshSlot = Effect.gen(function* () {
    const { slotName } = database()
    yield* until("slot is free", async () => {
      const rows = await database().query<{ active: boolean }>(
        `SELECT active FROM pg_replication_slots WHERE slot_name = '${slotName}'`
      )
      if (rows[0]?.active === true) return false
      if (rows.length > 0) await database().query(`SELECT pg_drop_replication_slot('${slotName}')`)
      return true
    })
    yield* sql("TRUNCATE t, loose")
    yield* sql(`SELECT pg_create_logical_replication_slot('${slotName}', 'pgoutput')`)
  })

  const confirmedFlush = Effect.map(
    Effect.promise(() =>
      database().queryText(
        `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${database().slotName}'`
      )
    ),
    ([row]) => journalLsn(parseLsn(row?.["lsn"] ?? "") ?? zeroServerLsn, 0n)
  )
  const untilConfirmed = (lsn: Lsn, what: string) =>
    until(what, async () => (await Effect.runPromise(confirmedFlush)) >= lsn)

  /** Streams in the background and returns once Postgres streams. */
  const streamFrom = (
    connection: ReplicationConnection,
    sinkOptions: Parameters<typeof recordingSink>[0] = {},
    options: Partial<StreamOptions> = {}
  ) =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const { sink, events } = recordingSink(sinkOptions)
      const fiber = yield* Effect.forkScoped(
        connection.stream({
          admin: yield* adminOf(database()),
          slotName: database().slotName,
          publicationName: database().publicationName,
          sink,
          shift: 0n,
          maxTransactionBytes: 100_000_000,
          onStarted: Effect.asVoid(Deferred.succeed(started, undefined)),
          ...options
        })
      )
      yield* Effect.raceFirst(Deferred.await(started), Effect.asVoid(Fiber.join(fiber)))
      const running: Running = { events, fiber }
      return running
    })

  return { sql, freshSlot, confirmedFlush, untilConfirmed, streamFrom }
}

/** First column of the inserted rows. */
export const rowsOf = (events: ReadonlyArray<SinkEvent>) =>
  events.flatMap((event) => (event.call === "insert" ? [event.row[0]] : []))

/** Ends of the commits. */
export const commits = (events: ReadonlyArray<SinkEvent>) =>
  events.flatMap((event) => (event.call === "commit" ? [event.lsn] : []))

/** What failed, if it is an error of Postgres; else what it was. */
export const kindOf = (exit: Exit.Exit<unknown, unknown>) => {
  const error = Exit.isFailure(exit)
    ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
    : exit
  return error instanceof PgError ? error.kind : error
}
