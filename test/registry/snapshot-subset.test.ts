import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { tmpdir } from "node:os"
import { piecesOf } from "../../testing/readers/Pieces.ts"
import { type Limits, standardLimits } from "../../src/config/Limits.ts"
import { makeSubsetReader, type SubsetQuery } from "../../src/registry/subset/SubsetReader.ts"
import { beginSnapshot, beginSql } from "../../src/registry/snapshot/SnapshotTransaction.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { definitionOf, type RowMessage, sessionsOf } from "./snapshot-support.ts"
import { patient } from "../../testing/Load.ts"
import { systemTimers } from "../../src/shared/Timers.ts"

const db = databaseForFile((database) =>
  database.query(`
    CREATE TYPE mood AS ENUM ('ok', 'bad');
    CREATE TABLE items (id int PRIMARY KEY, title text, mood mood);
    INSERT INTO items SELECT i, 'title ' || i, 'ok' FROM generate_series(1, 20000) i
  `)
)

const everything: SubsetQuery = { where: undefined, orderBy: undefined, limit: undefined, offset: undefined }
const condition = (sql: string) => ({ sql, expression: {} })

const readSubset = Effect.fnUntraced(function* (
  query: Partial<SubsetQuery>,
  shape: Partial<ShapeDefinition> = {},
  options: Parameters<typeof sessionsOf>[1] = {},
  limits: Partial<Limits> = {}
) {
  const sessions = yield* sessionsOf(db(), options)
  const definition = yield* Effect.promise(() => definitionOf(db(), "items", shape))
  return yield* makeSubsetReader(sessions, { ...standardLimits, ...limits }, [tmpdir()], systemTimers).read(
    { id: 1, handle: "1-1", definition, dropped: false },
    { ...everything, ...query }
  )
})

const collect = Effect.fnUntraced(function* (...parameters: Parameters<typeof readSubset>) {
  const snapshot = yield* readSubset(...parameters)
  const pieces = yield* Effect.promise(() => piecesOf(snapshot.rows()))
  const rows = JSON.parse(`[${Buffer.concat(pieces).toString()}]`) as ReadonlyArray<RowMessage>
  return { snapshot, rows, pieces }
})

/** Our sessions in this database that are in a transaction. */
const active = () =>
  db().query(
    "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND application_name = 'baton snapshot' AND state <> 'idle'",
    [db().name]
  )

