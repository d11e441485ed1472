import { assert, describe, it } from "vitest"
import { crashRuns } from "../../testing/runs/CrashRuns.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { databaseForTest, storageForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

const runs = async (count: number, damages: boolean) => {
  const database = await databaseForTest()
  const storageDir = storageForTest()
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
