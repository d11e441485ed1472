import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { createServer, type Socket } from "node:net"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import {
  displaySettings,
  errorSubject,
  poolOptions
} from "../../src/postgres/connection/ConnectionOptions.ts"
import { makeAdminPool, splitPoolSize } from "../../src/postgres/connection/Pools.ts"
import { makeSessionPool } from "../../src/postgres/connection/SessionPool.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"
import { eventually } from "./eventually.ts"
import { patient } from "../../testing/Load.ts"

const database = databaseForFile((db) =>
  db.query("CREATE TABLE numbers (n int); INSERT INTO numbers VALUES (1)")
)

/** One session, for which nobody waits long. */
const smallPool = (port = database().port) => {
  const target = targetOf(database(), { port })
  return makeSessionPool(
    poolOptions(target, plainConfig, { size: 1, applicationName: "baton test", settings: {} }),
    { subject: errorSubject(target), acquireTimeoutMillis: patient(200), queryTimeoutMillis: undefined }
  )
}
const adminPool = Effect.suspend(() => makeAdminPool(targetOf(database()), plainConfig, 4))

const activeQueries = (text: string) =>
  Effect.promise(() =>
    database().query(
      "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE $1 AND pid <> pg_backend_pid()",
      [`%${text}%`]
    )
  )

describe("the split of ELECTRIC_DB_POOL_SIZE", () => {
  it.each([
    [1, 1, 1],
    [2, 1, 1],
    [4, 1, 3],
    [8, 2, 6],
    [20, 4, 16],
    [100, 4, 96]
  ])("%i connections: %i for administration, %i for snapshots", (total, admin, snapshot) => {
    assert.deepStrictEqual(splitPoolSize(total), { admin, snapshot })
  })
})

