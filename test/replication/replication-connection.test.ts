import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { Effect, Fiber, Redacted } from "effect"
import { createServer, type Server, type Socket } from "node:net"
import { connect } from "../../src/replication/stream/ReplicationConnection.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { kindOf, streamsOn } from "./streams.ts"
import { connectTo, plainConfig, targetOf, until } from "./support.ts"

const database = databaseForFile()
const { sql } = streamsOn(database)

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

describe("replication connection", () => {
  it.live("is a walsender that Postgres ends when its client is gone or frozen", () =>
    Effect.gen(function* () {
      const connection = yield* connectTo(database(), { walSenderTimeoutMillis: 7_000 })
      assert.match(connection.systemId, /^\d{15,20}$/)
      assert.strictEqual(connection.timeline, 1)
      assert.strictEqual(Math.floor(connection.serverVersion / 10_000), inject("pg").majorVersion)
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
})
