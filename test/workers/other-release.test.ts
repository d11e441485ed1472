import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { isOfOneRelease, ownSpeaker } from "../../src/workers/OtherRelease.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { type Position, requestLog } from "../../testing/readers/ShapeLog.ts"
import { type OldRelease, unpackRelease } from "../../testing/releases/Releases.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { isRunning, untilWorkers } from "./support.ts"

const root = path.resolve(import.meta.dirname, "../..")
const shape = { table: "items" }

/** The connection may be one of the worker that is gone: clients ask again. */
const asked = (url: string, position: Position) =>
  requestLog(url, shape, position).catch(() => requestLog(url, shape, position))

const kill = async (pid: number | undefined): Promise<void> => {
  process.kill(pid ?? assert.fail(), "SIGKILL")
  await eventually("the end of the worker", () => !isRunning(pid ?? 0))
}

describe("a worker and its main process", () => {
  it("work together if they are of one release, and say so", () => {
    const { protocol, release } = ownSpeaker
    assert.isTrue(isOfOneRelease(ownSpeaker, { ...ownSpeaker }))
    for (const other of [undefined, { release: "9.9.9", protocol }, { release, protocol: protocol + 1 }])
      assert.isFalse(isOfOneRelease(ownSpeaker, other))
  })
})

describe("the files of a running service are replaced by another release", () => {
  const database = databaseForFile((db) =>
    db.query("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)")
  )
  let old: OldRelease
  beforeAll(async () => {
    old = await unpackRelease("0.1.0")
  })
  afterAll(() => old[Symbol.dispose]())

  const start = (entry: string, workers: string) =>
    startService({ entry, database: database(), env: { BATON_HTTP_WORKERS: workers } })

  /** Whichever process answers, it is the same shape with all of its rows. */
  const answersAsBefore = async ({ url }: TestService, handle: string | null): Promise<void> => {
    for (let i = 0; i < 6; i++) {
      const first = await asked(url, { offset: "-1" })
      assert.deepStrictEqual([first.status, first.handle], [200, handle], first.body)
    }
    const id = Math.floor(Math.random() * 2 ** 31)
    await database().query(`INSERT INTO items VALUES (${id})`)
    await eventually("the row", async () =>
      (await asked(url, { offset: "0_inf", handle: handle ?? "" })).body.includes(`"id":"${id}"`)
    )
  }

  it("does without workers that it would have to start from them", { timeout: patient(60_000) }, async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "baton-replaced-"))
    try {
      for (const name of ["src", "package.json"])
        cpSync(path.join(root, name), path.join(directory, name), { recursive: true })
      symlinkSync(path.join(root, "node_modules"), path.join(directory, "node_modules"))
      await using service = await start(path.join(directory, "src/main.ts"), "2")
      const workers = await untilWorkers(service, 2)
      const { handle } = await requestLog(service.url, shape, { offset: "-1" })

      const manifest = path.join(directory, "package.json")
      const next = readFileSync(manifest, "utf8").replace(/"version": "[^"]*"/, '"version": "9.9.9"')
      writeFileSync(manifest, next)
      await kill(workers.get(1))
      await service.untilLogged(/started from them is of release 9\.9\.9, and this process is of release/)
      await answersAsBefore(service, handle)
      // Nor with a thread for large conditions: it would write them in its own way.
      const thread = `import { parentPort } from "node:worker_threads"; parentPort.postMessage({ release: "9.9.9" })`
      writeFileSync(path.join(directory, "src/where/aside/compileThread.ts"), thread)
      const large = { ...shape, where: `id IN (${Array.from({ length: 1500 }, (_, i) => i).join(",")})` }
      const made = await requestLog(service.url, large, { offset: "-1" })
      assert.strictEqual(made.status, 200, made.body)

      // The one that was there before is the last.
      writeFileSync(
        path.join(directory, "src/workers/worker.ts"),
        `import "${path.dirname(old.entry)}/worker.js"`
      )
      await kill(workers.get(2))
      await answersAsBefore(service, handle)
      assert.lengthOf(service.logs().match(/files of Baton have been replaced/g) ?? [], 1)
      assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it("takes nothing from a main process of the first release", { timeout: patient(60_000) }, async () => {
    await using service = await start(old.entry, "1")
    const workers = await untilWorkers(service, 1)
    const { handle } = await requestLog(service.url, shape, { offset: "-1" })

    writeFileSync(path.join(path.dirname(old.entry), "worker.js"), `import "${root}/src/workers/worker.ts"`)
    await kill(workers.get(1))
    await service.untilLogged(/was started by a process of an early release/)
    await answersAsBefore(service, handle)
    assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
    // It waits for its end, and is not started over and over.
    assert.lengthOf(service.logs().match(/HTTP worker 1 has ended/g) ?? [], 1)
  })
})
