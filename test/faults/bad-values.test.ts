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

const isDropped = (url: string, table: string, handle: string) =>
  eventually(`the end of ${handle}`, async () => {
    const { status } = await requestLog(url, { table }, { offset: "0_0", handle })
    return status !== 200
  })

describe("a value that Postgres cannot give out as UTF-8", () => {
  it("costs nobody the stream in a database without an encoding", { timeout: patient(90_000) }, async () => {
    const { env, query } = await encodedDatabase("SQL_ASCII")
    await query("CREATE TABLE a (id int PRIMARY KEY, t text, n int); CREATE TABLE b (id int PRIMARY KEY)")
    const service = await serviceForTest({ env })
    const a = await follow(service.url, { table: "a" })
    const part = await follow(service.url, { table: "a", columns: "id,n" })
    const b = await follow(service.url, { table: "b" })
    await query("INSERT INTO a VALUES (1, 'ä', 1); INSERT INTO b VALUES (1)")
    await a.has("1")
    await query(String.raw`INSERT INTO a VALUES (4, E'caf\xe9', 4); INSERT INTO b VALUES (2)`)
    await b.has("2")
    await part.has("4")
    await isDropped(service.url, "a", a.handle)
    assert.match(service.logs(), /t of a row of table public\.a is not UTF-8/)
    // Its first rows say the same until the row is right.
    const refused = await requestLog(service.url, { table: "a" }, { offset: "-1" })
    assert.strictEqual(refused.status, 500)
    assert.match(refused.body, /invalid byte sequence/)
    await query("UPDATE a SET t = 'cafe' WHERE id = 4; INSERT INTO b VALUES (3)")
    await b.has("3")
    await part.has("1")
    const again = await follow(service.url, { table: "a" })
    await again.has("4")
  })

  it("costs the shapes of its transaction's tables in any other", { timeout: patient(90_000) }, async () => {
    const { env, query } = await encodedDatabase("WIN1252")
    await query(
      `CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE b (id int PRIMARY KEY);
       CREATE TABLE c (id int PRIMARY KEY)`
    )
    const storageDir = storageForTest()
    const service = await serviceForTest({ env, storageDir })
    const a = await follow(service.url, { table: "a" })
    const part = await follow(service.url, { table: "a", columns: "id" })
    const b = await follow(service.url, { table: "b" })
    const c = await follow(service.url, { table: "c" })
    await query("INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)")
    await b.has("1")
    await query(
      String.raw`BEGIN; INSERT INTO c VALUES (2); INSERT INTO a VALUES (4, E'\x81'); COMMIT; INSERT INTO b VALUES (2)`
    )
    await b.has("2")
    for (const [table, { handle }] of [
      ["a", a],
      ["a", part],
      ["c", c]
    ] as const)
      await isDropped(service.url, table, handle)
    assert.match(service.logs(), /is passed over, .*: public\.c, public\.a\./)
    assert.lengthOf(service.logs().match(/in replication mode failed/g) ?? [], 2)
    const ids = await follow(service.url, { table: "a", columns: "id" })
    await ids.has("4")
    const others = await follow(service.url, { table: "c" })
    await others.has("2")
    await query("INSERT INTO b VALUES (3); INSERT INTO c VALUES (3)")
    await b.has("3")
    await others.has("3")
    // It is behind the slot for good.
    await service.stop()
    const next = await serviceForTest({ env, storageDir })
    const kept = await requestLog(next.url, { table: "b" }, { offset: "0_0", handle: b.handle })
    assert.strictEqual(kept.status, 200)
    assert.notMatch(next.logs(), /has no equivalent/)
  })
})
