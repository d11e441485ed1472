import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it, onTestFinished } from "vitest"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { streamOracle } from "./support/streamOracle.ts"
import { patient } from "../../testing/Load.ts"

/** Ways to lose the place in the stream while nobody is there. */
const losses = ({ publicationName, slotName }: TestDatabase): ReadonlyArray<string> => [
  `SELECT pg_drop_replication_slot('${slotName}')`,
  `SELECT pg_replication_slot_advance('${slotName}', pg_current_wal_lsn())`,
  `DROP PUBLICATION ${publicationName}`
]

describe("random shapes over random transactions and restarts, in some of which the place in the stream is lost", () => {
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
      const seed = Number(process.env["ORACLE_SEED"] ?? freshSeed())
      const random = makeRandom(seed)
      const said: Array<string> = []
      const report = await streamOracle({
        databaseUrl: database.url,
        streamId: database.streamId,
        storageDir,
        shapes: 60,
        transactions: 60,
        restarts: ["SIGKILL", "SIGTERM", "SIGKILL"],
        whileStopped: async (stage) => {
          if (stage > 0) await database.query(random.pick(losses(database)))
        },
        random,
        say: (text) => said.push(text)
      })
      const replay = `replay with ORACLE_SEED=${seed}\n${said.join("\n")}`
      assert.deepStrictEqual(report.problems, [], replay)
      assert.strictEqual(report.comparisons, 45 + 50 + 55 + 60, replay)
      assert.isAbove(report.operations, 100, replay)
      for (const count of Object.values(report.classes)) assert.isAtLeast(count, 1, replay)
    }
  )
})
