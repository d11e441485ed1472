import { assert, describe, it, onTestFinished } from "vitest"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { eventually } from "../../testing/Eventually.ts"
import { ask, databaseForTest, serviceForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

describe("the oldest Postgres that is supported", () => {
  it("is served like any other", { timeout: patient(90_000) }, async (test) => {
    const cluster = await startCluster({ version: 14, settings: { fsync: "off" } }).catch((error: unknown) =>
      test.skip(`there is no Postgres 14 here: ${String(error)}`)
    )
    onTestFinished(() => cluster.destroy())
    const database = await databaseForTest(cluster)
    await database.query(
      `CREATE TYPE mood AS ENUM ('sad', 'happy');
       CREATE TABLE items (id int PRIMARY KEY, v mood, w int GENERATED ALWAYS AS (id * 2) STORED);
       INSERT INTO items SELECT i, 'sad' FROM generate_series(1, 5) i`
    )
    const service = await serviceForTest({ database })
    const shape = { table: "items", columns: "id,v", where: "v = 'sad' AND id > 1" }
    const { handle, rows } = await ask(service.url, shape)
    assert.strictEqual(rows.length, 4)
    await database.query("UPDATE items SET v = 'happy' WHERE id = 2; INSERT INTO items VALUES (9, 'sad')")
    await eventually("both changes arrive", async () => {
      const log = await ask(service.url, { ...shape, handle: handle ?? "", offset: "0_0" })
      return /"operation":"delete"/.test(log.body) && log.body.includes('"id":"9"')
    })
    const generated = await ask(service.url, { table: "items", columns: "id,w" })
    assert.strictEqual(generated.status, 400)
    await database.query("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
    await eventually("an altered type is noticed", async () => {
      const old = await ask(service.url, { ...shape, handle: handle ?? "", offset: "0_0" })
      return old.status !== 200
    })
    await database.query("TRUNCATE items")
    await eventually(
      "it is empty",
      async () => (await ask(service.url, { table: "items", columns: "id" })).rows.length === 0
    )
    assert.strictEqual((await service.stop()).code, 0)
  })
})
