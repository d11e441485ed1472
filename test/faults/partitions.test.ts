import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { ask, databaseForTest, serviceForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

/** Ids that a client has who fetches the shape from its beginning. */
const idsOf = async (url: string, table: string): Promise<ReadonlyArray<string>> => {
  const params = { table, columns: "id" }
  const first = await ask(url, params)
  if (first.status !== 200 || first.handle === null) return [`status ${first.status}`]
  const log = await ask(url, { ...params, handle: first.handle, offset: "0_0" })
  if (log.status !== 200) return [`status ${log.status}`]
  const ids = new Set<string>()
  for (const text of [first.body, log.body])
    for (const { headers, value } of JSON.parse(text) as ReadonlyArray<{
      readonly headers: { readonly operation?: string }
      readonly value?: { readonly id?: string }
    }>) {
      if (headers.operation === "delete") ids.delete(String(value?.id))
      else if (headers.operation !== undefined) ids.add(String(value?.id))
    }
  return [...ids].toSorted()
}

const untilRow = (id: number) => (reader: ShapeLogReader) =>
  reader.followUntil(`row ${id}`, () => [...reader.rows.values()].some((row) => row["id"] === String(id)))

describe("a partition with shapes of its own", () => {
  it(
    "counts for its root from the moment it is attached, and no longer once it is detached",
    { timeout: patient(60_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(
        `CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (10);
       CREATE TABLE high (id int PRIMARY KEY);
       INSERT INTO low VALUES (1); INSERT INTO high VALUES (11)`
      )
      const service = await serviceForTest({ database })
      const has = (table: string, ...ids: ReadonlyArray<string>) =>
        eventually(`${table} to have ${ids.join(", ")}`, async () => {
          const found = await idsOf(service.url, table)
          if (found.join() !== ids.join()) throw new Error(`it has ${found.join()}`)
          return true
        })
      await has("root", "1")
      await has("high", "11")
      // The stream has seen changes of both, and knows where they go.
      await database.query("INSERT INTO high VALUES (12); INSERT INTO low VALUES (2)")
      await has("high", "11", "12")
      await has("root", "1", "2")

      await database.query("ALTER TABLE root ATTACH PARTITION high FOR VALUES FROM (10) TO (20)")
      await has("root", "1", "11", "12", "2")
      await database.query("INSERT INTO high VALUES (13); DELETE FROM high WHERE id = 11")
      await has("root", "1", "12", "13", "2")
      await has("high", "12", "13")

      await database.query("ALTER TABLE root DETACH PARTITION high")
      await has("root", "1", "2")
      await database.query("INSERT INTO high VALUES (14); INSERT INTO low VALUES (3)")
      await has("high", "12", "13", "14")
      await has("root", "1", "2", "3")
      assert.strictEqual((await service.stop()).code, 0)
    }
  )

  it(
    "has for its root what is written to it while it is attached",
    { timeout: patient(60_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(
        `CREATE TABLE tree (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
       CREATE TABLE twig PARTITION OF tree FOR VALUES FROM (0) TO (900000); INSERT INTO twig SELECT i, 2 FROM generate_series(1, 80000) i;
       CREATE TABLE projects (id int PRIMARY KEY); INSERT INTO projects SELECT 1000000 * j + i FROM generate_series(0, 50000) i, generate_series(1, 3) j`
      )
      const { url } = await serviceForTest({ database })
      const readers = ["tree", "projects"].map(
        (table) =>
          new ShapeLogReader({
            url,
            params:
              table === "tree"
                ? { table, columns: "id" }
                : { table, where: "id IN (SELECT id FROM tree WHERE v = 1)" }
          })
      )
      for (const reader of readers) await reader.readToEnd()
      // To compare takes a while: there is much to compare.
      for (const first of [1_000_000, 2_000_000, 3_000_000]) {
        const name = `bough${first}`
        await database.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v int)`)
        // The stream knows it, and its rows as nobody else's.
        await ask(url, { table: name })
        await database.query(`INSERT INTO ${name} VALUES (${first}, 1)`)
        await eventually("its first row", async () => (await idsOf(url, name)).includes(String(first)))
        let last = first
        let left = Infinity
        const writes = (async () => {
          while (left-- > 0 && last < first + 50_000)
            await database.query(`INSERT INTO ${name} VALUES (${++last}, 1)`)
        })()
        await database.query(
          `ALTER TABLE tree ATTACH PARTITION ${name} FOR VALUES FROM (${first}) TO (${first + 1_000_000})`
        )
        await Promise.all(readers.map(untilRow(first)))
        left = 100
        await writes
        await Promise.all(readers.map(untilRow(last)))
        const [all] = await database.queryText(`SELECT count(*) AS count FROM tree WHERE id >= ${first}`)
        for (const { rows } of readers)
          assert.strictEqual(
            String([...rows.values()].filter(({ id }) => Number(id) >= first).length),
            all?.["count"]
          )
      }
    }
  )
})
