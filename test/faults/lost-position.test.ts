import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { expectNothingDiffers } from "../../testing/services/VerifyShapes.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { expectSelected, readersAt, tables } from "./support/comparedShapes.ts"
import { ask, databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"

/** What happens while nobody is told of it. */
const unseen = `
  UPDATE items SET name = name || '!' WHERE id % 7 = 0;
  DELETE FROM items WHERE id % 11 = 0;
  UPDATE items SET id = id + 1000 WHERE id % 13 = 0;
  INSERT INTO items SELECT i, i % 5, NULL, 'new' FROM generate_series(2001, 2040) i;
  UPDATE members SET project = (project + 1) % 5 WHERE id % 3 = 0;
  UPDATE loose SET "of" = "of" + 100 WHERE "of" % 2 = 0;
  DELETE FROM loose WHERE "of" % 5 = 0`

const prepare = async () => {
  const database = await databaseForTest()
  await database.query(tables)
  const storageDir = storageForTest()
  const start = (until: "active" | false = "active", more: Readonly<Record<string, string>> = {}) =>
    serviceForTest({
      database,
      storageDir,
      until,
      env: { ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "10000", ...more }
    })
  return { database, start }
}

describe("a slot that is gone", () => {
  it(
    "costs no shape its handle: each gets what it lacks, and what comes later",
    { timeout: patient(120_000) },
    async () => {
      const { database, start } = await prepare()
      const first = await start()
      const readers = await readersAt(first.url)
      const changesOnly = await ask(first.url, { table: "items", log: "changes_only" })
      await database.query(
        "UPDATE items SET name = 'streamed' WHERE id = 1; INSERT INTO members VALUES (100, 4, 3)"
      )
      await expectSelected(database, readers, first.url)
      await first.stop("SIGTERM")
      await database.query(unseen)
      await database.query("SELECT pg_drop_replication_slot($1)", [database.slotName])
      const second = await start()
      await expectSelected(database, readers, second.url)
      await database.query(
        "DELETE FROM members WHERE id = 100; UPDATE items SET note = 'later' WHERE id < 20"
      )
      await expectSelected(database, readers, second.url)
      await expectNothingDiffers(second.url)
      assert.match(second.logs(), /BATON-SHAPE-COMPARED/)
      // Which of the changes are missing nobody can tell.
      const { handle, status } = await ask(second.url, {
        table: "items",
        log: "changes_only",
        handle: changesOnly.handle ?? "",
        offset: "0_0"
      })
      assert.strictEqual(status, 409)
      assert.notStrictEqual(handle, changesOnly.handle)
    }
  )

  it(
    "costs none its handle either whose last change was a comparison with an altered table",
    { timeout: patient(120_000) },
    async () => {
      const { database, start } = await prepare()
      const first = await start()
      const readers = await readersAt(first.url)
      await database.query("ALTER TABLE items ALTER COLUMN note TYPE text USING note || '~'")
      await expectSelected(database, readers, first.url)
      assert.match(first.logs(), /Compared \d+ shapes on "public"."items" with its rows/)
      await first.stop("SIGTERM")
      await database.query("SELECT pg_drop_replication_slot($1)", [database.slotName])
      const second = await start()
      await database.query("UPDATE items SET note = 'later' WHERE id < 20")
      await expectSelected(database, readers, second.url)
      assert.notMatch(second.logs(), /BATON-SHAPE-DISCARDED/)
    }
  )

  it(
    "costs none either when instances are killed in the middle of the comparison",
    { timeout: patient(180_000) },
    async () => {
      const seed = Number(process.env["LOST_POSITION_SEED"] ?? freshSeed())
      const random = makeRandom(seed)
      const { database, start } = await prepare()
      const first = await start()
      const readers = await readersAt(first.url)
      await first.stop("SIGKILL")
      await database.query(unseen)
      await database.query("SELECT pg_drop_replication_slot($1)", [database.slotName])
      for (let round = 0; round < 3; round++) {
        const killed = await start(false)
        await killed.untilLogged(/BATON-SHAPE-COMPARED/)
        // Whenever it is: before the slot, between tables, or when all is done.
        await sleep(random.int(0, 200))
        await killed.stop("SIGKILL")
        // Where all was done there would be nothing to compare the next time.
        await eventually("the slot is gone", async () => {
          await database.query(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active",
            [database.slotName]
          )
          const left = await database.queryText(
            "SELECT 1 AS one FROM pg_replication_slots WHERE slot_name = $1",
            [database.slotName]
          )
          return left.length === 0
        })
        await database.query(`INSERT INTO items VALUES (${3000 + round}, 2, 'between', NULL)`)
      }
      const last = await start()
      await expectSelected(database, readers, last.url).catch((error: unknown) =>
        assert.fail(`seed ${seed}: ${String(error)}`)
      )
    }
  )

  it(
    "makes those start over who know of more than storage has, and nobody of another shape",
    { timeout: patient(120_000) },
    async () => {
      const { database, start } = await prepare()
      const first = await start()
      const params = { table: "items" }
      const loose = await ask(first.url, { table: "loose" })
      const reader = new ShapeLogReader({ url: first.url, params, retryMillis: 20_000 })
      await reader.readToEnd()
      await database.query("UPDATE items SET name = 'known' WHERE id = 1")
      await reader.followUntil("the change", () => reader.operations.length === 1)
      await first.stop("SIGTERM")
      // What storage has of it is older than that: it comes from a copy.
      await database.query("UPDATE items SET name = 'told' WHERE id = 2")
      const [row] = await database.queryText("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS lsn")
      await database.query("UPDATE items SET name = 'later' WHERE id = 3")
      await database.query("SELECT pg_drop_replication_slot($1)", [database.slotName])
      const second = await start()
      const told = { ...params, handle: reader.position.handle ?? "", offset: `${row?.["lsn"]}_0` }
      const refused = await ask(second.url, told)
      assert.strictEqual(refused.status, 409)
      const anew = await ask(second.url, params)
      assert.notStrictEqual(anew.handle, reader.position.handle)
      const other = await ask(second.url, { table: "loose", handle: loose.handle ?? "", offset: "0_0" })
      assert.strictEqual(other.status, 200)
      // Those that are made later have no such history.
      const young = await ask(second.url, {
        ...params,
        handle: anew.handle ?? "",
        offset: `${row?.["lsn"]}_0`
      })
      assert.notStrictEqual(young.status, 409)
      await second.stop("SIGKILL")
      const third = await start()
      assert.strictEqual((await ask(third.url, params)).handle, anew.handle)
      const late = { table: "loose", handle: loose.handle ?? "", offset: `${row?.["lsn"]}_0` }
      assert.strictEqual((await ask(third.url, late)).status, 409)
    }
  )

  it(
    "costs none where slots are temporary, whatever their names",
    { timeout: patient(120_000) },
    async () => {
      const { database, start } = await prepare()
      const temporary = {
        CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN: "true",
        ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME: "true"
      }
      const first = await start("active", temporary)
      const readers = await readersAt(first.url)
      await first.stop("SIGTERM")
      await database.query(unseen)
      const second = await start("active", temporary)
      await expectSelected(database, readers, second.url)
      await second.stop("SIGKILL")
      await database.query("UPDATE items SET note = 'again' WHERE id < 20")
      const third = await start("active", temporary)
      await expectSelected(database, readers, third.url)
      await expectNothingDiffers(third.url)
    }
  )
})

describe("a table that sub-selects read and that is truncated while nobody is there", () => {
  it("costs no shape its handle", { timeout: patient(120_000) }, async () => {
    const { database, start } = await prepare()
    const first = await start()
    const readers = await readersAt(first.url)
    await first.stop("SIGKILL")
    await database.query(
      "UPDATE items SET name = 'before' WHERE id < 20; TRUNCATE members; INSERT INTO members VALUES (1, 2, 3)"
    )
    const second = await start()
    await expectSelected(database, readers, second.url)
    await database.query("INSERT INTO members VALUES (2, 4, 3); DELETE FROM members WHERE id = 1")
    await expectSelected(database, readers, second.url)
    assert.match(second.logs(), /was truncated while nobody followed it/)
    assert.notMatch(second.logs(), /Dropped/)
  })
})
