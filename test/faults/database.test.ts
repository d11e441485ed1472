import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { ask, databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { patient } from "../../testing/Load.ts"

const items = "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (1, 'a')"

describe("what happens in the database while the service runs", () => {
  it(
    "the publication is dropped: it is made again, and every shape gets what it lacks",
    { timeout: patient(60_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(items)
      const service = await serviceForTest({
        database,
        env: { ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD: "1s" }
      })
      const before = await ask(service.url, { table: "items" })
      await database.query(`DROP PUBLICATION ${database.publicationName}; INSERT INTO items VALUES (2, 'b')`)
      await eventually("the shape has the row", async () => {
        const more = await ask(service.url, { table: "items", handle: before.handle ?? "", offset: "0_0" })
        assert.strictEqual(more.status, 200)
        return more.rows.length === 1 && more.body.includes('"id":"2"')
      })
      await service.untilLogged(/publication/)
      const { handle } = await ask(service.url, { table: "items" })
      await database.query("INSERT INTO items VALUES (3, 'c')")
      await eventually("changes arrive", async () => {
        const more = await ask(service.url, { table: "items", handle: handle ?? "", offset: "0_0" })
        return more.body.includes('"id":"3"')
      })
    }
  )

  it(
    "a transaction larger than allowed: it is said, and every shape gets what it lacks",
    { timeout: patient(60_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(items)
      const service = await serviceForTest({ database, env: { ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE: "5000" } })
      const before = await ask(service.url, { table: "items" })
      await database.query("INSERT INTO items VALUES (2, repeat('x', 60000))")
      await service.untilLogged(
        /replication slot is created anew and all shapes are compared with the database\. Split such transactions, or raise ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE/
      )
      await eventually("both rows are there", async () => {
        const more = await ask(service.url, { table: "items", handle: before.handle ?? "", offset: "0_0" })
        return more.status === 200 && more.handle === before.handle && more.rows.length === 1
      })
      await service.until("active")
    }
  )

  it(
    "the database is dropped: shapes stay, and a new one of that name is another database",
    { timeout: patient(90_000) },
    async () => {
      const database = await databaseForTest()
      const admin = await databaseForTest()
      const { name, slotName } = database
      await database.query(items)
      const service = await serviceForTest({ database })
      const before = await ask(service.url, { table: "items" })
      const reader = new ShapeLogReader({
        url: service.url,
        params: { table: "items" },
        retryMillis: 20_000
      })
      await reader.readToEnd()
      await admin.query(`ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false`)
      await eventually("nobody is connected any more", async () => {
        await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name])
        await admin.query(
          "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1",
          [slotName]
        )
        await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)
        return true
      })
      await service.untilLogged(
        /The database does not exist.*does not heal by itself\. Check the database name/
      )
      await service.until("waiting")
      const during = await ask(service.url, { table: "items" })
      assert.strictEqual(during.handle, before.handle)
      assert.deepStrictEqual(during.rows, before.rows)
      await admin.query(`CREATE DATABASE ${name}`)
      // Another database, and a table that is to clients what the one before was.
      await database.query(`${items}; INSERT INTO items VALUES (700, 'other')`)
      await service.until("active", 30_000)
      await reader.followUntil("the rows of the new table", () =>
        [...reader.rows.values()].some((row) => row["id"] === "700")
      )
      assert.strictEqual(reader.position.handle, before.handle)
    }
  )
})

describe("a transaction that is open when the slot is made", () => {
  it(
    "is waited for, also by who comes next, and is in the way only once",
    { timeout: patient(120_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(items)
      const storageDir = storageForTest()
      const open = async () => {
        const client = await database.connect()
        await client.query("BEGIN; INSERT INTO items VALUES ((SELECT max(id) + 1 FROM items), 'open')")
        return client
      }
      const pending = await open()
      const start = () => serviceForTest({ database, storageDir, until: false })
      const first = await start()
      await first.untilLogged(
        /Creating the replication slot .* waits for transactions that are open.*pg_stat_activity/
      )
      assert.deepStrictEqual(await first.health(), { status: 202, body: '{"status":"starting"}' })
      assert.strictEqual((await ask(first.url, { table: "items" })).status, 503)
      // Postgres notices the death of the holder while it waits: the next one gets the lock, and waits in its turn.
      await first.stop("SIGKILL")
      const second = await start()
      await second.untilLogged(/Acquired the lock/)
      const third = await start()
      await third.until("waiting")
      await pending.query("COMMIT")
      await pending.end()
      // Nobody else writes: the service asks for the record that the creation needs.
      await second.until("active", 30_000)
      const shape = await ask(second.url, { table: "items" })
      assert.strictEqual(shape.rows.length, 2)
      // There is a slot now, so an open transaction is in nobody's way.
      const other = await open()
      await second.stop("SIGKILL")
      await third.until("active")
      assert.strictEqual((await ask(third.url, { table: "items" })).handle, shape.handle)
      await other.query("COMMIT")
      await other.end()
      await eventually("its row arrives", async () => {
        const more = await ask(third.url, { table: "items", handle: shape.handle ?? "", offset: "0_0" })
        return more.body.includes('"id":"3"')
      })
    }
  )
})
