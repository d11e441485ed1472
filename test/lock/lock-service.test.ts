import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import pg from "pg"
import { acquireLock, type AcquireOptions } from "../../src/lock/LockService.ts"
import { isHeld } from "../../src/lock/lockKey.ts"
import { ensureSlot } from "../../src/replication/Slot.ts"
import type { ReplicationConnection } from "../../src/replication/ReplicationConnection.ts"
import { createDatabase, databaseForFile, type TestDatabase } from "../support/database.ts"
import { recordingSink } from "../replication/recording-sink.ts"
import { adminOf, connectTo, until } from "../replication/support.ts"

const database = databaseForFile((db) =>
  db.query(`CREATE PUBLICATION ${db.publicationName}; CREATE TABLE t (id int)`)
)

const holders = (db: TestDatabase = database()) =>
  db
    .query<{ pid: number }>(`SELECT l.pid FROM pg_locks l WHERE ${isHeld(db.slotName)}`)
    .then((rows) => rows.map((row) => row.pid))

const isWaiting = (connection: ReplicationConnection) =>
  until("waits for the lock", () =>
    database()
      .query(`SELECT 1 FROM pg_locks WHERE pid = ${connection.backendPid} AND NOT granted`)
      .then((rows) => rows.length > 0)
  )

const lock = (connection: ReplicationConnection, options: Partial<AcquireOptions> = {}) =>
  Effect.flatMap(adminOf(database()), (admin) =>
    acquireLock(connection, { lockName: database().slotName, admin, ...options })
  )

/** A session of a program that knows nothing of our protocol. */
const rawSession = (options: { readonly replication: boolean; readonly applicationName: string }) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const { host, port, user, password, name } = database()
      const config = {
        host,
        port,
        user,
        password,
        database: name,
        application_name: options.applicationName,
        ...(options.replication ? { replication: "database" } : {})
      }
      const client = new pg.Client(config)
      client.on("error", () => {})
      await client.connect()
      await client.query(`SELECT pg_advisory_lock(hashtext('${database().slotName}'))`)
      return client
    }),
    (client) => Effect.promise(() => client.end().catch(() => {}))
  )

const slotExists = Effect.gen(function* () {
  const admin = yield* adminOf(database())
  const connection = yield* connectTo(database())
  yield* ensureSlot(connection, { slotName: database().slotName, temporary: false, admin })
  yield* connection.close
})

describe("lock", () => {
  it.live("is held under the key that every version uses, by the walsender, until its connection ends", () =>
    Effect.gen(function* () {
      const connection = yield* connectTo(database())
      yield* lock(connection)
      assert.deepStrictEqual(yield* Effect.promise(() => holders()), [connection.backendPid])
      const free = `SELECT pg_try_advisory_lock(hashtext('${database().slotName}')) AS free`
      assert.deepStrictEqual(yield* Effect.promise(() => database().query(free)), [{ free: false }])
      const [row] = yield* connection.query("SELECT current_setting('statement_timeout') AS timeout")
      assert.strictEqual(row?.["timeout"], "0")
      yield* connection.close
      yield* until("lock is free", async () => (await holders()).length === 0)
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
        const seen = yield* Effect.promise(() =>
          database().query(`SELECT l.pid FROM pg_locks l WHERE ${isHeld(name)}`)
        )
        assert.strictEqual(seen.length, 1)
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
        else
          yield* Effect.promise(() => database().query(`SELECT pg_terminate_backend(${holder.backendPid})`))
        yield* Fiber.join(waiting)
        took.push(grantedAt - from)
        assert.deepStrictEqual(yield* Effect.promise(() => holders()), [waiter.backendPid])
        holder = waiter
      }
      const median = took.toSorted((a, b) => a - b)[5] ?? Infinity
      assert.isBelow(median, 25, took.map((ms) => ms.toFixed(1)).join(", "))
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
      assert.isBelow(performance.now() - from, 300)
      yield* until(
        "backend is gone",
        () =>
          database()
            .query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${waiter.backendPid}`)
            .then((rows) => rows.length === 0),
        3_000
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
      yield* Effect.promise(() => database().query(`SELECT pg_terminate_backend(${waiter.backendPid})`))
      assert.isTrue((yield* Effect.flip(Fiber.join(waiting))).unreachable)
    })
  )

  const quick = { tickMillis: 100, patienceMillis: { stuck: 100, baton: 2_100, foreign: 60_000 } }

  for (const [who, options] of [
    ["walsender that did nothing since it took it", { replication: true, applicationName: "" }],
    ["session that can never stream", { replication: false, applicationName: "psql" }],
    ["frozen instance of ours", { replication: true, applicationName: "baton" }]
  ] as const) {
    it.live(`is taken from a ${who}, once there is a slot that nobody streams from`, () =>
      Effect.gen(function* () {
        const holder = yield* rawSession(options)
        const waiter = yield* connectTo(database(), { walSenderTimeoutMillis: 2_000 })
        const waiting = yield* Effect.forkChild(lock(waiter, quick), { startImmediately: true })
        yield* isWaiting(waiter)
        const [before] = yield* Effect.promise(() => holders())
        yield* Effect.sleep(400)
        assert.deepStrictEqual(yield* Effect.promise(() => holders()), [before], "there is no slot yet")
        yield* slotExists
        yield* Fiber.join(waiting)
        assert.deepStrictEqual(yield* Effect.promise(() => holders()), [waiter.backendPid])
        yield* waiter.close
        yield* Effect.promise(() =>
          database().query(`SELECT pg_drop_replication_slot('${database().slotName}')`)
        )
        yield* Effect.promise(() => holder.end().catch(() => {}))
      })
    )
  }

  it.live("stays with a healthy holder that is slow to begin streaming, and with one that streams", () =>
    Effect.gen(function* () {
      yield* slotExists
      const holder = yield* connectTo(database())
      yield* lock(holder)
      const waiter = yield* connectTo(database(), { walSenderTimeoutMillis: 2_000 })
      const waiting = yield* Effect.forkChild(lock(waiter, quick), { startImmediately: true })
      yield* isWaiting(waiter)
      // Longer than the patience with one of ours that is silent; this one is not.
      yield* Effect.sleep(3_500)
      assert.deepStrictEqual(yield* Effect.promise(() => holders()), [holder.backendPid])
      const started = yield* Deferred.make<void>()
      yield* Effect.forkScoped(
        holder.stream({
          slotName: database().slotName,
          publicationName: database().publicationName,
          sink: recordingSink({}).sink,
          maxTransactionBytes: 1_000_000,
          onStarted: Effect.asVoid(Deferred.succeed(started, undefined))
        })
      )
      yield* Deferred.await(started)
      yield* Effect.sleep(500)
      assert.deepStrictEqual(yield* Effect.promise(() => holders()), [holder.backendPid])
      assert.isUndefined(waiting.pollUnsafe())
      yield* holder.close
      yield* Fiber.join(waiting)
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
      assert.deepStrictEqual(yield* Effect.promise(() => holders()), [mine.backendPid])
    })
  )
})
