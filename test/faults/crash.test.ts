import { assert, describe, it, onTestFinished } from "vitest"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { crashRuns } from "../../testing/runs/CrashRuns.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { patient } from "../../testing/Load.ts"

const runs = async (count: number, damages: boolean) => {
  const database = await createDatabase()
  const storageDir = mkdtempSync(path.join(tmpdir(), "baton-crash-"))
  onTestFinished(async () => {
    await database.drop()
    rmSync(storageDir, { recursive: true, force: true })
  })
  const seed = freshSeed()
  const said: Array<string> = []
  const report = await crashRuns({
    databaseUrl: database.url,
    streamId: database.streamId,
    storageDir,
    runs: count,
    random: makeRandom(seed),
    damages,
    compareEvery: damages ? 1 : 5,
    say: (text) => said.push(text)
  })
  assert.deepStrictEqual(report.problems, [], `with seed ${seed}\n${said.join("\n")}`)
  assert.strictEqual(report.kills, count)
  assert.isAbove(report.operations, 50)
}

describe("kill -9 under writes, on the same storage and slot", () => {
  it("no gap, no duplicate, nothing lost, nobody starts over", { timeout: patient(240_000) }, () =>
    runs(10, false)
  )
  it(
    "a damaged file costs at most the shapes in it, and the log names them",
    { timeout: patient(240_000) },
    () => runs(5, true)
  )
})
