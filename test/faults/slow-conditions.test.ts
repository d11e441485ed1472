import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { ShapeLogReader, requestLog } from "../../testing/readers/ShapeLog.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import type { TestService } from "../../testing/services/Service.ts"
import { databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

/** What others may lose by it: within this time they have their changes. */
const othersMillis = Number(process.env["OTHERS_MILLIS"] ?? 8000)

/** How long it takes until a change of another table is there, and the longest that `/v1/health` took meanwhile. */
const othersGet = async (service: TestService, database: TestDatabase, id: number) => {
  const reader = new ShapeLogReader({ url: service.url, params: { table: "good" } })
  await reader.readToEnd()
  const began = performance.now()
  let slowest = 0
  const done = new AbortController()
  const looking = (async () => {
    while (!done.signal.aborted) {
      const asked = performance.now()
      await fetch(`${service.url}/v1/health`)
      slowest = Math.max(slowest, performance.now() - asked)
      await sleep(20)
    }
  })()
  await database.query("INSERT INTO good VALUES ($1)", [id])
  await reader.followUntil(
    `row ${id} of another table`,
    () => Array.from(reader.rows.values()).some((row) => row["id"] === String(id)),
    60_000
  )
  done.abort()
  await looking
  return { took: performance.now() - began, health: slowest }
}

const rss = async (service: TestService): Promise<number> => {
  const { readFile } = await import("node:fs/promises")
  const status = await readFile(`/proc/${service.pid}/status`, "utf8")
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024
}

describe("a condition that only Postgres can evaluate", () => {
  it(
    "costs its own shape when it is slow, and the others nothing",
    { timeout: patient(120_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(
        `CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE slowt (id int PRIMARY KEY, title text);
         INSERT INTO slowt SELECT i, 'fast' FROM generate_series(1, 64) i`
      )
      const storageDir = storageForTest()
      const service = await serviceForTest({ database, storageDir })
      const slow = { table: "slowt", where: "title = 'slow' AND factorial(id + 30000) > 5" }
      const quick = { table: "slowt", where: "factorial(id % 7) > 1" }
      const handles = [slow, quick].map(async (params) => {
        const answer = await requestLog(service.url, params, { offset: "-1" })
        assert.strictEqual(answer.status, 200)
        return answer.handle ?? ""
      })
      const [slowHandle, quickHandle] = await Promise.all(handles)
      await othersGet(service, database, 1)
      await database.query("UPDATE slowt SET title = 'slow'")
      const { took, health } = await othersGet(service, database, 2)
      console.log(`others ${Math.round(took)} ms, health ${Math.round(health)} ms`)
      assert.isBelow(took, patient(othersMillis))
      await service.untilLogged(/Dropped a shape: .*BATON_MAX_DECISION_TIME/)
      // Its first rows would be slow as well.
      await database.query("UPDATE slowt SET title = 'fast'")
      const after = await requestLog(service.url, slow, { offset: "0_0", handle: slowHandle })
      assert.strictEqual(after.status, 409)
      const kept = await requestLog(service.url, quick, { offset: "0_0", handle: quickHandle })
      assert.strictEqual(kept.status, 200, "a condition that is not slow itself stays")
      await service.stop("SIGKILL")
      const next = await serviceForTest({ database, storageDir })
      const again = await othersGet(next, database, 3)
      assert.isBelow(again.took, patient(othersMillis))
    }
  )

  it(
    "is asked about in portions, however many rows and shapes there are",
    { timeout: patient(180_000) },
    async () => {
      const shapes = Number(process.env["SHAPES"] ?? 60)
      const rows = Number(process.env["ROWS"] ?? 20_000)
      const database = await databaseForTest()
      await database.query(
        "CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE bulk (id int PRIMARY KEY, t text)"
      )
      const service = await serviceForTest({ database })
      for (let i = 0; i < shapes; i++) {
        const where = `to_tsvector('simple', t) @@ 'w${i}'`
        const { status } = await requestLog(service.url, { table: "bulk", where }, { offset: "-1" })
        assert.strictEqual(status, 200)
      }
      await othersGet(service, database, 1)
      await database.query(
        `INSERT INTO bulk SELECT i, 'w' || i % ${shapes} || ' and some more words' FROM generate_series(1, ${rows}) i`
      )
      const { took, health } = await othersGet(service, database, 2)
      const memory = await rss(service)
      console.log(
        `others ${Math.round(took)} ms, health ${Math.round(health)} ms, ${Math.round(memory)} MB, dropped ${[...service.logs().matchAll(/Dropped .*?:/g)].join(" ")}`
      )
      assert.isBelow(took, patient(othersMillis))
      assert.isBelow(memory, 1000)
      // Shapes that were dropped are right again at once.
      for (const i of [0, shapes - 1]) {
        const where = `to_tsvector('simple', t) @@ 'w${i}'`
        const expected = await database.query("SELECT FROM bulk WHERE t LIKE $1", [`w${i} %`])
        await eventually(`all rows of ${where}`, async () => {
          const reader = new ShapeLogReader({ url: service.url, params: { table: "bulk", where } })
          await reader.readToEnd()
          return reader.rows.size === expected.length
        })
      }
    }
  )
})
