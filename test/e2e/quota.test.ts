import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it, onTestFinished } from "vitest"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { syncShape } from "../../testing/readers/Client.ts"
import { type LogResponse, type Position, requestLog } from "../../testing/readers/ShapeLog.ts"
import { startService } from "../../testing/services/Service.ts"
import { temporaryDirectory } from "../storage/support.ts"

const db = databaseForFile()

const limitBytes = 1_000_000
const segmentBytes = 40_000

const env = {
  BATON_MAX_STORAGE: String(limitBytes),
  BATON_JOURNAL_SEGMENT_BYTES: String(segmentBytes),
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000",
  ELECTRIC_CLEANUP_INTERVAL_MS: "200ms",
  ELECTRIC_LONG_POLL_TIMEOUT: "4000"
}

/** Of all files, or those of shapes. One that goes away meanwhile takes nothing. */
const bytesBelow = (storageDir: string, names = /./): number => {
  let bytes = 0
  for (const name of readdirSync(storageDir, { recursive: true, encoding: "utf8" })) {
    if (!names.test(name)) continue
    const found = statSync(join(storageDir, name), { throwIfNoEntry: false })
    if (found?.isFile() === true) bytes += found.size
  }
  return bytes
}

/** Some 60 kB of first rows each. */
const paramsOf = (i: number) => ({ table: "many", where: `id > ${100 * i} AND id <= ${100 * i + 100}` })

const create = (table: string, rows: number) =>
  db().query(
    `CREATE TABLE ${table} (id int PRIMARY KEY, v int NOT NULL, t text NOT NULL);
     INSERT INTO ${table} SELECT g, 0, repeat('x', 500) FROM generate_series(1, ${rows}) g`
  )

