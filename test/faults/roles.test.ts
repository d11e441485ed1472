import { assert, describe, it } from "vitest"
import { eventually } from "../support/eventually.ts"
import { ask, databaseForTest, endSessions, roleForTest, serviceForTest } from "./support/faults.ts"

const items = "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (1, 1)"

describe("a role without what it needs", () => {
  it("REPLICATION: start-up ends with what to do, and works afterwards", { timeout: 60_000 }, async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "NOREPLICATION")
    const start = { database, env: { DATABASE_URL: role.url }, until: false } as const
    const refused = await serviceForTest(start)
    assert.deepStrictEqual(await refused.ended, { code: 1, signal: null })
    assert.match(
      refused.logs(),
      /REPLICATION attribute.*does not heal by itself\. Run ALTER ROLE … WITH REPLICATION/
    )
    assert.notInclude(refused.logs(), "first@")
    await database.query(
      `ALTER ROLE ${role.name} REPLICATION; GRANT CREATE ON DATABASE ${database.name} TO ${role.name}`
    )
    const service = await serviceForTest(start)
    await service.until("active")
  })

  it(
    "another password or no REPLICATION at run time: shapes stay, and it goes on when that is mended",
    { timeout: 90_000 },
    async () => {
      const database = await databaseForTest()
      const role = await roleForTest(database, "SUPERUSER")
      await database.query(items)
      const service = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
      const { handle } = await ask(service.url, { table: "items" })
      const faults = [
        [
          "PASSWORD 'second'",
          "PASSWORD 'first'",
          /Login to .* failed.*does not heal by itself\. Check user name/
        ],
        ["NOSUPERUSER NOREPLICATION", "SUPERUSER", /does not have the REPLICATION attribute/]
      ] as const
      let inserted = 1
      for (const [spoil, mend, message] of faults) {
        await database.query(`ALTER ROLE ${role.name} ${spoil}`)
        await endSessions(database, role.name)
        await service.untilLogged(message)
        await service.until("waiting")
        assert.strictEqual((await ask(service.url, { table: "items" })).handle, handle)
        await database.query(`INSERT INTO items VALUES (${++inserted}, 0)`)
        await database.query(`ALTER ROLE ${role.name} ${mend}`)
        await service.until("active", 30_000)
        await eventually("the row arrives, under the same handle", async () => {
          const more = await ask(service.url, { table: "items", handle: handle ?? "", offset: "0_0" })
          return more.body.includes(`"id":"${inserted}"`)
        })
      }
      assert.notInclude(service.logs(), "second")
    }
  )

  it("connections: it is tried again until there are some", { timeout: 60_000 }, async () => {
    const database = await databaseForTest()
    await database.query(items)
    const role = await roleForTest(database, `REPLICATION CONNECTION LIMIT 0`)
    await database.query(
      `GRANT CREATE ON DATABASE ${database.name} TO ${role.name}; ALTER TABLE items OWNER TO ${role.name}`
    )
    const service = await serviceForTest({ database, env: { DATABASE_URL: role.url }, until: false })
    await service.untilLogged(
      /too many connections.*\[53300\].*It is tried again until it succeeds\. Lower ELECTRIC_DB_POOL_SIZE/
    )
    await service.until("waiting")
    const refused = await ask(service.url, { table: "items" })
    assert.strictEqual(refused.status, 503)
    await database.query(`ALTER ROLE ${role.name} CONNECTION LIMIT -1`)
    await service.until("active", 30_000)
    assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
  })
})

describe("publishing by hand", () => {
  it(
    "every step that lacks is answered with 503 and what to do, until there is none",
    { timeout: 60_000 },
    async () => {
      const database = await databaseForTest()
      const role = await roleForTest(database, "REPLICATION")
      await database.query(`${items}; GRANT CREATE ON DATABASE ${database.name} TO ${role.name}`)
      const service = await serviceForTest({
        database,
        env: {
          DATABASE_URL: role.url,
          ELECTRIC_MANUAL_TABLE_PUBLISHING: "true",
          ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD: "500ms"
        }
      })
      const publication = database.publicationName
      const refused = async (message: RegExp) => {
        const answer = await ask(service.url, { table: "items" })
        assert.strictEqual(answer.status, 503)
        assert.match(answer.body, message)
      }
      await refused(
        /items\\" is missing from the publication .*ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents/
      )
      await database.query(`ALTER PUBLICATION ${publication} ADD TABLE items`)
      await refused(/does not have its replica identity set to FULL/)
      await database.query("ALTER TABLE items REPLICA IDENTITY FULL")
      await refused(/permission denied/)
      await database.query(`GRANT SELECT ON items TO ${role.name}`)
      const { handle, status } = await ask(service.url, { table: "items" })
      assert.strictEqual(status, 200)
      // Nothing is altered, whatever the reconciliation finds; what was undone by hand is told, once, and costs the shape.
      await database.query("ALTER TABLE items REPLICA IDENTITY DEFAULT")
      await service.untilLogged(/items" does not have its replica identity set to FULL/)
      await database.query("ALTER TABLE items REPLICA IDENTITY FULL")
      assert.strictEqual((await ask(service.url, { table: "items" })).handle, handle)
      await database.query(`ALTER PUBLICATION ${publication} DROP TABLE items`)
      await eventually("the shape is gone, and why", async () => {
        const answer = await ask(service.url, { table: "items" })
        return answer.status === 503 && answer.body.includes("is missing from the publication")
      })
      await database.query(`ALTER PUBLICATION ${publication} ADD TABLE items`)
      assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
    }
  )

  it("a publication that is not ours, absent or incomplete, ends start-up", { timeout: 60_000 }, async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "REPLICATION")
    const start = { database, env: { DATABASE_URL: role.url }, until: false } as const
    const publication = database.publicationName
    for (const [sql, message] of [
      ["SELECT 1", /Publication ".*" not found in the database.*does not heal by itself/],
      [
        `CREATE PUBLICATION ${publication} WITH (publish = 'insert')`,
        /does not publish all required operations/
      ]
    ] as const) {
      await database.query(sql)
      const refused = await serviceForTest(start)
      assert.strictEqual((await refused.ended).code, 1)
      assert.match(refused.logs(), message)
    }
    await database.query(
      `ALTER PUBLICATION ${publication} SET (publish = 'insert, update, delete, truncate'); ${items}; GRANT SELECT ON items TO ${role.name}`
    )
    const service = await serviceForTest(start)
    await service.until("active")
    const refused = await ask(service.url, { table: "items" })
    assert.strictEqual(refused.status, 503)
    assert.match(refused.body, /missing from the publication .* lacks privileges to add it/)
    await database.query(
      `ALTER PUBLICATION ${publication} ADD TABLE items; ALTER TABLE items REPLICA IDENTITY FULL`
    )
    assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
  })

  it("a table of somebody else is refused as such", { timeout: 60_000 }, async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "REPLICATION")
    await database.query(
      `${items}; GRANT CREATE ON DATABASE ${database.name} TO ${role.name}; GRANT SELECT ON items TO ${role.name}`
    )
    const service = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
    const refused = await ask(service.url, { table: "items" })
    assert.strictEqual(refused.status, 503)
    assert.match(refused.body, /must be owner of table items/)
    await database.query(`ALTER TABLE items OWNER TO ${role.name}`)
    assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
  })
})
