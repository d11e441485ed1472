import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it, onTestFinished } from "vitest"
import { patient } from "../../testing/Load.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { memberOracle } from "./support/memberOracle.ts"

describe("shapes whose conditions have sub-selects", () => {
  it(
    "hold after every transaction what Postgres selects, over restarts and a handover",
    { timeout: patient(150_000) },
    async () => {
      const database = await createDatabase()
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-members-"))
      onTestFinished(async () => {
        await database.drop()
        rmSync(storageDir, { recursive: true, force: true })
      })
      const seed = Number(process.env["ORACLE_SEED"] ?? freshSeed())
      const random = makeRandom(seed)
      // Half of the time everything is too much for memory.
      const env = random.chance(0.5) ? { BATON_MAX_MOVE_MEMORY: "1" } : {}
      const said: Array<string> = []
      const report = await memberOracle({
        databaseUrl: database.url,
        streamId: database.streamId,
        storageDir,
        shapes: 45,
        transactions: 180,
        interruptions: ["SIGKILL", "handover"],
        env,
        random,
        say: (text) => said.push(text)
      })
      const replay = `replay with ORACLE_SEED=${seed}\n${said.join("\n")}`
      assert.deepStrictEqual(report.problems, [], replay)
      assert.isAbove(report.comparisons, 200, replay)
      assert.isAbove(report.operations, 200, replay)
    }
  )
})
