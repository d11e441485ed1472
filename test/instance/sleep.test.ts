import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Result } from "effect"
import { Baton } from "../../src/Baton.ts"
import { Config } from "../../src/config/BatonConfig.ts"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import { HealthRef } from "../../src/health/HealthRef.ts"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { runUntil } from "../../src/instance/Process.ts"
import { recordingLogger } from "../storage/support.ts"
import { databaseForFile, type TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { patient } from "../../testing/Load.ts"

const database = databaseForFile((db) =>
  db.query("CREATE TABLE items (id int PRIMARY KEY, t text); INSERT INTO items VALUES (1, 'first')")
)

/** The whole service in this process. Its configuration would not take an idle time-out as short as this. */
const serviceOn = (db: TestDatabase, storageDir: string) => {
  const parsed = parseConfig({
    DATABASE_URL: db.url,
    ELECTRIC_REPLICATION_STREAM_ID: db.streamId,
    ELECTRIC_STORAGE_DIR: storageDir,
    ELECTRIC_INSECURE: "true",
    ELECTRIC_LONG_POLL_TIMEOUT: "1000"
  })
  if (Result.isFailure(parsed) || parsed.success._tag !== "Complete") throw new Error("not a configuration")
  const config = {
    ...parsed.success.config,
    port: 0,
    listenHost: "127.0.0.1" as const,
    replicationIdleTimeoutMillis: patient(600)
  }
  return Baton.layerServer.pipe(Layer.provideMerge(Layer.succeed(Config, config)))
}

const perform = <A>(work: () => Promise<A>) => Effect.promise(work)

describe("an instance that nothing happens to", () => {
  it.live(
    "sleeps without a connection that streams and without the lock, and has missed nothing when a request wakes it",
    () => {
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-sleep-"))
      const said: Array<string> = []
      return Effect.gen(function* () {
        const db = database()
        const stop = yield* Deferred.make<void>()
        const running = yield* Effect.forkChild(runUntil(Deferred.await(stop)), { startImmediately: true })
        const { url } = yield* HttpServer
        const health = yield* HealthRef
        const until = (state: "active" | "asleep") =>
          perform(() => eventually(state, () => health.current() === state))
        yield* until("active")
        const reader = new ShapeLogReader({ url, params: { table: "items" } })
        yield* perform(() => reader.readToEnd())
        const { handle } = reader.position

        // A transaction that is open when it falls asleep, and ends while it sleeps.
        const open = yield* perform(() => db.connect())
        yield* perform(() => open.query("BEGIN; INSERT INTO items VALUES (2, 'while it falls asleep')"))
        yield* until("asleep")
        const [left] = yield* perform(() =>
          db.query<{ senders: number; locks: number }>(
            `SELECT (SELECT count(*)::int FROM pg_stat_replication WHERE application_name LIKE 'baton%'
                       AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())) AS senders,
                    (SELECT count(*)::int FROM pg_locks JOIN pg_database d ON d.oid = database
                      WHERE locktype = 'advisory' AND datname = current_database()) AS locks`
          )
        )
        assert.deepStrictEqual(left, { senders: 0, locks: 0 })
        const answer = yield* perform(() => fetch(`${url}/v1/health`))
        assert.deepStrictEqual(
          [answer.status, yield* perform(() => answer.text())],
          [200, '{"status":"active"}']
        )
        yield* perform(() => open.query("COMMIT"))
        yield* perform(() => db.query("INSERT INTO items VALUES (3, 'while it sleeps')"))
        assert.strictEqual(health.current(), "asleep", "nothing but a request wakes it")

        yield* perform(() => reader.followUntil("what was written meanwhile", () => reader.rows.size === 3))
        assert.strictEqual(reader.position.handle, handle)
        assert.deepStrictEqual(
          reader.operations.map(({ key, operation }) => [operation, key.at(-2)]),
          [
            ["insert", "2"],
            ["insert", "3"]
          ]
        )

        // The same for a shape that is not there yet, asked for by several at once.
        yield* until("asleep")
        const made = yield* perform(() =>
          Promise.all(
            [1, 2, 3].map(() => requestLog(url, { table: "items", columns: "id" }, { offset: "-1" }))
          )
        )
        assert.deepStrictEqual(
          made.map(({ status }) => status),
          [200, 200, 200]
        )
        assert.strictEqual(new Set(made.map((each) => each.handle)).size, 1)

        // Asked to stop while it sleeps, it ends at once.
        yield* until("asleep")
        yield* Deferred.succeed(stop, undefined)
        yield* Fiber.join(running)
        assert.strictEqual(health.current(), "stopped")
        assert.notMatch(said.join("\n"), /This is a bug in Baton/)
      }).pipe(
        Effect.provide(serviceOn(database(), storageDir)),
        Effect.provide(recordingLogger(said)),
        Effect.ensuring(Effect.sync(() => rmSync(storageDir, { recursive: true, force: true })))
      )
    },
    patient(60_000)
  )
})
