import { assert, describe, it, onTestFinished } from "vitest"
import { spawnSync } from "node:child_process"
import { rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { eventually } from "../../testing/Eventually.ts"
import { ask, databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

/** A file system of 16 MB of its own; `undefined` where none can be mounted. */
const smallDisk = (): string | undefined => {
  const directory = storageForTest()
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", directory]).status !== 0) return undefined
  onTestFinished(() => void spawnSync("umount", ["-l", directory]))
  return directory
}

const fill = (file: string): void => {
  for (const bytes of [1 << 20, 4096]) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: "a" })
    } catch {
      // Full, as far as pieces of this size go.
    }
  }
}

describe("a full disk below storage", () => {
  it(
    "is said, loses nothing, and heals when there is space again",
    { timeout: patient(90_000) },
    async (test) => {
      const storageDir = smallDisk()
      if (storageDir === undefined)
        return test.skip("no file system can be mounted here; see test/storage/disk-full")
      const database = await databaseForTest()
      await database.query(
        "CREATE TABLE items (id int PRIMARY KEY, v text); CREATE TABLE others (id int PRIMARY KEY)"
      )
      const service = await serviceForTest({ database, storageDir })
      const { handle } = await ask(service.url, { table: "items" })
      const confirmed = async (): Promise<bigint> => {
        const [slot] = await database.query<{ lsn: string }>(
          "SELECT (confirmed_flush_lsn - '0/0')::text AS lsn FROM pg_replication_slots WHERE slot_name = $1",
          [database.slotName]
        )
        return BigInt(slot?.lsn ?? 0)
      }
      const ballast = path.join(storageDir, "ballast")
      fill(ballast)
      const before = await confirmed()
      await database.query("INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(1, 200) i")
      await service.untilLogged(/cannot write journal segment \d+: .*ENOSPC.*retrying/)
      // Nothing of it is told to Postgres as safe, and nothing more than before is refused to readers.
      assert.isTrue((await confirmed()) <= before + 65536n)
      assert.strictEqual((await ask(service.url, { table: "items" })).handle, handle)
      const refused = await Promise.race([
        ask(service.url, { table: "others" }).then(({ status }) => status),
        eventually("a while", () => false, 3000).catch(() => "waits")
      ])
      assert.notStrictEqual(refused, 500)
      rmSync(ballast)
      await eventually("everything arrived, once", async () => {
        const log = await ask(service.url, { table: "items", handle: handle ?? "", offset: "0_0" })
        return log.rows.length === 200
      })
      await eventually("it is acknowledged", async () => (await confirmed()) > before + 65536n)
      assert.strictEqual((await ask(service.url, { table: "others" })).status, 200)
      // After a full disk and a crash there is nothing to start over.
      fill(ballast)
      await database.query("INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(201, 400) i")
      await service.stop("SIGKILL")
      const next = await serviceForTest({ database, storageDir, until: false })
      // What the one before had open and unlinked is free again: that may be enough to become active, and wait with the next write.
      await eventually("it starts as far as it can", async () => {
        const health = await next.health()
        if (health?.status !== 202 && health?.status !== 200)
          throw new Error(`${JSON.stringify(health)}\n${next.logs()}`)
        return true
      })
      assert.strictEqual((await ask(next.url, { table: "items" })).handle, handle)
      rmSync(ballast)
      await next.until("active", 30_000)
      await eventually("everything arrived again", async () => {
        const log = await ask(next.url, { table: "items", handle: handle ?? "", offset: "0_0" })
        return log.rows.length === 400
      })
    }
  )
})