describe("a subset", () => {
  it.live("holds the rows that are in the shape and meet the condition, in the order asked for", () =>
    Effect.gen(function* () {
      const { rows, snapshot } = yield* collect(
        { where: condition("id = 2 OR id > 19990"), orderBy: '"id" DESC', limit: 3, offset: 1 },
        { where: condition("id = 1 OR id % 2 = 0") }
      )
      assert.deepStrictEqual(
        rows.map(({ value }) => value["id"]),
        ["19998", "19996", "19994"]
      )
      assert.deepStrictEqual(rows[0]?.headers, {
        operation: "insert",
        relation: ["public", "items"],
        snapshot_mark: snapshot.snapshotMark
      })
      assert.isTrue(snapshot.xmax >= snapshot.xmin && snapshot.databaseLsn > 0n)
      assert.isTrue(Number.isInteger(snapshot.snapshotMark) && snapshot.snapshotMark >= 0)
      const both = yield* collect({ where: condition("id = 2") }, { where: condition("id = 1 OR id = 2") })
      assert.deepStrictEqual(
        both.rows.map(({ value }) => value["id"]),
        ["2"]
      )
    })
  )

  it.live("comes in pieces when it is large, and can be empty", () =>
    Effect.gen(function* () {
      const { pieces, rows } = yield* collect({ orderBy: "id" })
      assert.deepStrictEqual(
        rows.map(({ value }) => value["id"]),
        Array.from({ length: 20_000 }, (_, i) => String(i + 1))
      )
      assert.isAbove(pieces.length, 5)
      for (const piece of pieces) assert.isAtMost(piece.length, 256 * 1024)
      const nothing = yield* collect({ where: condition("false") })
      assert.deepStrictEqual([nothing.rows, nothing.pieces], [[], []])
    })
  )

  it.live("with a value that Postgres refuses says what it is, before anything is sent", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(readSubset({ where: condition("mood = 'zz'") }))
      assert.strictEqual(error._tag, "SubsetRefused")
      assert.strictEqual(error.message, 'invalid input value for enum mood: "zz"')
    })
  )

  it.live("that fails on a row does not quote the row", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(readSubset({ where: condition("title::int = 1") }))
      assert.strictEqual(error._tag, "SubsetRefused")
      assert.strictEqual(error.message, "the condition cannot be evaluated for every row (SQLSTATE 22P02)")
    })
  )

  it.live("fails otherwise without telling clients why, or as something that passes", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.flip(readSubset({}, { columns: ["id", "gone"] }))
      assert.strictEqual(gone._tag, "SubsetOutdated")
      const unknown = yield* Effect.flip(readSubset({ where: condition("gone(id)") }))
      assert.strictEqual(unknown._tag, "SubsetOutdated")
      const unavailable = yield* Effect.flip(readSubset({}, {}, { target: { host: "127.0.0.1", port: 1 } }))
      assert.strictEqual(unavailable._tag, "SubsetUnavailable")
      assert.strictEqual(unavailable.message, "Database connection not available")
    })
  )

  it.live("that nobody reads to its end leaves no query behind", () =>
    Effect.gen(function* () {
      const cross = { orderBy: "random()" }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const snapshot = yield* readSubset(cross)
          yield* Effect.promise(() => snapshot.rows().next())
          assert.strictEqual((yield* Effect.promise(active)).length, 0, "before its reader is done")
        })
      )
      yield* Effect.promise(() => eventually("the query to end", async () => (await active()).length === 0))
      const slow = yield* Effect.forkChild(
        Effect.scoped(readSubset({ where: condition("pg_sleep(60) IS NOT NULL") }))
      )
      yield* Effect.promise(() => eventually("the query to start", async () => (await active()).length === 1))
      yield* Fiber.interrupt(slow)
      yield* Effect.promise(() => eventually("the query to end", async () => (await active()).length === 0))
    })
  )

  it.live("is over for Postgres before its reader begins, and is the same from memory and from a file", () =>
    Effect.gen(function* () {
      const snapshot = yield* readSubset({ orderBy: "id" })
      assert.strictEqual((yield* Effect.promise(active)).length, 0)
      const streamed = Buffer.concat(yield* Effect.promise(() => piecesOf(snapshot.rows())))
      assert.isAbove(streamed.length, 2 * 1024 * 1024, "a part of it is in a file")
      assert.strictEqual(snapshot.byteLength, streamed.length)
      const pieces = yield* Effect.promise(() => piecesOf(snapshot.rows(Buffer.alloc(10_000))))
      assert.isTrue(Buffer.concat(pieces).equals(streamed))
    })
  )

  it.live("that takes too long ends in Postgres too, and says which limit that was", () =>
    Effect.gen(function* () {
      const begun = performance.now()
      const slow = readSubset({ where: condition("pg_sleep(60) IS NOT NULL") }, {}, {}, { subsetMillis: 300 })
      const error = yield* Effect.flip(slow)
      assert.isBelow(performance.now() - begun, patient(5000))
      assert.strictEqual(error._tag, "SubsetUnavailable")
      assert.strictEqual(
        error.message,
        "The time of a subset's query is above the limit of 300 ms (BATON_MAX_SUBSET_TIME)"
      )
      yield* Effect.promise(() => eventually("the query to end", async () => (await active()).length === 0))
    })
  )

  it.live("has a time-out in Postgres, or the shorter one that is there", () =>
    Effect.gen(function* () {
      const timeout = Effect.fnUntraced(function* (options: string) {
        const sessions = yield* sessionsOf(db(), { size: 1 })
        const { session } = yield* beginSnapshot(sessions, 1, 30_000)
        // As the role or the database would have it.
        yield* session.run(`ROLLBACK; SET statement_timeout = '${options}'`)
        yield* session.run("SELECT 1")
        return yield* Effect.scoped(
          Effect.gen(function* () {
            yield* session.run(beginSql(1, 30_000))
            const rows = yield* session.run("SELECT current_setting('statement_timeout')")
            return rows[0]?.[0]?.[0]
          })
        )
      })
      for (const [there, inForce] of [
        ["0", "30s"],
        ["20s", "20s"],
        ["500ms", "500ms"],
        ["1h", "30s"],
        ["2d", "30s"]
      ] as const)
        assert.strictEqual(yield* Effect.scoped(timeout(there)), inForce, there)
    })
  )

  it.live("that is too large is refused, and so is one for which there is no room now", () =>
    Effect.gen(function* () {
      const large = yield* Effect.flip(readSubset({}, {}, {}, { subsetBytes: 300_000 }))
      assert.strictEqual(large._tag, "SubsetTooLarge")
      assert.strictEqual(
        large.message,
        "The answer to a subset's query is above the limit of 300000 bytes (BATON_MAX_SUBSET_ANSWER)"
      )
      const full = yield* Effect.flip(readSubset({}, {}, {}, { subsetsHeldBytes: 300_000 }))
      assert.strictEqual(full._tag, "SubsetUnavailable")
      assert.include(full.message, "BATON_MAX_SUBSETS_HELD")
    })
  )

  it.live("leaves sessions for others, whatever many of them do", () =>
    Effect.gen(function* () {
      const sessions = yield* sessionsOf(db(), { size: 3, subsets: 2 })
      const definition = yield* Effect.promise(() => definitionOf(db(), "items"))
      const reader = makeSubsetReader(sessions, standardLimits, [tmpdir()], systemTimers)
      const sleeping = { ...everything, where: condition("pg_sleep(60) IS NOT NULL") }
      const slow = yield* Effect.forkChild(
        Effect.forEach(
          [1, 2, 3, 4, 5],
          () => Effect.scoped(reader.read({ id: 1, handle: "1-1", definition, dropped: false }, sleeping)),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.promise(() =>
        eventually("the queries to start", async () => (await active()).length === 2)
      )
      yield* Effect.scoped(Effect.timeout(sessions.acquire, 2000))
      yield* Fiber.interrupt(slow)
    })
  )

  it.live("is not kept waiting by long ones: one of them gives way, and says so", () =>
    Effect.gen(function* () {
      const contendedMillis = patient(500)
      const sessions = yield* sessionsOf(db(), { size: 4, subsets: 3, contendedMillis })
      const definition = yield* Effect.promise(() => definitionOf(db(), "items"))
      const reader = makeSubsetReader(sessions, standardLimits, [tmpdir()], systemTimers)
      const read = (id: number, where: string) =>
        Effect.scoped(
          reader.read(
            { id, handle: `${id}-1`, definition, dropped: false },
            { ...everything, where: condition(where) }
          )
        )
      const failures: Array<{ readonly _tag: string; readonly message: string }> = []
      const slow = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 12 }),
          () =>
            Effect.catch(read(1, "pg_sleep(60) IS NOT NULL"), (error) =>
              Effect.sync(() => failures.push({ _tag: error._tag, message: String(error) }))
            ),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.promise(() =>
        eventually("the queries to start", async () => (await active()).length === 3)
      )
      // Three have the connections, and nine came before it: it is another shape's turn all the same.
      yield* Effect.timeout(read(2, "id = 1"), patient(10_000))
      assert.isAtLeast(failures.length, 1)
      for (const { _tag, message } of failures) {
        assert.strictEqual(_tag, "SubsetUnavailable")
        assert.match(message, /above the limit of \d+ ms \(BATON_MAX_QUERY_TIME_UNDER_LOAD\)/)
      }
      yield* Fiber.interrupt(slow)
      yield* Effect.promise(() => eventually("the queries to end", async () => (await active()).length === 0))
    })
  )
})