describe("a service with BATON_MAX_STORAGE", () => {
  it(
    "drops the shapes that nobody reads, with one 409 each, and those that are read live on, across a kill",
    { timeout: patient(180_000) },
    async () => {
      await create("many", 2000)
      const storageDir = temporaryDirectory()
      let service = await startService({ database: db(), env, storageDir })
      const { port, url } = service
      onTestFinished(() => service.dispose())
      const followed = { table: "many", where: "id <= 100" }
      const client = syncShape({ url, params: followed })
      onTestFinished(() => client.stop())
      const sql = "SELECT * FROM many WHERE id <= 100"
      await client.untilEqual(db(), sql)

      const made: Array<LogResponse> = []
      /** The answer of somebody who comes again for as long as he is told that there is no room. */
      const untilRoom = async (params: Readonly<Record<string, string>>, position: Position) => {
        let answer: LogResponse | undefined
        await eventually(
          "room for a shape",
          async () => {
            const now = await requestLog(url, params, position)
            if (now.status === 503) assert.match(now.body, /no room for the shape.*BATON_MAX_STORAGE/)
            // A new one may have to make room again before it is answered, for those that are being read.
            else if (now.status !== 409 || position.offset !== "-1") answer = now
            return answer !== undefined
          },
          60_000
        )
        return answer ?? assert.fail("no answer")
      }
      const make = async (from: number, to: number) => {
        for (let i = from; i < to; i++) {
          const answer = await untilRoom(paramsOf(i), { offset: "-1" })
          assert.strictEqual(answer.status, 200, answer.body)
          made.push(answer)
          await db().query(`UPDATE many SET v = v + 1, t = repeat('y', 500) WHERE id <= 60`)
        }
      }
      const untilWithin = (what: string) =>
        eventually(
          `storage within its limit ${what}`,
          () => {
            assert.isAtMost(bytesBelow(storageDir, /shapes\//), limitBytes)
            return true
          },
          30_000
        )
      await make(1, 10)
      await service.stop("SIGKILL")
      service = await startService({ database: db(), env, storageDir, port })
      await client.untilEqual(db(), sql)
      await make(10, 19)
      await service.untilLogged(/BATON-STORAGE-QUOTA|BATON_MAX_STORAGE/)
      await service.stop("SIGKILL")
      service = await startService({ database: db(), env, storageDir, port })
      await client.untilEqual(db(), sql)
      await untilWithin("after all shapes were made")
      for (let i = 0; i < 40; i++) {
        await db().query(`UPDATE many SET v = v + 1, t = repeat('z', 500) WHERE id <= 60`)
        await untilWithin("while there are changes")
      }
      await client.untilEqual(db(), sql)
      assert.strictEqual(client.refetches(), 0, service.logs())
      assert.deepStrictEqual(client.errors, [])

      // Those that were dropped: once 409, and then there is another one, for which the one goes that was used least recently. The
      // last one first, since each of the others would be that one when its turn comes.
      let dropped = 0
      for (const [i, { handle, offset }] of [...made.entries()].toReversed()) {
        const params = paramsOf(i + 1)
        const again = await untilRoom(params, { offset: offset ?? "", handle: handle ?? "" })
        if (again.status === 200) continue
        assert.strictEqual(again.status, 409, again.body)
        dropped++
        const next = await untilRoom(params, { offset: "-1" })
        assert.strictEqual(next.status, 200, next.body)
        assert.notStrictEqual(next.handle, handle)
      }
      assert.isAbove(dropped, 0)
      assert.isBelow(dropped, made.length)
      await untilWithin("after they were made again")
      await client.untilEqual(db(), sql)
      assert.strictEqual(client.refetches(), 0, service.logs())
    }
  )

  it(
    "compacts the log of a shape that is read, rather than to drop it or any other",
    { timeout: patient(120_000) },
    async () => {
      await create("busy", 200)
      // By its own thresholds it would leave the log as it is.
      const lazy = {
        ...env,
        BATON_MAX_STORAGE: "2 MB",
        BATON_COMPACTION_GARBAGE: "1000000",
        BATON_LOG_RETENTION: "1s",
        ELECTRIC_LONG_POLL_TIMEOUT: "1000"
      }
      await using service = await startService({ database: db(), env: lazy })
      const { storageDir, url } = service
      const client = syncShape({ url, params: { table: "busy" } })
      onTestFinished(() => client.stop())
      const other = await requestLog(url, { table: "busy", where: "id > 150" }, { offset: "-1" })
      let written = 0
      while (written < 5_000_000) {
        await db().query(`UPDATE busy SET v = v + 1, t = repeat('${written % 10}', 500) WHERE id <= 100`)
        written += 100 * 600
        // No faster than they can be compacted.
        await eventually("room", () => bytesBelow(storageDir) < 1_800_000, 30_000)
      }
      await client.untilEqual(db(), "SELECT * FROM busy")
      await eventually("what is left at the end", () => bytesBelow(storageDir) < 1_500_000, 30_000)
      const again = await requestLog(
        url,
        { table: "busy", where: "id > 150" },
        { offset: other.offset ?? "", handle: other.handle ?? "" }
      )
      assert.strictEqual(again.status, 200, again.body)
      assert.strictEqual(client.refetches(), 0)
      assert.notMatch(service.logs(), /Dropped/)
    }
  )

  it(
    "refuses a shape that alone takes more, with the name of the variable, and makes it no second time",
    { timeout: patient(120_000) },
    async () => {
      await create("large", 4000)
      await using service = await startService({ database: db(), env })
      const { url } = service
      const small = { table: "large", where: "id <= 50" }
      const first = await requestLog(url, small, { offset: "-1" })
      let refused: LogResponse | undefined
      await eventually(
        "a refusal",
        async () => {
          const answer = await requestLog(url, { table: "large" }, { offset: "-1" })
          if (answer.status === 503) refused = answer
          return refused !== undefined
        },
        30_000
      )
      assert.match(
        refused?.body ?? "",
        /alone takes more than all shapes may \(BATON_MAX_STORAGE is 1\.0 MiB\)/
      )
      assert.isNotNull(refused?.headers.get("retry-after"))
      for (let i = 0; i < 5; i++)
        assert.strictEqual((await requestLog(url, { table: "large" }, { offset: "-1" })).status, 503)
      assert.lengthOf(service.logs().match(/it alone takes more than BATON_MAX_STORAGE/g) ?? [], 1)
      const again = await requestLog(url, small, { offset: first.offset ?? "", handle: first.handle ?? "" })
      assert.strictEqual(again.status, 200, again.body)
    }
  )
})
