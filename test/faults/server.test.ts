import { writeFileSync } from "node:fs"
import path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { eventually } from "../../testing/Eventually.ts"
import { ask, databaseForTest, serviceForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

/** One server for all tests of this file, which start it again with other settings. */
let cluster: Cluster
const usual = {
  wal_level: "logical",
  max_wal_senders: "4",
  max_replication_slots: "4",
  max_slot_wal_keep_size: "-1",
  fsync: "off"
}

beforeAll(async () => {
  cluster = await startCluster({ settings: { ...usual, wal_level: "replica" } })
})
afterAll(() => cluster.destroy())

const items = "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (1, 'a')"

describe("a server", () => {
  it("that is not set up for it ends start-up, or is waited for", { timeout: patient(120_000) }, async () => {
    const database = await databaseForTest(cluster)
    await database.query(items)
    const start = { database, until: false } as const
    const refused = await serviceForTest(start)
    assert.deepStrictEqual(await refused.ended, { code: 1, signal: null })
    assert.match(
      refused.logs(),
      /wal_level >= "?logical"?.*This does not heal by itself\. Set wal_level = logical in Postgres and restart it\./
    )
    await cluster.restart({ ...usual, max_wal_senders: "0" })
    const service = await serviceForTest(start)
    await service.untilLogged(/max_wal_senders.*It is tried again until it succeeds/)
    assert.strictEqual((await service.health())?.status, 202)
    await cluster.restart({ ...usual, max_replication_slots: "0" })
    await service.untilLogged(/max_replication_slots.*It is tried again until it succeeds/)
    assert.strictEqual((await ask(service.url, { table: "items" })).status, 503)
    await cluster.restart(usual)
    await service.until("active", 30_000)
    assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
  })

  it(
    "that is in recovery is said to be, and is used once it is promoted",
    { timeout: patient(90_000) },
    async () => {
      await cluster.restart(usual)
      const database = await databaseForTest(cluster)
      await database.query(items)
      await cluster.stop()
      writeFileSync(path.join(cluster.directory, "data", "standby.signal"), "")
      await cluster.start()
      const service = await serviceForTest({ database, until: false })
      await service.untilLogged(
        /read-only: The server is in recovery: a standby, or not promoted yet\. It is tried again until it succeeds\. Check that/
      )
      assert.notStrictEqual((await service.health())?.status, 200)
      await database.query("SELECT pg_promote()")
      await service.until("active", 30_000)
      assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
    }
  )

  it(
    "that is down for a while: shapes stay, and go on where they were",
    { timeout: patient(90_000) },
    async () => {
      await cluster.restart(usual)
      const database = await databaseForTest(cluster)
      await database.query(items)
      const service = await serviceForTest({ database })
      const shape = { table: "items", where: "id > 0" }
      const { handle } = await ask(service.url, shape)
      const live = () =>
        ask(service.url, { ...shape, handle: handle ?? "", offset: "0_inf", live: "true", cursor: "1" })
      for (const [n, stop] of (["fast", "kill"] as const).entries()) {
        const held = live()
        await (stop === "kill" ? cluster.kill() : cluster.stop(stop))
        await service.untilLogged(
          /Database connection in replication mode failed: .*It is tried again until it succeeds/
        )
        await service.until("waiting")
        assert.strictEqual((await ask(service.url, shape)).handle, handle)
        await cluster.start()
        await service.until("active", 30_000)
        await database.query("INSERT INTO items VALUES ($1, 'new')", [n + 2])
        if (n === 0) assert.include((await held).body, '"id":"2"')
        else await held
        await eventually("the row is in the log", async () =>
          (await ask(service.url, { ...shape, handle: handle ?? "", offset: "0_0" })).body.includes(
            `"id":"${n + 2}"`
          )
        )
      }
    }
  )

  it(
    "that gives up the slot: it is said, and every shape gets what it lacks",
    { timeout: patient(90_000) },
    async () => {
      await cluster.restart({
        ...usual,
        max_slot_wal_keep_size: "1MB",
        min_wal_size: "32MB",
        max_wal_size: "32MB",
        wal_keep_size: "0"
      })
      const database = await databaseForTest(cluster)
      await database.query(items)
      const service = await serviceForTest({ database })
      const before = await ask(service.url, { table: "items" })
      service.signal("SIGSTOP")
      await database.query("CREATE TABLE filler (v text)")
      await eventually("Postgres has given up the slot", async () => {
        await database.query("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
        await database.query("SELECT pg_switch_wal()")
        await database.query("CHECKPOINT")
        const [slot] = await database.query<{ lost: boolean }>(
          "SELECT wal_status = 'lost' AS lost FROM pg_replication_slots WHERE slot_name = $1",
          [database.slotName]
        )
        return slot?.lost
      })
      await database.query("INSERT INTO items VALUES (2, 'b')")
      service.signal("SIGCONT")
      await service.untilLogged(
        /slot.*invalidated.*A new slot is created and all shapes are compared with the database/
      )
      await eventually("the shape has the row", async () => {
        const more = await ask(service.url, { table: "items", handle: before.handle ?? "", offset: "0_0" })
        return more.status === 200 && more.handle === before.handle && more.body.includes('"id":"2"')
      })
    }
  )
})
