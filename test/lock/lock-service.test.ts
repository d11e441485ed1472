import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { isHeld } from "../../src/lock/LockKey.ts"
import { connectTo, until } from "../replication/support.ts"
import { createDatabase, databaseForFile } from "../../testing/postgres/Database.ts"
import { contestOn } from "./contest.ts"
import { patient } from "../../testing/Load.ts"

const database = databaseForFile()
const { holders, isWaiting, lock, rows } = contestOn(database)

describe("lock", () => {
  it.live("is held under the key that every version uses, by the walsender, until its connection ends", () =>
    Effect.gen(function* () {
      const connection = yield* connectTo(database())
      yield* lock(connection)
      assert.deepStrictEqual(yield* holders, [connection.backendPid])
      const free = `SELECT pg_try_advisory_lock(hashtext('${database().slotName}')) AS free`
      assert.deepStrictEqual(yield* rows(free), [{ free: false }])
      const [row] = yield* connection.query("SELECT current_setting('statement_timeout') AS timeout")
      assert.strictEqual(row?.["timeout"], "0")
      yield* connection.close
      yield* until("lock is free", () => Effect.runPromise(holders).then((pids) => pids.length === 0))
    })
  )

  it.live("is recognised whatever the sign of its key", () =>
    Effect.gen(function* () {
      const signs = new Set<number>()
      for (let i = 0; signs.size < 2 && i < 50; i++) {
        const name = `electric_slot_sign_${i}`
        const client = yield* Effect.promise(() => database().connect())
        const [row] = yield* Effect.promise(() =>
          client
            .query<{ key: number }>(
              `SELECT hashtext('${name}') AS key, pg_advisory_lock(hashtext('${name}'))`
            )
            .then((result) => result.rows)
        )
        signs.add(Math.sign(row?.key ?? 0))
        assert.strictEqual((yield* rows(`SELECT l.pid FROM pg_locks l WHERE ${isHeld(name)}`)).length, 1)
        yield* Effect.promise(() => client.end())
      }
      assert.strictEqual(signs.size, 2)
    })
  )

  it.live("goes to the one that waits when its holder closes, and when its holder is terminated", () =>
    Effect.gen(function* () {
      const took: Array<number> = []
      let holder = yield* connectTo(database())
      yield* lock(holder)
      for (let i = 0; i < 10; i++) {
        const waiter = yield* connectTo(database())
        let grantedAt = 0
        const waiting = yield* Effect.forkChild(
          Effect.tap(lock(waiter), () => Effect.sync(() => (grantedAt = performance.now()))),
          { startImmediately: true }
        )
        yield* isWaiting(waiter)
        const from = performance.now()
        if (i % 2 === 0) yield* holder.close
        else yield* rows(`SELECT pg_terminate_backend(${holder.backendPid})`)
        yield* Fiber.join(waiting)
        took.push(grantedAt - from)
        assert.deepStrictEqual(yield* holders, [waiter.backendPid])
        holder = waiter
      }
      const median = took.toSorted((a, b) => a - b)[5] ?? Infinity
      assert.isBelow(median, patient(100), took.map((ms) => ms.toFixed(1)).join(", "))
      yield* holder.close
    })
  )

  it.live("begins its wait anew when Postgres cancels it, and still gets it", () =>
    Effect.gen(function* () {
      const holder = yield* connectTo(database())
      yield* lock(holder)
      const waiter = yield* connectTo(database())
      const waiting = yield* Effect.forkChild(lock(waiter, { renewWaitMillis: 50 }), {
        startImmediately: true
      })
      const begun = new Set<string>()
      yield* until("three waits", async () => {
        const [row] = await database().queryText(
          `SELECT query_start AS at FROM pg_stat_activity WHERE pid = ${waiter.backendPid} AND query LIKE '%pg_advisory_lock%'`
        )
        if (row !== undefined) begun.add(row["at"] ?? "")
        return begun.size >= 3
      })
      yield* holder.close
      yield* Fiber.join(waiting)
      const [row] = yield* waiter.query("SELECT current_setting('statement_timeout') AS timeout")
      assert.strictEqual(row?.["timeout"], "0")
    })
  )

  it.live("can be given up while waiting, and leaves no backend in the queue", () =>
    Effect.gen(function* () {
      const holder = yield* connectTo(database())
      yield* lock(holder)
      const waiter = yield* connectTo(database())
      const waiting = yield* Effect.forkChild(lock(waiter), { startImmediately: true })
      yield* isWaiting(waiter)
      const from = performance.now()
      yield* Fiber.interrupt(waiting)
      assert.isBelow(performance.now() - from, patient(1_000))
      yield* until(
        "backend is gone",
        () =>
          database()
            .query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${waiter.backendPid}`)
            .then((found) => found.length === 0),
        8_000
      )
    })
  )

  it.live("ends with an error when the waiting connection is lost", () =>
    Effect.gen(function* () {
      const holder = yield* connectTo(database())
      yield* lock(holder)
      const waiter = yield* connectTo(database())
      const waiting = yield* Effect.forkChild(lock(waiter), { startImmediately: true })
      yield* isWaiting(waiter)
      yield* rows(`SELECT pg_terminate_backend(${waiter.backendPid})`)
      assert.isTrue((yield* Effect.flip(Fiber.join(waiting))).unreachable)
    })
  )

  it.live("of another database with the same name is somebody else's", () =>
    Effect.gen(function* () {
      const other = yield* Effect.acquireRelease(
        Effect.promise(() => createDatabase()),
        (db) => Effect.promise(() => db.drop())
      )
      const theirs = yield* Effect.promise(() => other.connect())
      yield* Effect.promise(() => theirs.query(`SELECT pg_advisory_lock(hashtext('${database().slotName}'))`))
      const mine = yield* connectTo(database())
      yield* lock(mine)
      assert.deepStrictEqual(yield* holders, [mine.backendPid])
    })
  )
})
