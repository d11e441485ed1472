import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it, onTestFinished } from "vitest"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { streamOracle } from "./support/streamOracle.ts"
import { patient } from "../../testing/Load.ts"

describe("random shapes over random transactions, whose place in the stream is lost again and again", () => {
  it(
    "hold what Postgres selects with the same clause, and nobody starts over",
    { timeout: patient(200_000) },
    async () => {
      const database = await createDatabase()
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-oracle-"))
      onTestFinished(async () => {
        await database.drop()
        rmSync(storageDir, { recursive: true, force: true })
      })
      const { publicationName, slotName } = database
      const losses = [
        `SELECT pg_drop_replication_slot('${slotName}')`,
        `SELECT pg_replication_slot_advance('${slotName}', pg_current_wal_lsn())`,
        `DROP PUBLICATION ${publicationName}`
      ]
      const seed = Number(process.env["ORACLE_SEED"] ?? freshSeed())
      const said: Array<string> = []
      const report = await streamOracle({
        databaseUrl: database.url,
        streamId: database.streamId,
        storageDir,
        shapes: 60,
        transactions: 60,
        restarts: ["SIGKILL", "SIGTERM", "SIGKILL"],
        whileStopped: (stage) => database.query(losses[stage] ?? ""),
        random: makeRandom(seed),
        say: (text) => said.push(text)
      })
      const replay = `replay with ORACLE_SEED=${seed}\n${said.join("\n")}`
      assert.deepStrictEqual(report.problems, [], replay)
      assert.isAbove(report.operations, 100, replay)
    }
  )
})
