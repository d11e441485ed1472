import { assert, describe, it, onTestFinished } from "vitest"
import { spawnSync } from "node:child_process"
import { readdirSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { eventually } from "../../testing/Eventually.ts"
import { mountLate } from "../../testing/services/LateMounts.ts"
import { ask, databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

const mount = (...options: ReadonlyArray<string>): boolean => spawnSync("mount", options).status === 0

const cannotMount = "no file system can be mounted here"

describe("storage that cannot be written", () => {
  it(
    "ends a start before it says waiting, with the reason and the way out",
    { timeout: patient(60_000) },
    async () => {
      const database = await databaseForTest()
      const file = path.join(storageForTest(), "file")
      writeFileSync(file, "")
      const service = await serviceForTest({ database, storageDir: file, until: false })
      assert.strictEqual((await service.ended).code, 1)
      assert.match(
        service.logs(),
        /ELECTRIC_STORAGE_DIR=.*\/file cannot be written by uid \d+: EEXIST; it is a file; name a directory. Then start again/
      )
      assert.notMatch(service.logs(), /-> waiting/)
    }
  )

  it(
    "when the lock comes: is called by its name everywhere, and heals",
    { timeout: patient(90_000) },
    async (test) => {
      const storageDir = storageForTest()
      const seen = storageForTest()
      if (!mount("--bind", storageDir, seen)) return test.skip(cannotMount)
      onTestFinished(() => void spawnSync("umount", ["-l", seen]))
      const database = await databaseForTest()
      await database.query(
        "CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE others (id int PRIMARY KEY)"
      )
      const active = await serviceForTest({ database, storageDir })
      const { handle } = await ask(active.url, { table: "items" })
      const waiting = await serviceForTest({ database, storageDir: seen, until: "waiting" })
      // Not while a file is open to be written, such as what the waiting one says of itself.
      await eventually("nothing to be written", () => mount("-o", "remount,bind,ro", seen))
      await active.stop()
      await waiting.untilLogged(
        /Storage cannot be taken over: ELECTRIC_STORAGE_DIR=.* cannot be written by .*EROFS/
      )
      await eventually("health to say so", async () => {
        const { body, status } = (await waiting.health()) ?? { body: "", status: 0 }
        return status === 202 && body === '{"status":"waiting","reason":"storage cannot be written"}'
      })
      assert.strictEqual((await ask(waiting.url, { table: "items" })).handle, handle)
      await eventually("new shapes to be refused for that", async () => {
        const { body, status } = await ask(waiting.url, { table: "others" })
        return status === 503 && body.includes("Storage cannot be written")
      })
      assert.notMatch(waiting.logs(), /Database connection in replication mode failed/)
      assert.isTrue(mount("-o", "remount,bind,rw", seen))
      await waiting.until("active", 30_000)
      assert.strictEqual((await ask(waiting.url, { table: "others" })).status, 200)
      assert.strictEqual((await ask(waiting.url, { table: "items" })).handle, handle)
    }
  )

  it(
    "removed while it is written to: nothing goes on as if it were there",
    { timeout: patient(90_000) },
    async () => {
      const database = await databaseForTest()
      await database.query("CREATE TABLE items (id int PRIMARY KEY)")
      const storageDir = storageForTest()
      const active = await serviceForTest({ database, storageDir })
      const waiting = await serviceForTest({ database, storageDir, until: "waiting" })
      const { handle } = await ask(active.url, { table: "items" })
      await eventually("the waiting one to know it", async () => {
        const { status } = await ask(waiting.url, { table: "items", handle: handle ?? "", offset: "0_0" })
        return status === 200
      })
      // It goes on being written while it is removed.
      rmSync(storageDir, { recursive: true, maxRetries: 20, retryDelay: 10 })
      await database.query("INSERT INTO items VALUES (1)")
      await active.untilLogged(
        /The storage directory .* was removed or replaced while this instance was writing/,
        10_000
      )
      const next = await eventually("one of them to be active", async () => {
        const answers = await Promise.all([active.health(), waiting.health()])
        return [active, waiting].find((_, i) => answers[i]?.status === 200)
      })
      // The active instance makes the shape anew, the other one follows.
      for (const service of [next, next === active ? waiting : active]) {
        await eventually("the old handle to be refused, and the row to be there", async () => {
          const old = await ask(service.url, { table: "items", handle: handle ?? "", offset: "0_0" })
          const anew = await ask(service.url, { table: "items" })
          return old.status === 409 && anew.status === 200 && anew.rows.length === 1 && anew.handle !== handle
        })
      }
      await eventually(
        "storage to be there again",
        () => readdirSync(storageDir, { recursive: true }).length > 5
      )
    }
  )
})

describe("storage on a file system that shows late what another machine writes", () => {
  it(
    "lags by much less than that, and hands over without a refetch",
    { timeout: patient(120_000) },
    async (test) => {
      const mounts = mountLate(storageForTest(), 3, { attributeSeconds: 30 })
      if (mounts === undefined) return test.skip(`${cannotMount}: bindfs and FUSE are needed`)
      onTestFinished(mounts.unmount)
      const [first, second, third] = mounts.directories
      const database = await databaseForTest()
      await database.query("CREATE TABLE items (id int PRIMARY KEY)")
      const start = (storageDir: string | undefined, until: "active" | "waiting") =>
        serviceForTest({ database, storageDir: storageDir ?? "", until })
      const one = await start(first, "active")
      const { handle } = await ask(one.url, { table: "items" })
      const two = await start(second, "waiting")
      const rowsAt = async (url: string): Promise<number> => {
        const { rows, status } = await ask(url, { table: "items", handle: handle ?? "", offset: "0_0" })
        assert.strictEqual(status, 200, "nobody has to fetch again")
        return rows.length
      }
      const lags: Array<number> = []
      const insert = async (url: string, id: number) => {
        await database.query("INSERT INTO items VALUES ($1)", [id])
        const began = performance.now()
        await eventually("the row to be seen", async () => (await rowsAt(url)) === id)
        lags.push(performance.now() - began)
      }
      for (let id = 1; id <= 20; id++) await insert(two.url, id)
      assert.isBelow(lags.toSorted((a, b) => a - b)[10] ?? Infinity, patient(1000))
      const ending = one.stop()
      await two.until("active")
      await ending
      const three = await start(third, "waiting")
      for (let id = 21; id <= 30; id++) await insert(three.url, id)
      await two.stop("SIGKILL")
      await three.until("active")
      await insert(three.url, 31)
      assert.notMatch(three.logs() + two.logs(), /Dropped all/)
    }
  )
})
