import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Redacted } from "effect"
import { createServer, type Server, type Socket } from "node:net"
import { ownPgError, PgError } from "../../src/postgres/PgError.ts"
import { type Lsn, parseLsn } from "../../src/postgres/Lsn.ts"
import type { Queryable } from "../../src/postgres/SessionPool.ts"
import { connect, type ReplicationConnection } from "../../src/replication/ReplicationConnection.ts"
import type { StreamOptions } from "../../src/replication/runStream.ts"
import { ensureSlot } from "../../src/replication/Slot.ts"
import { databaseForFile } from "../support/database.ts"
import { recordingSink, type SinkEvent } from "./recording-sink.ts"
import { adminOf, connectTo, plainConfig, proxyTo, targetOf, until } from "./support.ts"

const database = databaseForFile(async (db) => {
  await db.query(
    `CREATE TABLE t (id int PRIMARY KEY, note text);
     ALTER TABLE t REPLICA IDENTITY FULL;
     ALTER TABLE t ALTER note SET STORAGE EXTERNAL;
     CREATE TABLE loose (id int PRIMARY KEY, note text);
     CREATE TABLE unpublished (id int);
     CREATE PUBLICATION ${db.publicationName} FOR TABLE t, loose`
  )
})

const sql = (text: string) => Effect.promise(() => database().query(text))

/** A fresh slot, so that a test sees only its own changes. */
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
  yield* sql(`SELECT pg_create_logical_replication_slot('${slotName}', 'pgoutput')`)
})

const confirmedFlush = Effect.map(
  Effect.promise(() =>
    database().queryText(
      `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${database().slotName}'`
    )
  ),
  ([row]) => parseLsn(row?.["lsn"] ?? "") ?? 0n
)
const untilConfirmed = (lsn: Lsn, what: string) =>
  until(what, async () => (await Effect.runPromise(confirmedFlush)) >= lsn)

interface Running {
  readonly events: Array<SinkEvent>
  readonly fiber: Fiber.Fiber<never, PgError>
}

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
        slotName: database().slotName,
        publicationName: database().publicationName,
        sink,
        maxTransactionBytes: 100_000_000,
        onStarted: Effect.asVoid(Deferred.succeed(started, undefined)),
        ...options
      })
    )
    yield* Effect.raceFirst(Deferred.await(started), Effect.asVoid(Fiber.join(fiber)))
    const running: Running = { events, fiber }
    return running
  })

const rowsOf = (events: ReadonlyArray<SinkEvent>) =>
  events.flatMap((event) => (event.call === "insert" ? [event.row[0]] : []))

const commits = (events: ReadonlyArray<SinkEvent>) =>
  events.flatMap((event) => (event.call === "commit" ? [event.lsn] : []))

const kindOf = (exit: Exit.Exit<unknown, unknown>) => {
  const error = Exit.isFailure(exit)
    ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
    : exit
  return error instanceof PgError ? error.kind : error
}

const atInsert = (react: () => never) => ({
  answer: (event: SinkEvent) => (event.call === "insert" ? react() : undefined)
})