describe("a pool", () => {
  it.live("answers statements with parameters, several at once, on no more sessions than allowed", () =>
    Effect.gen(function* () {
      const pool = yield* smallPool()
      const rows = yield* Effect.all(
        Array.from({ length: 10 }, (_, i) =>
          pool.query<{ n: number; pid: number }>("SELECT $1::int4 AS n, pg_backend_pid() AS pid", [i])
        ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        rows.map(([row]) => row?.n),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
      )
      assert.strictEqual(new Set(rows.map(([row]) => row?.pid)).size, 1)
      assert.strictEqual(pool.size, 1)
    })
  )

  it.live("says what was wrong with a statement and goes on", () =>
    Effect.gen(function* () {
      const pool = yield* adminPool
      const error = yield* Effect.flip(pool.query("SELECT * FROM nowhere"))
      assert.deepStrictEqual(
        [error.kind, error.code, error.serverMessage],
        ["undefined_object", "42P01", 'relation "nowhere" does not exist']
      )
      assert.deepStrictEqual(yield* pool.query("SELECT 1 AS one"), [{ one: 1 }])
    })
  )

  it.live("commits what succeeds and rolls back what fails or is interrupted", () =>
    Effect.gen(function* () {
      const pool = yield* adminPool
      const add = (n: number) => pool.transaction((tx) => tx.query("INSERT INTO numbers VALUES ($1)", [n]))
      yield* add(10)
      yield* pool
        .transaction((tx) => Effect.andThen(tx.query("INSERT INTO numbers VALUES (11)"), Effect.fail("no")))
        .pipe(Effect.flip)
      assert.deepStrictEqual(yield* pool.query("SELECT n FROM numbers WHERE n >= 10"), [{ n: 10 }])
      const stuck = yield* Effect.forkScoped(
        pool.transaction((tx) =>
          Effect.andThen(
            tx.query("INSERT INTO numbers VALUES (12)"),
            tx.query("SELECT pg_sleep(60) AS in_transaction")
          )
        )
      )
      yield* eventually(
        "the sleep runs",
        Effect.map(activeQueries("in_transaction"), (rows) => rows.length === 1)
      )
      yield* Fiber.interrupt(stuck)
      assert.deepStrictEqual(yield* activeQueries("in_transaction"), [])
      assert.deepStrictEqual(yield* pool.query("SELECT n FROM numbers WHERE n >= 10"), [{ n: 10 }])
      const failure = yield* Effect.flip(pool.transaction((tx) => tx.query("SELECT 1/0")))
      assert.strictEqual(failure.code, "22012")
      assert.deepStrictEqual(
        yield* pool.query(
          "SELECT count(*)::int4 AS open FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        ),
        [{ open: 0 }]
      )
    })
  )

  it.live("gives up waiting for a session, and says so", () =>
    Effect.gen(function* () {
      const pool = yield* smallPool()
      yield* Effect.forkScoped(
        pool.transaction(() => Effect.never),
        { startImmediately: true }
      )
      const error = yield* Effect.flip(pool.transaction(() => Effect.void))
      assert.strictEqual(error.kind, "pool_timeout")
      assert.include(error.message, "ELECTRIC_DB_POOL_SIZE")
    })
  )

  it.live("keeps the settings of a transaction to that transaction", () =>
    Effect.gen(function* () {
      const pool = yield* smallPool()
      const settings = { ...displaySettings, statement_timeout: "12345" }
      yield* pool.transaction(
        (session) =>
          Effect.forEach(
            Object.entries({ ...displaySettings, statement_timeout: "12345ms" }),
            ([name, value]) =>
              Effect.map(session.query("SELECT current_setting($1) AS value", [name]), (rows) =>
                assert.deepStrictEqual(rows, [{ value }], name)
              )
          ),
        { settings }
      )
      assert.deepStrictEqual(yield* pool.query("SELECT current_setting('IntervalStyle') AS value"), [
        { value: "postgres" }
      ])
    })
  )

  it.live("carries rows far beyond 16 MiB", () =>
    Effect.gen(function* () {
      const pool = yield* smallPool()
      const [row] = yield* pool.query<{ big: string }>("SELECT repeat('é', 20000000) AS big")
      assert.strictEqual(row?.big.length, 20_000_000)
    })
  )
})

describe("a pool and an outage", () => {
  it.live("can be made while the database is down, and works as soon as it is up, time and again", () =>
    Effect.gen(function* () {
      const cluster = yield* Effect.acquireRelease(
        Effect.promise(() => startCluster({ settings: { fsync: "off" } })),
        (started) => Effect.promise(() => started.destroy())
      )
      yield* Effect.promise(() => cluster.stop("immediate"))
      const pool = yield* makeAdminPool(targetOf({ ...cluster, name: "postgres" }), plainConfig, 20)
      for (let round = 0; round < 2; round++) {
        const errors = yield* Effect.all(
          Array.from({ length: 12 }, () => Effect.flip(pool.query("SELECT 1"))),
          { concurrency: "unbounded" }
        )
        // The end of a session may be noticed before or after the next statement is given to it.
        assert.deepStrictEqual(
          errors.map((error) => (error.unreachable ? error.recovery : error.kind)),
          errors.map(() => "retry" as string)
        )
        assert.include(
          errors.map((error) => error.kind),
          "connection_refused"
        )
        yield* Effect.promise(() => cluster.start())
        const answers = yield* Effect.all(
          Array.from({ length: 12 }, () => pool.query("SELECT 1 AS one")),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(answers.length, 12)
        const asleep = yield* Effect.forkScoped(Effect.exit(pool.query("SELECT pg_sleep(60)")), {
          startImmediately: true
        })
        yield* eventually(
          "the sleep runs",
          Effect.map(
            pool.query("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"),
            (rows) => rows.length === 1
          )
        )
        yield* Effect.promise(() => cluster.stop("immediate"))
        const exit = yield* Fiber.join(asleep)
        assert.isTrue(Exit.isFailure(exit))
      }
    })
  )

  it.live("replaces sessions that were ended behind its back", () =>
    Effect.gen(function* () {
      const pool = yield* adminPool
      const pid = pool.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")
      const [before] = yield* pid
      yield* Effect.promise(() => database().query("SELECT pg_terminate_backend($1)", [before?.pid]))
      // Until the end of the session has arrived here a statement may still be sent to it, and fails.
      yield* eventually(
        "another session answers",
        Effect.match(pid, { onFailure: () => false, onSuccess: ([after]) => after?.pid !== before?.pid }),
        2000
      )
    })
  )

  it.live("does not wait for ever for a server that accepts connections and says nothing", () =>
    Effect.gen(function* () {
      const sockets = new Set<Socket>()
      const server = createServer((socket) => void sockets.add(socket))
      yield* Effect.acquireRelease(
        Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
        () =>
          Effect.sync(() => {
            for (const socket of sockets) socket.destroy()
            server.close()
          })
      )
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const pool = yield* smallPool(port)
      const error = yield* Effect.flip(pool.transaction(() => Effect.void))
      assert.strictEqual(error.kind, "pool_timeout")
    })
  )
})
