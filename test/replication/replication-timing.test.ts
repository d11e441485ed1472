import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import type { Queryable } from "../../src/postgres/connection/SessionPool.ts"
import { connect } from "../../src/replication/stream/ReplicationConnection.ts"
import { scopedDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { commits, rowsOf, setUpTables, streamsOn } from "./streams.ts"
import { connectTo, plainConfig, proxyTo, targetOf, until } from "./support.ts"
import { loadFactor, patient } from "../../testing/Load.ts"

/** Each test has a database of its own: most of their time is waiting, so they run side by side. */
const onDatabase = (
  name: string,
  body: (
    database: () => TestDatabase,
    on: ReturnType<typeof streamsOn>
  ) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const db = yield* scopedDatabase()
      yield* Effect.promise(() => setUpTables(db))
      const database = () => db
      yield* body(database, streamsOn(database))
    })
  )

describe.concurrent("replication connection", () => {
  onDatabase("shows a sign of life every two seconds before it streams", (database) =>
    Effect.gen(function* () {
      // Twice the heartbeat is the shortest bound there is; the session has to outlive it.
      const connection = yield* connectTo(database(), { walSenderTimeoutMillis: patient(1_000) })
      const changes = new Set<string>()
      yield* until("two heartbeats", async () => {
        const [row] = await database().queryText(
          `SELECT state_change AS at, clock_timestamp() - state_change > '${patient(2_000)} ms' AS late FROM pg_stat_activity WHERE pid = ${connection.backendPid}`
        )
        assert.strictEqual(row?.["late"], "f")
        changes.add(row?.["at"] ?? "")
        return changes.size > 2
      })
      assert.deepStrictEqual(yield* connection.query("SELECT 1 AS one"), [{ one: "1" }])
    })
  )

  onDatabase("leaves a snapshot that it exports there until it can be taken up, and lives on", (database) =>
    Effect.gen(function* () {
      const connection = yield* connectTo(database(), { walSenderTimeoutMillis: patient(6_000) })
      const [made] = yield* connection.queryExporting(
        'CREATE_REPLICATION_SLOT "exporting" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT'
      )
      // Longer than between two signs of life, as on a machine that is busy.
      const silentFor = async (millis: number) => {
        const [row] = await database().queryText(
          `SELECT clock_timestamp() - state_change > '${millis} ms' AS late FROM pg_stat_activity WHERE pid = ${connection.backendPid}`
        )
        return row?.["late"] === "t"
      }
      yield* until("more than a heartbeat", () => silentFor(2_000))
      const reader = yield* Effect.promise(() => database().connect())
      yield* Effect.addFinalizer(() => Effect.promise(() => reader.end()))
      yield* Effect.promise(() => reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ"))
      yield* Effect.promise(() => reader.query(`SET TRANSACTION SNAPSHOT '${made?.["snapshot_name"]}'`))
      yield* until("a sign of life", async () => !(await silentFor(1_000)))
      assert.deepStrictEqual(yield* connection.query("SELECT 1 AS one"), [{ one: "1" }])
    })
  )

  onDatabase(
    "lets everything else have its turn while changes take long",
    (database, { sql, freshSlot, streamFrom }) =>
      Effect.gen(function* () {
        yield* freshSlot
        const connection = yield* connectTo(database())
        let turns = 0
        let ticking = true
        const tick = (): void => {
          turns++
          if (ticking) setImmediate(tick)
        }
        const turnsAt: Array<number> = []
        const { events } = yield* streamFrom(connection, {
          answer: (event) => {
            turnsAt.push(turns)
            if (event.call === "insert") for (const end = performance.now() + 2; performance.now() < end;);
            return undefined
          }
        })
        tick()
        // Small enough to be in the socket as a whole while the first rows are dealt with.
        yield* sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1000, 1199) i")
        yield* until("all rows", () => commits(events).length === 1)
        ticking = false
        assert.deepStrictEqual(
          rowsOf(events),
          Array.from({ length: 200 }, (_, i) => String(1000 + i))
        )
        // 400 ms of work, 10 ms at a time; without turns there are as many as pieces come from the socket.
        const inserts = turnsAt.filter((_, i) => events[i]?.call === "insert")
        const last = inserts.slice(100)
        assert.isAtLeast((last.at(-1) ?? 0) - (last[0] ?? 0), 8)
      })
  )

  onDatabase(
    "keeps the session alive while the sink makes the stream wait",
    (database, { sql, freshSlot, streamFrom }) =>
      Effect.gen(function* () {
        yield* freshSlot
        const walSenderTimeoutMillis = patient(1_000)
        const connection = yield* connectTo(database(), { walSenderTimeoutMillis })
        let running = 0
        const overlaps: Array<number> = []
        const { events, fiber } = yield* streamFrom(connection, {
          answer: (event) => {
            overlaps.push(running)
            if (event.call !== "insert") return undefined
            return Effect.suspend(() => {
              running++
              return Effect.andThen(
                Effect.sleep(event.row[0] === "30" ? 2.5 * walSenderTimeoutMillis : 5),
                Effect.sync(() => void running--)
              )
            })
          }
        })
        yield* sql("INSERT INTO t SELECT i, repeat('x', 100000) FROM generate_series(30, 129) i")
        yield* until("all rows", () => commits(events).length === 1)
        assert.deepStrictEqual(
          rowsOf(events),
          Array.from({ length: 100 }, (_, i) => String(30 + i))
        )
        assert.isTrue(
          overlaps.every((count) => count === 0),
          "the sink was called while it was busy"
        )
        assert.isUndefined(fiber.pollUnsafe())
        assert.isTrue(events.some((event) => event.call === "batchEnd"))
        // Postgres answered status updates in the middle of the transaction; those positions mean nothing.
        const begin = events.findIndex((event) => event.call === "begin")
        const commit = events.findIndex((event) => event.call === "commit")
        assert.isFalse(events.slice(begin, commit).some((event) => event.call === "keepalive"))
      })
  )

  onDatabase(
    "notices a network that swallows everything, by asking another way",
    (database, { freshSlot, streamFrom }) =>
      Effect.gen(function* () {
        yield* freshSlot
        const network = yield* proxyTo(database())
        const target = { ...targetOf(database()), port: network.port }
        const walSenderTimeoutMillis = patient(600)
        const connection = yield* connect({ target, config: { ...plainConfig, walSenderTimeoutMillis } })
        let asked = 0
        let alive = true
        const admin: Queryable = {
          query: () => {
            asked++
            return Effect.succeed((alive ? [{}] : []) as ReadonlyArray<object> as ReadonlyArray<never>)
          }
        }
        const { fiber } = yield* streamFrom(connection, {}, { admin })
        yield* Effect.sleep(1.6 * walSenderTimeoutMillis)
        assert.strictEqual(asked, 0, "asked although the server answers")
        network.freeze()
        yield* until("asked twice", () => asked >= 2)
        assert.isUndefined(fiber.pollUnsafe(), "a silent walsender that lives is left alone")
        alive = false
        assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).kind, "connection_timeout")
      })
  )

  onDatabase(
    "acknowledges on close, and frees lock and slot at once",
    (database, { sql, freshSlot, confirmedFlush, streamFrom }) =>
      Effect.gen(function* () {
        yield* freshSlot
        const waited: Array<number> = []
        let inTime = 0
        for (let i = 0; i < 7; i++) {
          let durable = 0n
          const holder = yield* connectTo(database())
          yield* holder.query("SELECT pg_advisory_lock(77)")
          const { events } = yield* streamFrom(holder, { durable: () => durable })
          const waiter = yield* connectTo(database())
          let grantedAt = 0
          const granted = yield* Effect.forkChild(
            Effect.tap(waiter.query("SELECT pg_advisory_lock(77)"), () =>
              Effect.sync(() => (grantedAt = performance.now()))
            ),
            { startImmediately: true }
          )
          yield* until("waiter waits", () =>
            database()
              .query(`SELECT 1 FROM pg_locks WHERE pid = ${waiter.backendPid} AND NOT granted`)
              .then((rows) => rows.length > 0)
          )
          yield* sql(`INSERT INTO t VALUES (${400 + i}, 'x')`)
          const commit = yield* until("commit", () => commits(events)[0])
          durable = commit
          const closing = performance.now()
          yield* holder.close
          const closedMillis = performance.now() - closing
          yield* Fiber.join(granted)
          waited.push(grantedAt - closing)
          yield* until("slot is free", () =>
            database()
              .query(
                `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${database().slotName}' AND NOT active`
              )
              .then((rows) => rows.length > 0)
          )
          // On a busy machine the acknowledgement may come too late for those that do not wait for ever to close.
          if (closedMillis < 200) {
            assert.strictEqual(yield* confirmedFlush, commit)
            inTime++
          }
          yield* waiter.close
        }
        if (loadFactor() < 2) assert.isAbove(inTime, 3)
        const median = waited.toSorted((x, y) => x - y)[3] ?? Infinity
        assert.isBelow(
          median,
          patient(100),
          `lock handed over after ${waited.map((ms) => ms.toFixed(1)).join(", ")} ms`
        )
      })
  )

  onDatabase(
    "closes at once while Postgres is busy sending, and while it waits",
    (database, { sql, freshSlot, streamFrom }) =>
      Effect.gen(function* () {
        yield* freshSlot
        yield* sql("INSERT INTO t SELECT i, repeat('x', 100000) FROM generate_series(1000, 1600) i")
        const streaming = yield* connectTo(database())
        yield* streamFrom(streaming, {
          answer: (event) => (event.call === "insert" ? Effect.never : undefined)
        })
        const waiting = yield* connectTo(database())
        yield* Effect.forkChild(waiting.query("SELECT pg_sleep(60)"), { startImmediately: true })
        for (const connection of [streaming, waiting]) {
          const from = performance.now()
          yield* connection.close
          assert.isBelow(performance.now() - from, patient(1_500))
          yield* until(
            "backend is gone",
            () =>
              database()
                .query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${connection.backendPid}`)
                .then((rows) => rows.length === 0),
            8_000
          )
        }
      })
  )
})
