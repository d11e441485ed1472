import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { layer, SqliteClient } from "../../src/storage/checkpoint/SqliteClient.ts"
import { temporaryDirectory } from "./support.ts"

const file = (): string => join(temporaryDirectory(), "a.sqlite")

const withTable = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER)`
  return sql
})

describe("SqliteClient", () => {
  it.effect("runs statements, and fills in values and rows", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      yield* sql`INSERT INTO items ${sql.insert([
        { id: 1, name: "o'ne", size: null },
        { id: 2, name: "two", size: 20 }
      ])}`
      const returned =
        yield* sql`INSERT INTO items ${sql.insert({ id: 3, name: "three", size: 30 })} RETURNING id`
      assert.deepStrictEqual(returned, [{ id: 3 }])
      const found = yield* sql<{ name: string }>`SELECT name, size FROM items WHERE id IN ${sql.in([1, 3])}`
      assert.deepStrictEqual(
        found.map((row) => ({ ...row })),
        [
          { name: "o'ne", size: null },
          { name: "three", size: 30 }
        ] as ReadonlyArray<object>
      )
      assert.deepStrictEqual(yield* sql`SELECT id FROM items ORDER BY id`.values, [[1], [2], [3]])
      assert.deepStrictEqual(yield* sql`UPDATE items SET size = 0`, [])
    }).pipe(Effect.provide(layer({ filename: file() })))
  )

  it.effect("a transaction that fails, or is interrupted, leaves nothing behind", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      const insert = (id: number) => sql`INSERT INTO items ${sql.insert({ id, name: `n${id}`, size: 0 })}`
      yield* sql.withTransaction(insert(1))
      const failed = yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(2), Effect.fail("no"))))
      assert.isTrue(Exit.isFailure(failed))
      const fiber = yield* Effect.forkChild(sql.withTransaction(Effect.andThen(insert(3), Effect.never)), {
        startImmediately: true
      })
      yield* Fiber.interrupt(fiber)
      const inner = sql.withTransaction(Effect.andThen(insert(5), Effect.fail("only this")))
      yield* sql.withTransaction(Effect.andThen(insert(4), Effect.exit(inner)))
      assert.deepStrictEqual(yield* sql`SELECT id FROM items ORDER BY id`.values, [[1], [4]])
    }).pipe(Effect.provide(layer({ filename: file() })))
  )

  it.effect("transactions come one after the other, and others wait for them", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      yield* sql`INSERT INTO items ${sql.insert({ id: 1, name: "counter", size: 0 })}`
      const increment = sql.withTransaction(
        Effect.gen(function* () {
          const [row] = yield* sql<{ size: number }>`SELECT size FROM items`
          yield* Effect.yieldNow
          yield* sql`UPDATE items SET size = ${(row?.size ?? 0) + 1}`
        })
      )
      yield* Effect.all(
        Array.from({ length: 20 }, () => increment),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* sql`SELECT size FROM items`.values, [[20]])
    }).pipe(Effect.provide(layer({ filename: file() })))
  )

  it.effect("streams rows", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      yield* sql`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                 INSERT INTO items SELECT i, 'n' || i, i FROM n`
      const sum = yield* sql<{ size: number }>`SELECT size FROM items`.stream.pipe(
        Stream.runFold(
          () => 0,
          (total, { size }) => total + size
        )
      )
      assert.strictEqual(sum, 500_500)
      const first = yield* Stream.runCollect(Stream.take(sql`SELECT id FROM items ORDER BY id`.stream, 2))
      assert.strictEqual(first.length, 2)
    }).pipe(Effect.provide(layer({ filename: file() })))
  )

  it.effect("gives integers beyond 2^53 exactly where that is asked for", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      const large = 2n ** 60n + 1n
      yield* sql`INSERT INTO items VALUES (1, 'large', ${large})`
      const exact = sql`SELECT size FROM items`.values.pipe(
        Effect.provideService(SqlClient.SafeIntegers, true)
      )
      assert.deepStrictEqual(yield* exact, [[large]])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`SELECT size FROM items`)))
    }).pipe(Effect.provide(layer({ filename: file() })))
  )

  it.effect("tells failures apart", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      yield* sql`INSERT INTO items VALUES (1, 'a', 0)`
      const duplicate = yield* Effect.flip(sql`INSERT INTO items VALUES (2, 'a', 0)`)
      assert.strictEqual(duplicate.reason._tag, "UniqueViolation")
      const missing = yield* Effect.flip(sql`INSERT INTO items VALUES (3, ${null}, 0)`)
      assert.strictEqual(missing.reason._tag, "ConstraintError")
      const syntax = yield* Effect.flip(sql`SELEC`)
      assert.notStrictEqual(syntax.reason._tag, "UniqueViolation")
    }).pipe(Effect.provide(layer({ filename: file() })))
  )

  it.effect(
    "writes to the file, which needs no second one in DELETE mode, and opens it for reading alone",
    () =>
      Effect.gen(function* () {
        const filename = file()
        yield* Effect.gen(function* () {
          const sql = yield* withTable
          yield* sql`INSERT INTO items VALUES (1, 'kept', 0)`
          assert.isFalse(existsSync(`${filename}-wal`))
        }).pipe(
          Effect.provide(layer({ filename, journalMode: "DELETE", synchronous: "FULL", cacheBytes: 1 << 20 }))
        )
        yield* Effect.gen(function* () {
          const { db } = yield* SqliteClient
          assert.strictEqual(db.prepare("SELECT name FROM items").get()?.["name"], "kept")
          const sql = yield* SqlClient.SqlClient
          assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`DELETE FROM items`)))
        }).pipe(Effect.provide(layer({ filename, readonly: true })))
      })
  )

  it.effect("a file that is no database is a failure, not a crash", () =>
    Effect.gen(function* () {
      const opened = yield* Effect.exit(
        Effect.provide(
          SqlClient.SqlClient,
          layer({ filename: join(temporaryDirectory(), "none", "there.sqlite") })
        )
      )
      assert.isTrue(Exit.isFailure(opened))
    })
  )
})
