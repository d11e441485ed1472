import { assert, describe, it } from "vitest"
import { crashRuns } from "../../testing/runs/CrashRuns.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { databaseForTest, storageForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

const runs = async (count: number, options: { readonly damages: boolean; readonly compacts: boolean }) => {
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
    ...options,
    compareEvery: options.damages ? 1 : 5,
    say: (text) => said.push(text)
  })
  assert.deepStrictEqual(report.problems, [], `with seed ${seed}\n${said.join("\n")}`)
  assert.strictEqual(report.kills, count)
  assert.isAbove(report.operations, 50)
  if (options.compacts) assert.isAbove(report.filesCompacted, 0)
}

describe("kill -9 under writes, on the same storage and slot", () => {
  it("no gap, no duplicate, nothing lost, nobody starts over", { timeout: patient(240_000) }, () =>
    runs(3, { damages: false, compacts: false })
  )
  it("the same while logs are compacted: everybody ends with the rows", { timeout: patient(240_000) }, () =>
    runs(3, { damages: false, compacts: true })
  )
  it(
    "a damaged file costs at most the shapes in it, and the log names them",
    { timeout: patient(240_000) },
    () => runs(2, { damages: true, compacts: false })
  )
})