describe("replication connection", () => {
  it.live("is a walsender that Postgres ends when its client is gone or frozen", () =>
    Effect.gen(function* () {
      const connection = yield* connectTo(database(), { walSenderTimeoutMillis: 7_000 })
      assert.match(connection.systemId, /^\d{15,20}$/)
      assert.strictEqual(connection.timeline, 1)
      assert.strictEqual(Math.floor(connection.serverVersion / 10_000), 18)
      assert.strictEqual(connection.walSenderTimeoutMillis, 7_000)
      const [session] = yield* sql(
        `SELECT application_name, backend_type FROM pg_stat_activity WHERE pid = ${connection.backendPid}`
      )
      assert.deepStrictEqual(session, { application_name: "baton", backend_type: "walsender" })
      const settings = yield* connection.query(
        "SELECT current_setting('wal_sender_timeout') a, current_setting('idle_session_timeout') b, " +
          "current_setting('client_connection_check_interval') c, current_setting('statement_timeout') d, " +
          "current_setting('DateStyle') e, current_setting('TimeZone') f, current_setting('IntervalStyle') g"
      )
      assert.deepStrictEqual(
        { ...settings[0] },
        {
          a: "7s",
          b: "7s",
          c: "500ms",
          d: "0",
          e: "ISO, DMY",
          f: "UTC",
          g: "iso_8601"
        }
      )
    })
  )

  it.live("shows a sign of life every two seconds before it streams", () =>
    Effect.gen(function* () {
      // Twice the heartbeat is the shortest bound there is; the session has to outlive it.
      const connection = yield* connectTo(database(), { walSenderTimeoutMillis: 1_000 })
      const changes = new Set<string>()
      yield* until("two heartbeats", async () => {
        const [row] = await database().queryText(
          `SELECT state_change AS at, clock_timestamp() - state_change > '2 s' AS late FROM pg_stat_activity WHERE pid = ${connection.backendPid}`
        )
        assert.strictEqual(row?.["late"], "f")
        changes.add(row?.["at"] ?? "")
        return changes.size > 2
      })
      assert.deepStrictEqual(yield* connection.query("SELECT 1 AS one"), [{ one: "1" }])
    })
  )

  it.live("reports errors of statements and goes on", () =>
    Effect.gen(function* () {
      const connection = yield* connectTo(database())
      const error = yield* Effect.flip(connection.query("SELECT * FROM nowhere"))
      assert.strictEqual(error.kind, "undefined_object")
      assert.strictEqual(error.code, "42P01")
      assert.deepStrictEqual(yield* connection.query("SELECT NULL AS n, true AS yes; SELECT 2 AS two"), [
        { two: "2" }
      ])
    })
  )

  it.live("fails what runs, what comes later, and `closed`, when it is lost", () =>
    Effect.gen(function* () {
      const connection = yield* connectTo(database())
      const waiting = yield* Effect.forkChild(Effect.exit(connection.query("SELECT pg_sleep(60)")), {
        startImmediately: true
      })
      yield* until("statement runs", () =>
        database()
          .query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${connection.backendPid} AND state = 'active'`)
          .then((rows) => rows.length > 0)
      )
      yield* sql(`SELECT pg_terminate_backend(${connection.backendPid})`)
      assert.strictEqual(kindOf(yield* Fiber.join(waiting)), "database_server_shutting_down")
      const lost = yield* Effect.flip(connection.closed)
      assert.isTrue(lost.unreachable)
      assert.isTrue((yield* Effect.flip(connection.query("SELECT 1"))).unreachable)
    })
  )

  it.live("hands changes over row by row, with unchanged TOAST values filled in", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const connection = yield* connectTo(database())
      const { events } = yield* streamFrom(connection)
      const long = Array.from({ length: 3000 }, (_, i) => String(i * 7919)).join(" ")
      yield* sql(`INSERT INTO t VALUES (1, '${long}')`)
      yield* sql("UPDATE t SET id = 2 WHERE id = 1")
      yield* sql("DELETE FROM t; INSERT INTO loose VALUES (1, 'a'); UPDATE loose SET note = 'b'")
      yield* sql("UPDATE loose SET id = 5; DELETE FROM loose; TRUNCATE t, loose")
      yield* until("four commits", () => commits(events).length === 4)
      const [t, loose] = events.flatMap((event) => (event.call === "relation" ? [event.relation] : []))
      assert.deepStrictEqual(
        [t?.name, t?.replicaIdentity, loose?.name, loose?.replicaIdentity],
        ["t", "f", "loose", "d"]
      )
      const changes = events.filter((event) =>
        ["insert", "update", "delete", "truncate"].includes(event.call)
      )
      assert.deepStrictEqual(changes, [
        { call: "insert", relation: t, row: ["1", long] },
        { call: "update", relation: t, old: ["1", long], row: ["2", long] },
        { call: "delete", relation: t, row: ["2", long], complete: true },
        { call: "insert", relation: loose, row: ["1", "a"] },
        { call: "update", relation: loose, old: undefined, row: ["1", "b"] },
        { call: "update", relation: loose, old: undefined, row: ["5", "b"] },
        { call: "delete", relation: loose, row: ["5", null], complete: false },
        { call: "truncate", relations: [t, loose] }
      ] as ReadonlyArray<unknown>)
    })
  )

  it.live("acknowledges what is durable, exactly, and nothing else", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const before = yield* confirmedFlush
      let durable = 0n
      const connection = yield* connectTo(database(), { walSenderTimeoutMillis: 600 })
      const { events } = yield* streamFrom(connection, { durable: () => durable })
      yield* sql("INSERT INTO t VALUES (10, 'a')")
      yield* sql("INSERT INTO t VALUES (11, 'b')")
      yield* until("two commits", () => commits(events).length === 2)
      // Several periodic updates later Postgres still knows nothing.
      yield* until(
        "keepalives answer the status updates",
        () => events.filter((e) => e.call === "keepalive").length > 4
      )
      assert.strictEqual(yield* confirmedFlush, before)
      const [first = 0n, second = 0n] = commits(events)
      durable = first
      connection.notifyDurable()
      yield* untilConfirmed(first, "first commit confirmed")
      assert.strictEqual(yield* confirmedFlush, first)
      durable = second
      connection.notifyDurable()
      yield* untilConfirmed(second, "second commit confirmed")
      assert.strictEqual(yield* confirmedFlush, second)
    })
  )

  it.live("loses no transaction that begins where the acknowledged one ends", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const [a, b] = yield* Effect.promise(() => Promise.all([database().connect(), database().connect()]))
      yield* Effect.promise(async () => {
        await a.query("BEGIN; INSERT INTO t VALUES (20, 'a')")
        await b.query("BEGIN; INSERT INTO t VALUES (21, 'b')")
      })
      let durable = 0n
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* connectTo(database())
          const { events } = yield* streamFrom(connection, { durable: () => durable })
          yield* Effect.promise(() => a.query("COMMIT"))
          durable = yield* until("A arrives", () => commits(events)[0])
          connection.notifyDurable()
          yield* untilConfirmed(durable, "A confirmed")
        })
      )
      yield* Effect.promise(() => b.query("COMMIT"))
      const connection = yield* connectTo(database())
      const { events } = yield* streamFrom(connection)
      yield* until("B arrives", () => commits(events).length > 0)
      assert.deepStrictEqual(rowsOf(events), ["21"])
      yield* Effect.promise(() => Promise.all([a.end(), b.end()]))
    })
  )

  it.live(
    "follows keepalives, so that a database without published changes does not retain WAL",
    () =>
      Effect.gen(function* () {
        yield* freshSlot
        let durable = 0n
        const connection = yield* connectTo(database())
        yield* streamFrom(connection, {
          durable: () => durable,
          answer: (event) => {
            if (event.call === "keepalive" && event.lsn > durable) durable = event.lsn
            return undefined
          }
        })
        yield* sql("INSERT INTO unpublished SELECT generate_series(1, 1000)")
        const [row] = yield* Effect.promise(() => database().queryText("SELECT pg_current_wal_lsn() AS lsn"))
        const written = parseLsn(row?.["lsn"] ?? "") ?? 0n
        // Postgres sends a keepalive when it is asked by a status update at the latest.
        yield* untilConfirmed(written, "unpublished changes confirmed")
      }),
    20_000
  )

  it.live("keeps the session alive while the sink makes the stream wait", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const connection = yield* connectTo(database(), { walSenderTimeoutMillis: 1_000 })
      let running = 0
      const overlaps: Array<number> = []
      const { events, fiber } = yield* streamFrom(connection, {
        answer: (event) => {
          overlaps.push(running)
          if (event.call !== "insert") return undefined
          return Effect.suspend(() => {
            running++
            return Effect.andThen(
              Effect.sleep(event.row[0] === "30" ? 2_500 : 5),
              Effect.sync(() => void running--)
            )
          })
        }
      })
      yield* sql("INSERT INTO t SELECT i, repeat('x', 2000) FROM generate_series(30, 129) i")
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
    })
  )

  it.live("hands over values that are larger than any buffer", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const connection = yield* connectTo(database())
      const { events } = yield* streamFrom(connection)
      yield* sql("INSERT INTO t VALUES (200, repeat('0123456789', 500000)), (201, 'after')")
      yield* until("commit", () => commits(events).length === 1)
      const lengths = events.flatMap((event) =>
        event.call === "insert" ? [String(event.row[1]).length] : []
      )
      assert.deepStrictEqual(lengths, [5_000_000, 5])
    })
  )

  interface Broken {
    readonly sink: string
    readonly options?: () => Parameters<typeof recordingSink>[0]
    readonly stream?: Partial<StreamOptions>
    readonly kind: PgError["kind"]
    readonly text: string
  }
  const broken: ReadonlyArray<Broken> = [
    {
      sink: "throws",
      options: () =>
        atInsert(() => {
          throw new TypeError("no such thing")
        }),
      kind: "unknown",
      text: "no such thing"
    },
    {
      sink: "fails in an Effect",
      options: () => ({
        answer: (event) => (event.call === "commit" ? Effect.die(new Error("disk is gone")) : undefined)
      }),
      kind: "unknown",
      text: "disk is gone"
    },
    {
      sink: "says what kind of failure it is",
      options: () =>
        atInsert(() => {
          throw ownPgError("replica_not_full", "not full")
        }),
      kind: "replica_not_full",
      text: "not full"
    },
    {
      sink: "cannot say what is durable any more",
      options: () => {
        let closed = false
        return {
          answer: (event) => {
            if (event.call === "commit") closed = true
            return undefined
          },
          durable: () => {
            if (closed) throw new Error("journal closed")
            return 0n
          }
        }
      },
      kind: "unknown",
      text: "journal closed"
    },
    {
      sink: "would get a transaction beyond the limit",
      stream: { maxTransactionBytes: 5_000 },
      kind: "exceeded_max_tx_size",
      text: "5000 bytes"
    },
    {
      sink: "would get a single row beyond the limit",
      stream: { maxTransactionBytes: 100 },
      kind: "exceeded_max_tx_size",
      text: "100 bytes"
    }
  ]
  for (const { sink, options, stream, kind, text } of broken) {
    it.live(`ends with an error, and calls nothing more, when the sink ${sink}`, () =>
      Effect.gen(function* () {
        yield* freshSlot
        const connection = yield* connectTo(database())
        const { events, fiber } = yield* streamFrom(connection, options?.(), stream)
        yield* sql("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(600, 700) i")
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(error.kind, kind)
        assert.include(error.message, text)
        const seen = events.length
        yield* sql("DELETE FROM t")
        yield* connection.close
        assert.strictEqual(events.length, seen)
      })
    )
  }

  it.live("fails to stream, with the reason, from a slot that is not there or in use", () =>
    Effect.gen(function* () {
      const first = yield* connectTo(database())
      const missing = yield* Effect.exit(streamFrom(first, {}, { slotName: "not_there" }))
      assert.strictEqual(kindOf(missing), "undefined_object")
      yield* freshSlot
      const second = yield* connectTo(database())
      yield* streamFrom(second)
      const third = yield* connectTo(database())
      assert.strictEqual(kindOf(yield* Effect.exit(streamFrom(third))), "replication_slot_in_use")
    })
  )

  it.live("ends with an error when Postgres terminates the walsender", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const connection = yield* connectTo(database())
      const { fiber } = yield* streamFrom(connection)
      yield* sql(`SELECT pg_terminate_backend(${connection.backendPid})`)
      assert.isTrue((yield* Effect.flip(Fiber.join(fiber))).unreachable)
    })
  )

  it.live("acknowledges on close, and frees lock and slot at once", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const waited: Array<number> = []
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
        yield* Fiber.join(granted)
        waited.push(grantedAt - closing)
        yield* until("slot is free", () =>
          database()
            .query(
              `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${database().slotName}' AND NOT active`
            )
            .then((rows) => rows.length > 0)
        )
        assert.strictEqual(yield* confirmedFlush, commit)
        yield* waiter.close
      }
      const median = waited.toSorted((x, y) => x - y)[3] ?? Infinity
      assert.isBelow(median, 25, `lock handed over after ${waited.map((ms) => ms.toFixed(1)).join(", ")} ms`)
    })
  )

  it.live("closes at once while Postgres is busy sending, and while it waits", () =>
    Effect.gen(function* () {
      yield* freshSlot
      yield* sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1000, 20000) i")
      const streaming = yield* connectTo(database())
      yield* streamFrom(streaming, {
        answer: (event) => (event.call === "insert" ? Effect.never : undefined)
      })
      const waiting = yield* connectTo(database())
      yield* Effect.forkChild(waiting.query("SELECT pg_sleep(60)"), { startImmediately: true })
      for (const connection of [streaming, waiting]) {
        const from = performance.now()
        yield* connection.close
        assert.isBelow(performance.now() - from, 500)
        yield* until(
          "backend is gone",
          () =>
            database()
              .query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${connection.backendPid}`)
              .then((rows) => rows.length === 0),
          3_000
        )
      }
    })
  )

  /** A server that accepts connections and says nothing. */
  const silentServer = Effect.acquireRelease(
    Effect.promise(async () => {
      const sockets = new Set<Socket>()
      const server: Server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.resume()
        socket.on("close", () => sockets.delete(socket))
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const address = server.address()
      return { server, sockets, port: typeof address === "object" && address !== null ? address.port : 0 }
    }),
    ({ server }) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
  )

  it.live("gives up on a server that does not answer, and can be interrupted while it tries", () =>
    Effect.gen(function* () {
      const { port, sockets } = yield* silentServer
      for (const sslMode of ["disable", "prefer"] as const) {
        const target = { ...targetOf(database()), port, sslMode }
        const attempt = (connectTimeoutMillis: number) =>
          Effect.scoped(connect({ target, config: plainConfig, connectTimeoutMillis }))
        assert.strictEqual(kindOf(yield* Effect.exit(attempt(200))), "connection_timeout")
        const fiber = yield* Effect.forkChild(attempt(60_000), { startImmediately: true })
        yield* until("connected", () => sockets.size > 0)
        yield* Fiber.interrupt(fiber)
        yield* until("disconnected", () => sockets.size === 0)
      }
      const refused = { ...targetOf(database()), port: 1 }
      const exit = yield* Effect.exit(Effect.scoped(connect({ target: refused, config: plainConfig })))
      assert.strictEqual(kindOf(exit), "connection_refused")
    })
  )

  it.live("can be interrupted at any moment of connecting without leaving a session", () =>
    Effect.gen(function* () {
      for (let millis = 0; millis < 20; millis++) {
        const fiber = yield* Effect.forkChild(
          Effect.scoped(Effect.andThen(connectTo(database()), Effect.never)),
          {
            startImmediately: true
          }
        )
        yield* Effect.sleep(millis)
        yield* Fiber.interrupt(fiber)
      }
      yield* until("no walsender is left", () =>
        database()
          .query(
            `SELECT 1 FROM pg_stat_activity WHERE datname = '${database().name}' AND backend_type = 'walsender'`
          )
          .then((rows) => rows.length === 0)
      )
    })
  )

  it.live("refuses a wrong password with an error that does not show it", () =>
    Effect.gen(function* () {
      const target = { ...targetOf(database()), password: Redacted.make("hunter2-secret") }
      const exit = yield* Effect.exit(Effect.scoped(connect({ target, config: plainConfig })))
      assert.strictEqual(kindOf(exit), "invalid_username_or_password")
      assert.notInclude(JSON.stringify(exit), "hunter2")
    })
  )

  it.live("notices a network that swallows everything, by asking another way", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const network = yield* proxyTo(database())
      const target = { ...targetOf(database()), port: network.port }
      const connection = yield* connect({ target, config: { ...plainConfig, walSenderTimeoutMillis: 600 } })
      let asked = 0
      let alive = true
      const admin: Queryable = {
        query: () => {
          asked++
          return Effect.succeed((alive ? [{}] : []) as ReadonlyArray<object> as ReadonlyArray<never>)
        }
      }
      const { fiber } = yield* streamFrom(connection, {}, { admin })
      yield* Effect.sleep(1_000)
      assert.strictEqual(asked, 0, "asked although the server answers")
      network.freeze()
      yield* until("asked twice", () => asked >= 2)
      assert.isUndefined(fiber.pollUnsafe(), "a silent walsender that lives is left alone")
      alive = false
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).kind, "connection_timeout")
    })
  )

  it.live("makes a slot, finds it again, and streams from it", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const admin = yield* adminOf(database())
      const { slotName } = database()
      const connection = yield* connectTo(database())
      const found = yield* ensureSlot(connection, { slotName, temporary: false, admin })
      assert.isFalse(found.created)
      assert.strictEqual(found.confirmedFlushLsn, yield* confirmedFlush)
      const { events } = yield* streamFrom(connection)
      yield* sql("INSERT INTO t VALUES (500, 'x')")
      yield* until("commit", () => commits(events).length === 1)
    })
  )
})
