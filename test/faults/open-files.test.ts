import { execFileSync } from "node:child_process"
import { assert, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { requestLog } from "../../testing/readers/ShapeLog.ts"
import { startService } from "../../testing/services/Service.ts"
import { databaseForTest } from "./support/faults.ts"

const canLimit = ((): boolean => {
  try {
    execFileSync("prlimit", ["--version"])
    return process.platform === "linux"
  } catch {
    return false
  }
})()

const limitFiles = (pid: number, soft: number): void =>
  void execFileSync("prlimit", ["--pid", String(pid), `--nofile=${soft}:`])

it.skipIf(!canLimit)(
  "a process that may open no more files goes on, or gives up the lock and comes back: nothing is lost, and handles stay",
  { timeout: patient(120_000) },
  async () => {
    const database = await databaseForTest()
    await database.query("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (0)")
    await using service = await startService({
      database,
      // Segments are begun and moved all the time, which takes files.
      env: { BATON_JOURNAL_SEGMENT_BYTES: "64KiB", ELECTRIC_CLEANUP_INTERVAL_MS: "200" }
    })
    const params = { table: "items" }
    const created = await requestLog(service.url, params, { offset: "-1" })
    const handle = created.handle ?? ""
    const seen = new Set<string>()
    let offset = created.offset ?? ""
    const read = async (): Promise<void> => {
      const answer = await requestLog(service.url, params, { offset, handle }).catch(() => undefined)
      if (answer === undefined || answer.status === 503) return
      assert.strictEqual(answer.status, 200, `${answer.body}\n${service.logs()}`)
      assert.strictEqual(answer.handle, handle)
      offset = answer.offset ?? offset
      for (const { value } of answer.messages) if (value?.["id"] != null) seen.add(value["id"])
    }
    let rows = 0
    const write = async (): Promise<void> => {
      await database.query(`INSERT INTO items SELECT i FROM generate_series(${rows + 1}, ${rows + 300}) i`)
      rows += 300
    }
    for (let round = 0; round < 3; round++) {
      await write()
      limitFiles(service.pid, 3)
      const logged = service.logs().length
      await eventually("trouble with files", async () => {
        await write()
        return /EMFILE/.test(service.logs().slice(logged))
      })
      limitFiles(service.pid, 1024)
      await service.until("active", 60_000)
      await eventually(
        "all rows",
        async () => {
          await read()
          return seen.size === rows
        },
        60_000
      )
    }
  }
)
