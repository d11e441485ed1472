import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LogicalReplicationService, PgoutputPlugin } from "pg-logical-replication"
import { createDatabase, databaseForFile, scopedDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"

describe("test databases", () => {
  const shared = databaseForFile((db) => db.query("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)"))

  it("come with what the file set up, parsed or as text", async () => {
    assert.deepStrictEqual(await shared().queryText("SELECT id, NULL AS n FROM t WHERE id = $1", [1]), [
      { id: "1", n: null }
    ])
    assert.deepStrictEqual(await shared().query("SELECT true AS yes"), [{ yes: true }])
  })

  it.live("go with their scope", () =>
    Effect.gen(function* () {
      const name = yield* Effect.scoped(Effect.map(scopedDatabase(), (db) => db.name))
      const left = yield* Effect.promise(() =>
        shared().query("SELECT 1 FROM pg_database WHERE datname = $1", [name])
      )
      assert.deepStrictEqual(left, [])
    })
  )

  it("can be dropped while somebody replicates from them", async () => {
    const db = await createDatabase()
    await db.query(`CREATE PUBLICATION ${db.publicationName} FOR ALL TABLES`)
    await db.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [db.slotName])
    const service = new LogicalReplicationService(
      { connectionString: db.url },
      { acknowledge: { auto: false, timeoutSeconds: 0 } }
    )
    service.on("error", () => {})
    const started = new Promise((resolve) => service.once("start", resolve))
    const subscription = service
      .subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: [db.publicationName] }), db.slotName)
      .catch(() => {})
    await started
    await db.drop()
    await subscription
    assert.deepStrictEqual(
      await shared().query("SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", [db.slotName]),
      []
    )
  })

  it("come back after all their sessions were ended", async () => {
    const db = shared()
    const other = await db.connect()
    await db.query("SELECT 1")
    await other.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
      [db.name]
    )
    await eventually("a new session", async () => (await db.query("SELECT 1")).length === 1)
    await other.end()
  })
})
