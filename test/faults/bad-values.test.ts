import pg from "pg"
import { assert, describe, inject, it, onTestFinished } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

/** A database with an encoding of its own, and a session in that encoding: its bytes go in as they are. */
const encodedDatabase = async (encoding: string) => {
  const admin = await databaseForTest()
  const name = `${admin.name}_${encoding.toLowerCase()}`
  const { host, password, port, user } = inject("pg")
  await admin.query(`CREATE DATABASE ${name} ENCODING '${encoding}' TEMPLATE template0 LOCALE 'C'`)
  onTestFinished(async () => {
    const slots = await admin.query<{ slot_name: string }>(
      "SELECT slot_name FROM pg_replication_slots WHERE database = $1",
      [name]
    )
    for (const { slot_name } of slots) await admin.query("SELECT pg_drop_replication_slot($1)", [slot_name])
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)
  })
  const client = new pg.Client({ host, port, user, password, database: name })
  client.on("error", () => {})
  await client.connect()
  onTestFinished(() => client.end())
  await client.query(`SET client_encoding = '${encoding}'`)
  return {
    query: (sql: string) => client.query(sql),
    env: {
      DATABASE_URL: `postgresql://${user}:${password}@${host}:${port}/${name}`,
      ELECTRIC_REPLICATION_STREAM_ID: admin.streamId
    }
  }
}

const follow = async (url: string, params: Readonly<Record<string, string>>) => {
  const reader = new ShapeLogReader({ url, params })
  await reader.readToEnd()
  return {
    handle: reader.position.handle ?? "",
    has: (id: string) =>
      reader.followUntil(`row ${id} of ${params["table"]}`, () =>
        Array.from(reader.rows.values()).some((row) => row["id"] === id)
      )
  }
}

const statusOf = async (url: string, params: Readonly<Record<string, string>>, handle: string) =>
  (await requestLog(url, params, { offset: "0_0", handle })).status

const isDropped = (url: string, params: Readonly<Record<string, string>>, handle: string) =>
  eventually(`the end of ${handle}`, async () => (await statusOf(url, params, handle)) !== 200)

describe("a value that Postgres cannot give out as UTF-8", () => {
  it("costs nobody the stream in a database without an encoding", { timeout: patient(90_000) }, async () => {
    const { env, query } = await encodedDatabase("SQL_ASCII")
    await query("CREATE TABLE a (id int PRIMARY KEY, t text, n int); CREATE TABLE b (id int PRIMARY KEY)")
    const service = await serviceForTest({ env })
    const a = await follow(service.url, { table: "a" })
    const part = await follow(service.url, { table: "a", columns: "id,n" })
    const others = await follow(service.url, { table: "a", where: "n <> 4" })
    const tested = await follow(service.url, { table: "a", columns: "id", where: "t <> 'x'" })
    const b = await follow(service.url, { table: "b" })
    await query("INSERT INTO a VALUES (1, 'ä', 1); INSERT INTO b VALUES (1)")
    await a.has("1")
    await query(String.raw`INSERT INTO a VALUES (4, E'caf\xe9', 4); INSERT INTO b VALUES (2)`)
    await b.has("2")
    await part.has("4")
    await isDropped(service.url, { table: "a" }, a.handle)
    await isDropped(service.url, { table: "a", columns: "id", where: "t <> 'x'" }, tested.handle)
    assert.match(service.logs(), /t of a row of table public\.a is not UTF-8/)
    // Its first rows say the same until the row is right.
    const refused = await requestLog(service.url, { table: "a" }, { offset: "-1" })
    assert.strictEqual(refused.status, 500)
    assert.match(refused.body, /invalid byte sequence/)
    await query("INSERT INTO a VALUES (5, 'e', 5)")
    await others.has("5")
    await query("UPDATE a SET t = 'cafe' WHERE id = 4; INSERT INTO b VALUES (3)")
    await b.has("3")
    await part.has("1")
    await query("UPDATE a SET n = 6 WHERE id = 4")
    await others.has("4")
    const again = await follow(service.url, { table: "a" })
    await again.has("4")
  })

  it("costs the shapes that have it in any other", { timeout: patient(120_000) }, async () => {
    const { env, query } = await encodedDatabase("WIN1252")
    await query(
      `CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE b (id int PRIMARY KEY);
       CREATE TABLE c (id int PRIMARY KEY)`
    )
    const storageDir = storageForTest()
    const service = await serviceForTest({ env, storageDir })
    const shapes = {
      a: { table: "a" },
      tested: { table: "a", columns: "id", where: "t <> 'x'" },
      part: { table: "a", columns: "id" },
      others: { table: "a", where: "id < 4" },
      b: { table: "b" },
      c: { table: "c" }
    }
    const a = await follow(service.url, shapes.a)
    const part = await follow(service.url, shapes.part)
    const tested = await follow(service.url, shapes.tested)
    const others = await follow(service.url, shapes.others)
    const b = await follow(service.url, shapes.b)
    const c = await follow(service.url, shapes.c)
    await query("INSERT INTO a VALUES (1, 'ä'); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)")
    await b.has("1")
    await query(
      String.raw`BEGIN; INSERT INTO c VALUES (2); INSERT INTO a VALUES (2, 'ö'), (4, E'\x81'); COMMIT; INSERT INTO b VALUES (2)`
    )
    // What the transaction has beside the value comes by the comparison; readers go on under their handles.
    await Promise.all([b.has("2"), c.has("2"), part.has("4"), others.has("2"), tested.has("4")])
    await isDropped(service.url, shapes.a, a.handle)
    assert.match(
      service.logs(),
      /is passed over, with its changes of public\.c, public\.a: shapes are compared/
    )
    assert.match(service.logs(), /cannot be read, for column t of table public\.a: .*0x81/)
    assert.lengthOf(service.logs().match(/in replication mode failed/g) ?? [], 2)
    const alive = { part, tested, others, b, c }
    for (const [name, { handle }] of Object.entries(alive))
      assert.strictEqual(await statusOf(service.url, shapes[name as keyof typeof alive], handle), 200, name)
    // Once the row is right there is nothing left of it.
    await query("UPDATE a SET t = 'u' WHERE id = 4; INSERT INTO b VALUES (3); INSERT INTO c VALUES (3)")
    await Promise.all([b.has("3"), c.has("3")])
    const again = await follow(service.url, shapes.a)
    await again.has("4")
    // It is behind the slot for good.
    await service.stop()
    const next = await serviceForTest({ env, storageDir })
    for (const [name, { handle }] of Object.entries(alive))
      assert.strictEqual(await statusOf(next.url, shapes[name as keyof typeof alive], handle), 200, name)
    assert.notMatch(next.logs(), /has no equivalent/)
  })

  it("is passed over where no shape needs its table", { timeout: patient(90_000) }, async () => {
    const { env, query } = await encodedDatabase("WIN1252")
    await query("CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE b (id int PRIMARY KEY)")
    const service = await serviceForTest({ env: { ...env, ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" } })
    const a = await follow(service.url, { table: "a" })
    const b = await follow(service.url, { table: "b" })
    await fetch(`${service.url}/v1/shape?table=a&handle=${a.handle}`, { method: "DELETE" })
    await query(String.raw`INSERT INTO a VALUES (4, E'\x81')`)
    await query("INSERT INTO b VALUES (2)")
    await b.has("2")
    // Where the table had not left the publication by then, the transaction was passed over.
    assert.notMatch(service.logs(), /shapes are compared with the database/)
  })
})
