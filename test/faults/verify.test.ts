import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { createTables, startWriteLoad } from "../../testing/runs/WriteLoad.ts"
import { expectNothingDiffers, verifyShapes } from "../../testing/services/VerifyShapes.ts"
import { expectSelected, readersAt, tables } from "./support/comparedShapes.ts"
import { ask, databaseForTest, serviceForTest } from "./support/faults.ts"

const placeOf = async (database: TestDatabase, id: number): Promise<string> => {
  const [row] = await database.queryText(`SELECT ctid::text FROM items WHERE id = ${id}`)
  return row?.["ctid"] ?? assert.fail(`no row ${id}`)
}

/** Takes the version of a row that stands here away, without a word to replication. */
const kill = (database: TestDatabase, place: string) =>
  database.query("SELECT heap_force_kill('items', ARRAY[$1::tid])", [place])

/** Brings a version of a row back that was deleted or updated. */
const revive = (database: TestDatabase, place: string) =>
  database.query("SELECT heap_force_freeze('items', ARRAY[$1::tid])", [place])

describe("baton verify", () => {
  it(
    "finds what storage and database do not have in common, names it, and mends it under the same handles",
    { timeout: patient(120_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(`${tables}; CREATE EXTENSION pg_surgery`)
      const service = await serviceForTest({ database })
      const readers = await readersAt(service.url)
      await ask(service.url, { table: "items", log: "changes_only" })
      const clean = await expectNothingDiffers(service.url)
      assert.deepStrictEqual(clean.shapes, {
        compared: readers.length,
        total: readers.length + 1,
        differing: 0
      })
      assert.match(clean.skipped[0]?.reason ?? "", /changes only/)

      // So that nobody tidies old versions up.
      const looker = await database.connect()
      await looker.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
      const [deleted, updated] = [await placeOf(database, 6), await placeOf(database, 7)]
      await database.query("DELETE FROM items WHERE id = 6; UPDATE items SET name = 'later' WHERE id = 7")
      await expectSelected(database, readers, service.url)
      const offsetOf = (key: string) => {
        const found = readers[0]?.operations.findLast((one) => one.key === `"public"."items"/"${key}"`)
        return `${found?.lsn}_${found?.position}`
      }
      await kill(database, await placeOf(database, 5))
      await revive(database, deleted)
      await kill(database, await placeOf(database, 7))
      await revive(database, updated)

      const { report, status } = await verifyShapes(service.url, { table: "items" })
      assert.strictEqual(status, 1)
      const whole = readers[0]?.position.handle ?? assert.fail("no handle")
      const about = { handle: whole, table: "public.items" }
      assert.sameDeepMembers(
        report.differences.filter(({ handle }) => handle === whole),
        [
          { ...about, key: `"public"."items"/"5"`, kind: "surplus", columns: [], since: "first rows" },
          { ...about, key: `"public"."items"/"6"`, kind: "missing", columns: [], since: offsetOf("6") },
          { ...about, key: `"public"."items"/"7"`, kind: "differs", columns: ["name"], since: offsetOf("7") }
        ]
      )
      assert.match(service.logs(), /BATON-SHAPE-DIFFERS/)
      const one = await verifyShapes(service.url, { shape: whole })
      assert.deepStrictEqual([one.status, one.report.shapes.total], [1, 1])
      assert.deepStrictEqual(one.report.found, { missing: 1, surplus: 1, differs: 1 })

      const mended = await verifyShapes(service.url, { repair: "true" })
      assert.deepStrictEqual([mended.status, mended.report.repair], [1, "done"])
      await service.until("active")
      await expectSelected(database, readers, service.url)
      await database.query("UPDATE items SET note = 'after' WHERE id < 20")
      await expectSelected(database, readers, service.url)
      await looker.end()
      await expectNothingDiffers(service.url)
    }
  )

  it("finds nothing while rows of every shape are being written", { timeout: patient(120_000) }, async () => {
    const seed = Number(process.env["VERIFY_SEED"] ?? freshSeed())
    const database = await databaseForTest()
    const client = await database.connect()
    await createTables(client, ["items", "others"], 100)
    // Logs are compacted all the time.
    const env = { BATON_COMPACTION_MIN_SIZE: "1", BATON_COMPACTION_GARBAGE: "1" }
    const service = await serviceForTest({ database, env })
    const load = startWriteLoad({
      url: database.url,
      tables: ["items", "others"],
      writers: 3,
      perSecond: 200,
      random: makeRandom(seed)
    })
    try {
      const clauses = [
        "v % 2 = 0",
        "v IN (SELECT v FROM others WHERE b IS NULL)",
        "a LIKE '%1%' OR b IS NULL"
      ]
      await eventually("some writes", () => load.committed() > 20)
      for (const where of clauses) await ask(service.url, { table: "items", where })
      await ask(service.url, { table: "items", columns: "id,a", replica: "full" })
      await ask(service.url, { table: "others" })
      for (let round = 0; round < 4; round++) {
        const before = load.committed()
        const { shapes } = await expectNothingDiffers(service.url)
        assert.strictEqual(shapes.compared, clauses.length + 2)
        await eventually("more writes", () => load.committed() > before + 50)
      }
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    } finally {
      await load.stop()
    }
  })

  it("says why it cannot compare", { timeout: patient(60_000) }, async () => {
    const database = await databaseForTest()
    await database.query("CREATE TABLE t (id int PRIMARY KEY)")
    const service = await serviceForTest({ database, until: "active" })
    const post = (query: string) => fetch(`${service.url}/baton/api/verify?${query}`, { method: "POST" })
    assert.strictEqual((await fetch(`${service.url}/baton/api/verify`)).status, 404)
    assert.strictEqual((await post("shape=1-2")).status, 404)
    assert.strictEqual((await post("table=nothing")).status, 404)
    assert.strictEqual((await post("rate=fast")).status, 400)
    assert.strictEqual((await post("shapes=1")).status, 400)
    // A transaction that is open keeps Postgres from telling where a snapshot stands.
    await ask(service.url, { table: "t" })
    const writer = await database.connect()
    await writer.query("BEGIN; INSERT INTO t VALUES (1)")
    assert.strictEqual((await post("")).status, 202)
    assert.strictEqual((await post("")).status, 409)
    assert.strictEqual((await fetch(`${service.url}/baton/api/verify`, { method: "DELETE" })).status, 202)
    const state = async () =>
      ((await (await fetch(`${service.url}/baton/api/verify`)).json()) as { state: string }).state
    await eventually("the end", async () => (await state()) === "stopped")
    await eventually("the end of its session", async () => {
      const slots = await database.query(
        "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'baton_verify%'"
      )
      return slots.length === 0
    })
    await writer.query("COMMIT")
    await eventually("the next one", async () => (await post("")).status === 202)
    await eventually("its end", async () => (await state()) === "done")
  })
})
