import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it, onTestFinished } from "vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { type ServiceOptions, startService, type TestService } from "../../testing/services/Service.ts"

const db = databaseForFile((database) =>
  database.query(
    `CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL);
     CREATE TABLE later (id int PRIMARY KEY, v int NOT NULL);
     INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g;
     INSERT INTO later SELECT g, 0 FROM generate_series(1, 10) g`
  )
)

const items = { table: "items" }

const temporary = (): string => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-replica-"))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const start = async (options: ServiceOptions): Promise<TestService> => {
  const service = await startService({ database: db(), ...options })
  onTestFinished(() => service.dispose())
  return service
}

const startReplica = async (options: ServiceOptions): Promise<TestService> => {
  const replica = await start({ ...options, until: false, env: { ...options.env, BATON_ROLE: "replica" } })
  await eventually(
    "a replica that serves",
    async () => (await replica.health())?.body === '{"status":"replica"}',
    60_000
  )
  return replica
}

describe("a replica", () => {
  it.each([
    ["", "0"],
    [", with HTTP workers on both", "2"]
  ])(
    "serves, live, what is written on another machine, long before that is in the bucket%s",
    async (_, workers) => {
      const env = {
        BATON_HTTP_WORKERS: workers,
        BATON_BUCKET: `file://${temporary()}`,
        BATON_BUCKET_FLUSH: "10min",
        BATON_TAIL_SECRET: "between instances",
        ELECTRIC_LONG_POLL_TIMEOUT: "4000"
      }
      const advertised = async (options: ServiceOptions = {}) => {
        const port = await freePort()
        return start({ ...options, port, env: { ...env, BATON_ADVERTISE_URL: `http://127.0.0.1:${port}` } })
      }
      const first = await advertised()
      const replica = await startReplica({ env })

      // Made by the active instance, which the replica has asked; everything after that is the replica's own.
      const reader = new ShapeLogReader({ url: replica.url, params: items })
      await reader.readToEnd()
      assert.strictEqual(reader.rows.size, 100)
      await db().query("UPDATE items SET v = 1 WHERE id = 1")
      await reader.followUntil("a change of the first writer", () => reader.operations.length === 1)
      const { handle } = reader.position

      const second = await advertised({ until: "waiting" })
      await first.stop("SIGKILL")
      await second.until("active", 60_000)
      await db().query("UPDATE items SET v = 2 WHERE id = 1")
      await reader.followUntil("a change of the second writer", () => reader.operations.length === 2)
      assert.strictEqual(reader.position.handle, handle)

      // It sends its journal to the replica until its storage is given back, and no longer.
      assert.strictEqual((await second.stop()).code, 0)
      assert.notInclude(second.logs(), "The grace period is over")
      for (const service of [first, second, replica]) assert.notInclude(service.logs(), "stumbled")
      const known = await requestLog(replica.url, items, { offset: "-1" })
      assert.strictEqual(known.status, 200)
      const unknown = await requestLog(replica.url, { table: "later" }, { offset: "-1" })
      assert.strictEqual(unknown.status, 503)
      assert.strictEqual((await replica.stop()).code, 0)
    }
  )

  it("follows a shared directory as well, and makes nothing there", async () => {
    const storageDir = temporary()
    const active = await start({ storageDir })
    const reader = new ShapeLogReader({ url: active.url, params: items })
    await reader.readToEnd()
    const replica = await startReplica({ storageDir })
    const follower = new ShapeLogReader({ url: replica.url, params: items })
    await follower.readToEnd()
    await db().query("UPDATE items SET v = 3 WHERE id = 2")
    await follower.followUntil("a change", () => follower.operations.length === 1)
    assert.strictEqual((await requestLog(replica.url, { table: "later" }, { offset: "-1" })).status, 503)
    await active.stop()
    assert.strictEqual((await replica.health())?.body, '{"status":"replica"}')
  })
})
