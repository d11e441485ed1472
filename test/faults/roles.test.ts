import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { ask, databaseForTest, endSessions, roleForTest, serviceForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

const items = "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (1, 1)"

describe("a role without what it needs", () => {
  it("REPLICATION: start-up ends with what to do, and works afterwards", async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "NOREPLICATION")
    const start = { database, env: { DATABASE_URL: role.url }, until: false } as const
    const refused = await serviceForTest(start)
    assert.deepStrictEqual(await refused.ended, { code: 1, signal: null })
    assert.match(
      refused.logs(),
      new RegExp(
        `REPLICATION attribute.*does not heal by itself\\. Run ALTER ROLE "${role.name}" REPLICATION;`
      )
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
    { timeout: patient(90_000) },
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

  it("connections: it is tried again until there are some", async () => {
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

describe("a password that is not in its simplest form", () => {
  it("logs in, as it does with libpq, however the session is opened", async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "SUPERUSER")
    await database.query(`${items}; ALTER ROLE ${role.name} PASSWORD 'a\u00a0b\u00adc\u00aa'`)
    const url = `${role.withPassword(encodeURIComponent("a\u00a0b\u00adc\u00aa"))}\n`
    const service = await serviceForTest({ database, env: { DATABASE_URL: url } })
    assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
    assert.notMatch(service.logs(), /28P01/)
  })
})

describe("publishing by hand", () => {
  it(
    "every step that lacks is answered with 503 and what to do, until there is none",
    { timeout: patient(60_000) },
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
      const refused = async (message: RegExp, advice: RegExp) => {
        for (let i = 0; i < 3; i++) {
          const answer = await ask(service.url, { table: "items" })
          assert.strictEqual(answer.status, 503)
          assert.match(answer.body, message)
        }
        await service.untilLogged(advice)
        assert.strictEqual(service.logs().split(advice).length, 2, "told once, not for each request")
      }
      await refused(
        /items\\" is missing from the publication .*ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents/,
        new RegExp(`Run ALTER PUBLICATION "${publication}" ADD TABLE "public"."items"; Clients are told`)
      )
      await database.query(`ALTER PUBLICATION ${publication} ADD TABLE items`)
      await refused(
        /does not have its replica identity set to FULL/,
        /Run ALTER TABLE "public"."items" REPLICA IDENTITY FULL; Clients are told/
      )
      await database.query("ALTER TABLE items REPLICA IDENTITY FULL")
      await refused(
        /permission denied/,
        new RegExp(`Run GRANT SELECT ON "public"."items" TO "${role.name}";`)
      )
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

  it("a publication that is not ours, absent or incomplete, ends start-up", async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "REPLICATION")
    const start = { database, env: { DATABASE_URL: role.url }, until: false } as const
    const publication = database.publicationName
    for (const [sql, message] of [
      [
        "SELECT 1",
        new RegExp(
          `Publication "${publication}" not found in the database, and the role "${role.name}" may not create it\\. ` +
            `Run GRANT CREATE ON DATABASE "${database.name}" TO "${role.name}"; Or create it, if you publish tables ` +
            `yourself: CREATE PUBLICATION "${publication}".*; This does not heal by itself`
        )
      ],
      [
        `CREATE PUBLICATION ${publication} WITH (publish = 'insert')`,
        /does not publish all required operations.*Run ALTER PUBLICATION .* SET \(publish = 'insert, update, delete, truncate'\);/
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

  it("a table of somebody else is refused as such", async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "REPLICATION")
    await database.query(
      `${items}; GRANT CREATE ON DATABASE ${database.name} TO ${role.name}; GRANT SELECT ON items TO ${role.name}`
    )
    const service = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
    const refused = await ask(service.url, { table: "items" })
    assert.strictEqual(refused.status, 503)
    assert.match(refused.body, /must be owner of table items/)
    await service.untilLogged(
      new RegExp(
        `must be owner of table items\\. Run ALTER TABLE "public"."items" OWNER TO "${role.name}"; Or set ELECTRIC_MANUAL_TABLE_PUBLISHING=true`
      )
    )
    await database.query(`ALTER TABLE items OWNER TO ${role.name}`)
    assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
  })
})

const secured = (mode: string) =>
  `CREATE TABLE docs (id int PRIMARY KEY, tenant int, v text);
   INSERT INTO docs SELECT n, n % 2, 'x' FROM generate_series(1, 10) n;
   ALTER TABLE docs ENABLE ROW LEVEL SECURITY${mode};
   CREATE POLICY p ON docs USING (tenant = 1)`

describe("row level security", () => {
  it(
    "is an error for a role that would see a part of the rows, in first rows and subsets, and never fewer rows",
    { timeout: patient(90_000) },
    async () => {
      const database = await databaseForTest()
      const role = await roleForTest(database, "REPLICATION")
      await database.query(
        `${secured(", FORCE ROW LEVEL SECURITY")}; ALTER TABLE docs OWNER TO ${role.name};
         CREATE TABLE no_policy (id int PRIMARY KEY); INSERT INTO no_policy VALUES (1);
         ALTER TABLE no_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; ALTER TABLE no_policy OWNER TO ${role.name};
         CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); INSERT INTO parts VALUES (1), (2);
         ALTER TABLE parts_1 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON parts_1 USING (id = 1);
         ALTER TABLE parts OWNER TO ${role.name}; ALTER TABLE parts_1 OWNER TO ${role.name};
         GRANT CREATE ON DATABASE ${database.name} TO ${role.name}`
      )
      const service = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
      const message =
        /Unable to create initial snapshot: query would be affected by row-level security policy/
      for (const table of ["docs", "no_policy", "parts_1"]) {
        const refused = await ask(service.url, { table })
        assert.deepStrictEqual([refused.status, message.test(refused.body)], [503, true], refused.body)
      }
      await service.untilLogged(
        new RegExp(
          `"public"."docs" failed: query would be affected.*Run ALTER ROLE "${role.name}" BYPASSRLS; .*` +
            `ALTER TABLE "public"."docs" NO FORCE ROW LEVEL SECURITY;`
        )
      )
      // Policies of a partition do not count for a client that asks for the partitioned table, in Postgres as here.
      const whole = await ask(service.url, { table: "parts" })
      assert.strictEqual(whole.body.match(/"operation":"insert"/g)?.length, 2)

      await database.query("ALTER TABLE docs NO FORCE ROW LEVEL SECURITY")
      const owners = await ask(service.url, { table: "docs" })
      assert.strictEqual(owners.body.match(/"operation":"insert"/g)?.length, 10)
      // The shape is there, and a subset of it is a query of its own.
      await database.query("ALTER TABLE docs FORCE ROW LEVEL SECURITY")
      const subset = await ask(service.url, { table: "docs", subset__where: "id < 5" })
      assert.strictEqual(subset.status, 503, subset.body)
      assert.include(subset.body, "row-level security")
      await service.untilLogged(/Subsets of the table "public"."docs" cannot be read: .*BYPASSRLS;/)

      await database.query(`ALTER ROLE ${role.name} BYPASSRLS`)
      const all = await ask(service.url, { table: "docs", subset__where: "id < 5" })
      assert.strictEqual(all.body.match(/"operation":"insert"/g)?.length, 4)
      assert.strictEqual((await ask(service.url, { table: "no_policy" })).status, 200)
    }
  )
})

describe("a function that the role may not execute", () => {
  it("makes a condition that uses it a mistake of the client, for shapes and subsets", async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "REPLICATION")
    await database.query(
      `CREATE TABLE wide (id int PRIMARY KEY, v text); INSERT INTO wide VALUES (1, 'a'), (2, 'b');
       ALTER TABLE wide OWNER TO ${role.name}; GRANT CREATE ON DATABASE ${database.name} TO ${role.name};
       REVOKE EXECUTE ON FUNCTION lpad(text, integer, text) FROM PUBLIC`
    )
    const service = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
    const where = "lpad(v, id, '-') = 'a'"
    const shape = await ask(service.url, { table: "wide", where })
    assert.deepStrictEqual(
      [shape.status, shape.body.includes("permission denied for function lpad")],
      [400, true]
    )
    await service.untilLogged(
      new RegExp(`permission denied for function lpad .*GRANT EXECUTE ON FUNCTION "lpad" TO "${role.name}";`)
    )
    const subset = await ask(service.url, { table: "wide", subset__where: where })
    assert.deepStrictEqual(
      [subset.status, subset.body.includes("permission denied for function lpad")],
      [400, true]
    )
    await database.query(`GRANT EXECUTE ON FUNCTION lpad(text, integer, text) TO ${role.name}`)
    const allowed = await ask(service.url, { table: "wide", where })
    assert.strictEqual(allowed.body.match(/"operation":"insert"/g)?.length, 1)
  })
})

describe("a replication slot of somebody else", () => {
  it(
    "of that name in another database is left alone, by a service with empty storage too",
    { timeout: patient(90_000) },
    async () => {
      const first = await databaseForTest()
      const second = await databaseForTest()
      await first.query(items)
      await second.query(items)
      const env = { ELECTRIC_REPLICATION_STREAM_ID: first.streamId }
      const owner = await serviceForTest({ database: first })
      const { handle } = await ask(owner.url, { table: "items" })
      const refuse = async () => {
        const intruder = await serviceForTest({ database: second, env, until: false })
        assert.deepStrictEqual(await intruder.ended, { code: 1, signal: null })
        assert.match(
          intruder.logs(),
          new RegExp(
            `replication slot ${first.slotName} that is not ours, and it is left alone: it belongs to the database "${first.name}".*` +
              "Choose another ELECTRIC_REPLICATION_STREAM_ID"
          )
        )
      }
      await refuse()
      await owner.stop()
      await refuse()
      await refuse()
      await first.query("INSERT INTO items VALUES (2, 2)")
      const again = await serviceForTest({ database: first, storageDir: owner.storageDir })
      await eventually("it goes on where it was", async () => {
        const more = await ask(again.url, { table: "items", handle: handle ?? "", offset: "0_0" })
        return more.body.includes('"id":"2"')
      })
    }
  )

  it("of another kind in the same database is left alone", async () => {
    const database = await databaseForTest()
    await database.query(`SELECT pg_create_physical_replication_slot('${database.slotName}')`)
    const service = await serviceForTest({ database, until: false })
    assert.deepStrictEqual(await service.ended, { code: 1, signal: null })
    assert.match(service.logs(), /that is not ours, and it is left alone: it is a physical one/)
    assert.lengthOf(
      await database.query("SELECT FROM pg_replication_slots WHERE slot_name = $1", [database.slotName]),
      1
    )
    await database.query(`SELECT pg_drop_replication_slot('${database.slotName}')`)
  })
})
