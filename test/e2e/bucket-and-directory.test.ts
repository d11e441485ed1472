import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { startService } from "../../testing/services/Service.ts"

const db = databaseForFile((database) =>
  database.query(
    `CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL);
     INSERT INTO items SELECT g, 0 FROM generate_series(1, 20) g`
  )
)
const place = mkdtempSync(join(tmpdir(), "baton-places-"))
afterAll(() => rmSync(place, { recursive: true, force: true }))

const storageDir = join(place, "directory")
const bucket = { BATON_BUCKET: `file://${join(place, "bucket")}`, BATON_TAIL_SECRET: "between instances" }
const params = { table: "items" }

/** What a client that was elsewhere before is told: once 409, and then the rows. */
const startOver = async (url: string, handle: string) => {
  const answer = await eventually("the shape that is made anew", async () => {
    const found = await requestLog(url, params, { offset: "0_inf", handle })
    return found.status === 409 && found
  })
  const reader = new ShapeLogReader({ url, params })
  await reader.readToEnd()
  assert.strictEqual(reader.position.handle, answer.handle)
  assert.notStrictEqual(answer.handle, handle)
  const rows = await db().query<{ id: number; v: number }>("SELECT id, v FROM items ORDER BY id")
  const found = [...reader.rows.values()].map(({ id, v }) => ({ id: Number(id), v: Number(v) }))
  assert.deepStrictEqual(
    found.toSorted((a, b) => a.id - b.id),
    [...rows]
  )
  return answer.handle ?? assert.fail()
}

describe("a service that goes from a directory to a bucket", () => {
  it(
    "makes its shapes anew, also on the way back, and loses no change",
    { timeout: patient(60_000) },
    async () => {
      const change = () => db().query("UPDATE items SET v = v + 1 WHERE id = 1")
      /** A change that Postgres was told is safe, so what stands elsewhere is older than the slot from then on. */
      const changeSafely = async () => {
        const before = await db().query(
          "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
        )
        await change()
        await eventually("the change is acknowledged", async () => {
          const after = await db().query(
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
          )
          return after[0]?.["confirmed_flush_lsn"] !== before[0]?.["confirmed_flush_lsn"]
        })
      }
      const there = await startService({ database: db(), storageDir })
      const first = await requestLog(there.url, params, { offset: "-1" })
      await using inBucket = await startService({ database: db(), env: bucket, until: "waiting" })
      await change()
      await there.stop()
      await inBucket.until("active")
      const second = await startOver(inBucket.url, first.handle ?? assert.fail())
      await changeSafely()

      await using back = await startService({ database: db(), storageDir, until: "waiting" })
      await change()
      await inBucket.stop()
      assert.notMatch(inBucket.logs(), /cannot be followed|does not send/)
      await back.until("active")
      assert.match(
        back.logs(),
        /What 1 shapes have cannot be continued: storage is older than the replication slot/
      )
      await startOver(back.url, second)
    }
  )
})
