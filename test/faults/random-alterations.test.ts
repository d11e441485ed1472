import { assert, describe, it } from "vitest"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { databaseForTest, serviceForTest } from "./support/faults.ts"
import { followAlterations } from "./support/followAlterations.ts"
import { patient } from "../../testing/Load.ts"

const sequences = 3
const steps = 8

describe("tables that are altered at random", () => {
  it(
    "are shown by official clients as they are, within seconds and without fetching again and again",
    { timeout: patient(180_000) },
    async () => {
      const database = await databaseForTest()
      const service = await serviceForTest({ database })
      const first = Number(process.env["ALTERATIONS_SEED"] ?? freshSeed())
      for (let i = 0; i < sequences; i++) {
        await database.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        const report = await followAlterations({
          databaseUrl: database.url,
          serviceUrls: [service.url],
          random: makeRandom(first + i),
          steps
        })
        const replay = `replay with ALTERATIONS_SEED=${first + i}\n${service.logs().slice(-4000)}`
        assert.deepStrictEqual(report.problems, [], replay)
        assert.strictEqual(report.steps, steps, replay)
        assert.isAtLeast(report.comparisons, 6, replay)
      }
    }
  )
})
