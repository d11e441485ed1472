import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { Effect, Fiber, Logger } from "effect"
import type { Queryable } from "../../src/postgres/connection/SessionPool.ts"
import {
  dropSlot,
  ensureSlot,
  readSlot,
  slotProblem,
  type SlotInfo
} from "../../src/replication/connection/Slot.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { adminOf, connectTo, until } from "./support.ts"
import { serverLsn, journalLsn } from "../../src/shared/Lsn.ts"

const database = databaseForFile((db) => db.query("CREATE TABLE t (id int)"))

const slotRow = (slotName: string) =>
  Effect.map(
    Effect.promise(() =>
      database().queryText(
        "SELECT temporary, active, plugin FROM pg_replication_slots WHERE slot_name = $1",
        [slotName]
      )
    ),
    ([row]) => (row === undefined ? undefined : { ...row })
  )

const logged = (lines: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))])

describe("replication slot", () => {
  it.live("is created once, then found, and dropped without complaint", () =>
    Effect.gen(function* () {
      const { slotName } = database()
      const admin = yield* adminOf(database())
      const connection = yield* connectTo(database())
      const options = { slotName, temporary: false, admin }
      const created = yield* ensureSlot(connection, options)
      assert.isTrue(created.created)
      assert.isTrue(journalLsn(created.confirmedFlushLsn, 0n) > 0n)
      assert.deepStrictEqual(yield* slotRow(slotName), { temporary: "f", active: "f", plugin: "pgoutput" })
      const found = yield* ensureSlot(connection, options)
      assert.deepStrictEqual(found, { ...created, created: false, walLsn: found.walLsn })
      assert.isTrue(found.walLsn >= created.confirmedFlushLsn)
      const info = yield* readSlot(connection.query, slotName)
      assert.strictEqual(info?.confirmedFlushLsn, created.confirmedFlushLsn)
      assert.strictEqual(info?.walStatus, "reserved")
      yield* dropSlot(connection.query, slotName)
      yield* dropSlot(admin.query, slotName)
      assert.isUndefined(yield* readSlot(admin.query, slotName))
      assert.isTrue((yield* ensureSlot(connection, options)).created)
      yield* dropSlot(connection.query, slotName)
    })
  )

  it.live.skipIf(inject("pg").majorVersion < 17)(
    "is one that standbys are given, whoever has made it and how",
    () =>
      Effect.gen(function* () {
        const { slotName } = database()
        const admin = yield* adminOf(database())
        const connection = yield* connectTo(database())
        const of = (failover: boolean, exportSnapshot = false) => ({
          slotName,
          temporary: false,
          failover,
          exportSnapshot,
          admin
        })
        const isFailover = Effect.map(readSlot(connection.query, slotName), (slot) => slot?.isFailover)
        for (const exportSnapshot of [false, true]) {
          const made = yield* ensureSlot(connection, of(true, exportSnapshot))
          assert.strictEqual(made.snapshotName !== undefined, exportSnapshot)
          assert.isTrue(yield* isFailover)
          yield* dropSlot(connection.query, slotName)
        }
        // By a release that did not do it, or as it was configured then.
        const made = yield* ensureSlot(connection, of(false))
        assert.isFalse(yield* isFailover)
        const found = yield* ensureSlot(connection, of(true))
        assert.isTrue(yield* isFailover)
        assert.strictEqual(found.confirmedFlushLsn, made.confirmedFlushLsn)
        yield* dropSlot(connection.query, slotName)
        // One that goes with its connection cannot be.
        yield* ensureSlot(connection, { ...of(true), temporary: true })
        assert.isFalse(yield* isFailover)
        yield* dropSlot(connection.query, slotName)
      })
  )

  it.live("goes with its connection when it is temporary", () =>
    Effect.gen(function* () {
      const slotName = `${database().slotName}_temporary`
      const admin = yield* adminOf(database())
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* connectTo(database())
          yield* ensureSlot(connection, { slotName, temporary: true, admin })
          assert.deepStrictEqual(yield* slotRow(slotName), {
            temporary: "t",
            active: "t",
            plugin: "pgoutput"
          })
        })
      )
      yield* until("slot is gone", async () => (await Effect.runPromise(slotRow(slotName))) === undefined)
    })
  )

  it.live("is waited for while the session that had it is just ending", () =>
    Effect.gen(function* () {
      const slotName = `${database().slotName}_busy`
      const admin = yield* adminOf(database())
      const holder = yield* connectTo(database())
      yield* ensureSlot(holder, { slotName, temporary: true, admin })
      const next = yield* connectTo(database())
      const options = { slotName, temporary: false, admin }
      const tooSoon = yield* Effect.flip(ensureSlot(next, { ...options, busyMillis: 50 }))
      assert.strictEqual(tooSoon.kind, "replication_slot_in_use")
      const waiting = yield* Effect.forkChild(ensureSlot(next, options), { startImmediately: true })
      yield* Effect.sleep(50)
      assert.isUndefined(waiting.pollUnsafe())
      yield* holder.close
      assert.isTrue((yield* Fiber.join(waiting)).created)
      yield* dropSlot(next.query, slotName)
    })
  )

  // Before version 16 there is nothing to ask it with.
  const since16 = it.live.skipIf(inject("pg").majorVersion < 16)
  since16("waits for open transactions, says so, and asks Postgres for what an idle database lacks", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const slotName = `${database().slotName}_blocked`
      const admin = yield* adminOf(database())
      const asked: Array<string> = []
      const listening: Queryable = {
        query: (text, params) => {
          asked.push(text)
          return admin.query(text, params)
        }
      }
      const connection = yield* connectTo(database())
      const blocker = yield* Effect.promise(() => database().connect())
      yield* Effect.promise(() => blocker.query("BEGIN; INSERT INTO t VALUES (1)"))
      const creating = yield* Effect.forkChild(
        ensureSlot(connection, { slotName, temporary: false, admin: listening, tickMillis: 100 }),
        { startImmediately: true }
      )
      yield* until("asked", () => asked.length >= 2)
      assert.isUndefined(creating.pollUnsafe())
      assert.match(asked[0] ?? "", /pg_log_standby_snapshot/)
      assert.match(lines[0] ?? "", /^Warn Creating the replication slot .* waits for transactions/)
      yield* Effect.promise(() => blocker.query("ROLLBACK"))
      assert.isTrue((yield* Fiber.join(creating)).created)
      yield* Effect.promise(() => blocker.end())
      yield* dropSlot(connection.query, slotName)
    }).pipe(Effect.provide(logged(lines)))
  })

  it.live("is given up by Postgres when the client dies during such a wait", () =>
    Effect.gen(function* () {
      const slotName = `${database().slotName}_orphan`
      const admin = yield* adminOf(database())
      const blocker = yield* Effect.promise(() => database().connect())
      yield* Effect.promise(() => blocker.query("BEGIN; INSERT INTO t VALUES (1)"))
      const connection = yield* connectTo(database())
      yield* connection.query("SELECT pg_advisory_lock(78)")
      const creating = yield* Effect.forkChild(
        ensureSlot(connection, { slotName, temporary: false, admin }),
        {
          startImmediately: true
        }
      )
      yield* until("half made", async () => (await Effect.runPromise(slotRow(slotName))) !== undefined)
      const other = yield* connectTo(database())
      const half = yield* Effect.flip(
        ensureSlot(other, { slotName, temporary: false, admin, busyMillis: 100 })
      )
      assert.strictEqual(half.kind, "replication_slot_in_use")
      yield* Fiber.interrupt(creating)
      // The transaction is still open, and yet the lock is free.
      yield* other.query("SELECT pg_advisory_lock(78)").pipe(Effect.timeout("5 seconds"))
      yield* until("no slot is left", async () => (await Effect.runPromise(slotRow(slotName))) === undefined)
      yield* Effect.promise(() => blocker.query("ROLLBACK").then(() => blocker.end()))
    })
  )

  it.live("of somebody else is refused", () =>
    Effect.gen(function* () {
      const slotName = `${database().slotName}_physical`
      const admin = yield* adminOf(database())
      yield* Effect.promise(() =>
        database().query(`SELECT pg_create_physical_replication_slot('${slotName}')`)
      )
      const connection = yield* connectTo(database())
      const error = yield* Effect.flip(ensureSlot(connection, { slotName, temporary: false, admin }))
      assert.strictEqual(error.kind, "config_error")
      assert.strictEqual(error.recovery, "fatal")
      yield* Effect.promise(() => database().query(`SELECT pg_drop_replication_slot('${slotName}')`))
    })
  )

  it("is of no use when Postgres says so, in the words of any version", () => {
    const good: SlotInfo = {
      plugin: "pgoutput",
      temporary: false,
      ofThisDatabase: true,
      database: "d",
      activePid: null,
      confirmedFlushLsn: serverLsn(2n ** 63n + 5n, 0n),
      restartLsn: serverLsn(1n, 0n),
      walStatus: "extended",
      invalidationReason: null,
      isFailover: null,
      walLsn: serverLsn(2n ** 63n + 7n, 0n)
    }
    const kind = (change: Partial<SlotInfo>) => slotProblem({ ...good, ...change }, "s")?.kind
    assert.isUndefined(kind({}))
    assert.isUndefined(kind({ walStatus: "unreserved" }))
    assert.strictEqual(kind({ walStatus: "lost", restartLsn: null }), "database_slot_exceeded_max_size")
    assert.strictEqual(
      kind({ walStatus: "lost", invalidationReason: "wal_removed" }),
      "database_slot_exceeded_max_size"
    )
    assert.strictEqual(kind({ invalidationReason: "idle_timeout" }), "database_slot_invalidated")
    assert.strictEqual(
      kind({ walStatus: "lost", invalidationReason: "rows_removed" }),
      "database_slot_invalidated"
    )
    assert.strictEqual(kind({ confirmedFlushLsn: null, activePid: 1 }), "replication_slot_in_use")
    assert.strictEqual(kind({ ofThisDatabase: false }), "config_error")
    assert.strictEqual(kind({ plugin: "wal2json" }), "config_error")
  })
})
