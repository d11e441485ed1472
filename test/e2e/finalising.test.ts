import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { requestLog } from "../../testing/readers/ShapeLog.ts"
import { type OldRelease, unpackRelease } from "../../testing/releases/Releases.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { readLevelRecord, writeLevelRecord } from "../../src/storage/levels/LevelFile.ts"
import { startService } from "../../testing/services/Service.ts"

/** What `/v1/health?verbose` says of storage. */
interface Told {
  readonly release: string
  readonly storage: {
    readonly level: number
    readonly newestLevel: number
    readonly rollbackTo: string
    readonly notFinalised?: string
    readonly until?: string
  }
}

const told = async (url: string): Promise<Told> =>
  (await (await fetch(`${url}/v1/health?verbose`)).json()) as Told

describe("the first release and this one", () => {
  let old: OldRelease
  beforeAll(async () => {
    old = await unpackRelease("0.1.0")
  })
  afterAll(() => old[Symbol.dispose]())

  it(
    "take over from each other until storage is finalised; then the first one refuses, and handles stay",
    { timeout: patient(240_000) },
    async () => {
      const database = await createDatabase()
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-finalising-"))
      onTestFinished(async () => {
        await database.drop()
        rmSync(storageDir, { recursive: true, force: true })
      })
      await database.query("CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (1, 1)")
      const common = { database, storageDir, env: { BATON_SHUTDOWN_GRACE: "1s" } }
      const params = { table: "items" }
      const first = await startService({ ...common, entry: old.entry })
      const created = await requestLog(first.url, params, { offset: "-1" })
      const handle = created.handle ?? ""
      let offset = created.offset ?? ""
      let rows = 1
      /** A row more, which a client that was at the end gets from this instance under the handle that it has. */
      const goOn = async (url: string) => {
        rows++
        await database.query(`INSERT INTO items VALUES (${rows}, ${rows})`)
        await eventually(`row ${rows}`, async () => {
          const answer = await requestLog(url, params, { offset, handle }, { live: true })
          assert.strictEqual(answer.status, 200)
          assert.strictEqual(answer.handle, handle)
          offset = answer.offset ?? offset
          return answer.messages.some(({ value }) => value?.["id"] === String(rows))
        })
      }

      await using second = await startService({ ...common, until: "waiting" })
      await first.stop()
      await second.until("active")
      await goOn(second.url)
      await second.untilLogged(
        /Storage keeps level 2, which releases from 0\.1\.0 on can take over until .*brought back/
      )
      const before = await told(second.url)
      assert.deepStrictEqual([before.storage.level, before.storage.rollbackTo], [2, "0.1.0"])
      assert.match(before.storage.notFinalised ?? "", /brought back/)
      assert.approximately(Date.parse(before.storage.until ?? ""), Date.now() + 86_400_000, 600_000)

      // Back, and there again: an operator's word does not count while the first release is there.
      const third = await startService({ ...common, entry: old.entry, until: "waiting" })
      const asked = await startService({ ...common, arguments: ["finalise"], until: false })
      await asked.untilLogged(/It waits: an instance is there that does not say which release it is/)
      asked.signal("SIGKILL")
      await asked.ended
      assert.strictEqual((await told(second.url)).storage.level, 2)
      await third.stop("SIGKILL")

      // Its connection is gone; nothing else has to be waited for.
      await second.untilLogged(/Storage is finalised: it has level 3 .*Releases before 0\.2\.0 refuse/)
      const after = await told(second.url)
      assert.deepStrictEqual(after.storage, { level: 3, newestLevel: 3, rollbackTo: "0.2.0" })
      const again = await startService({ ...common, arguments: ["finalise"], until: false })
      assert.strictEqual((await again.ended).code, 0, again.logs())
      assert.match(again.logs(), /finalised: it has level 3/)

      const refused = await startService({ ...common, entry: old.entry, until: false })
      assert.strictEqual((await refused.ended).code, 1, refused.logs())
      assert.match(refused.logs(), /"use Baton >= 0\.2\.0"/)
      await goOn(second.url)

      await using fourth = await startService({ ...common, until: "waiting" })
      await second.stop()
      await fourth.until("active")
      await goOn(fourth.url)
      const all = await requestLog(fourth.url, params, { offset: "-1", handle })
      assert.strictEqual(all.handle, handle)

      // A release that is yet to come has finalised it: this one goes no further, and says which one is needed.
      const paths = storagePaths(storageDir, database.streamId)
      const known = await readLevelRecord(paths)
      if (known === undefined) throw new Error("storage says nothing of its level")
      await writeLevelRecord(paths, { ...known, level: 9, raisedBy: "9.9.9" })
      const late = await startService({ ...common, until: false })
      for (const service of [fourth, late]) {
        assert.strictEqual((await service.ended).code, 1, service.logs())
        assert.match(service.logs(), /finalised by Baton 9\.9\.9.*Start Baton 9\.9\.9 or a newer one/)
      }
    }
  )
})

describe("storage that this release has begun", () => {
  it(
    "is finalised at once, unless an older release must be able to take over: until then there are no shapes with sub-selects",
    { timeout: patient(120_000) },
    async () => {
      const database = await createDatabase()
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-begun-"))
      onTestFinished(async () => {
        await database.drop()
        rmSync(storageDir, { recursive: true, force: true })
      })
      await database.query(
        "CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE wanted (v int); " +
          "INSERT INTO items VALUES (1, 1), (2, 2); INSERT INTO wanted VALUES (2)"
      )
      const params = { table: "items", where: "v IN (SELECT v FROM wanted)" }
      const first = await startService({ database, storageDir, env: { BATON_ROLLBACK_FLOOR: "0.1.0" } })
      await first.untilLogged(/Storage keeps level 2.*BATON_ROLLBACK_FLOOR/)
      const refused = await requestLog(first.url, params, { offset: "-1" })
      assert.strictEqual(refused.status, 503)
      assert.match(refused.body, /once storage is finalised.*baton finalise/)
      const plain = await requestLog(first.url, { table: "items" }, { offset: "-1" })
      assert.strictEqual(plain.status, 200)
      await first.stop()

      await using second = await startService({ database, storageDir })
      await second.untilLogged(/Storage is finalised: it has level 3/)
      const made = await requestLog(second.url, params, { offset: "-1" })
      assert.strictEqual(made.status, 200)
      const again = await requestLog(second.url, { table: "items" }, { offset: "-1" })
      assert.strictEqual(again.handle, plain.handle)
    }
  )
})
