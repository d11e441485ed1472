import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { makeSubsetReader, type SubsetQuery } from "../../src/registry/SubsetReader.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { databaseForFile } from "../support/database.ts"
import { eventually } from "../support/eventually.ts"
import { definitionOf, type RowMessage, sessionsOf } from "./snapshot-support.ts"

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
  options: Parameters<typeof sessionsOf>[1] = {}
) {
  const sessions = yield* sessionsOf(db(), options)
  const definition = yield* Effect.promise(() => definitionOf(db(), "items", shape))
  return yield* makeSubsetReader(sessions).read(
    { id: 1, handle: "1-1", definition },
    { ...everything, ...query }
  )
})

const collect = Effect.fnUntraced(function* (...parameters: Parameters<typeof readSubset>) {
  const snapshot = yield* readSubset(...parameters)
  const pieces = yield* Stream.runCollect(snapshot.rows)
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
      const failed = yield* Effect.flip(readSubset({}, { columns: ["id", "gone"] }))
      assert.strictEqual(failed._tag, "SubsetFailed")
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
          yield* Stream.runHead(snapshot.rows)
          assert.strictEqual((yield* Effect.promise(active)).length, 1)
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
})
