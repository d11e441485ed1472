import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it, onTestFinished } from "vitest"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { streamOracle } from "./support/streamOracle.ts"
import { patient } from "../../testing/Load.ts"

describe("random shapes over random transactions and restarts", () => {
  it(
    "hold what Postgres selects with the same clause, and nobody starts over",
    { timeout: patient(150_000) },
    async () => {
      const database = await createDatabase()
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-oracle-"))
      onTestFinished(async () => {
        await database.drop()
        rmSync(storageDir, { recursive: true, force: true })
      })
      const seed = Number(process.env["ORACLE_SEED"] ?? freshSeed())
      const said: Array<string> = []
      const report = await streamOracle({
        databaseUrl: database.url,
        streamId: database.streamId,
        storageDir,
        shapes: 60,
        transactions: 40,
        restarts: ["SIGKILL", "SIGTERM"],
        random: makeRandom(seed),
        say: (text) => said.push(text)
      })
      const replay = `replay with ORACLE_SEED=${seed}\n${said.join("\n")}`
      assert.deepStrictEqual(report.problems, [], replay)
      assert.strictEqual(report.comparisons, 48 + 54 + 60, replay)
      assert.isAbove(report.operations, 100, replay)
      for (const count of Object.values(report.classes)) assert.isAtLeast(count, 1, replay)
    }
  )
})
