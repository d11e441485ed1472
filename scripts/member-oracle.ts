/**
 * Random shapes whose conditions have sub-selects, over random changes of all their tables, with instances that are killed,
 * stopped and relieved in between: after transactions, and at every rest, the rows of each shape are compared with what
 * Postgres selects with the same condition.
 *
 *   npx node scripts/member-oracle.ts [--shapes 90] [--transactions 900] [--interruptions 6] [--seed N] [--where "..."] [--move-memory 1]
 *     [--only-loops]
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { type Interruption, memberOracle } from "../test/oracle/support/memberOracle.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { connectTo } from "../testing/postgres/RowText.ts"

const { values: options } = parseArgs({
  options: {
    shapes: { type: "string", default: "90" },
    transactions: { type: "string", default: "900" },
    interruptions: { type: "string", default: "6" },
    where: { type: "string", multiple: true },
    "move-memory": { type: "string" },
    "only-loops": { type: "boolean", default: false },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const kinds: ReadonlyArray<Interruption> = ["SIGKILL", "handover", "SIGTERM"]
const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
const cluster = await startCluster()
const directory = mkdtempSync(path.join(tmpdir(), "baton-members-"))
say(`Seed ${seed}; Postgres on port ${cluster.port}, log in ${cluster.logFile}; storage in ${directory}`)

let failed = true
try {
  const admin = await connectTo(cluster.url("postgres"))
  await admin.query("CREATE DATABASE oracle")
  await admin.end()
  const began = performance.now()
  const { problems, ...figures } = await memberOracle({
    databaseUrl: cluster.url("oracle"),
    streamId: "oracle",
    storageDir: path.join(directory, "storage"),
    shapes: Number(options.shapes),
    transactions: Number(options.transactions),
    interruptions: Array.from({ length: Number(options.interruptions) }, (_, i) => kinds[i % 3] ?? "SIGKILL"),
    ...(options.where === undefined
      ? {}
      : {
          given: options.where.map((where) => ({
            table: "issues" as const,
            where,
            replica: "default" as const
          }))
        }),
    ...(options["move-memory"] === undefined
      ? {}
      : { env: { BATON_MAX_MOVE_MEMORY: options["move-memory"] } }),
    onlyLoops: options["only-loops"],
    random: makeRandom(seed),
    say
  })
  say(`${JSON.stringify(figures)}, ${Math.round((performance.now() - began) / 1000)} s`)
  for (const problem of problems) say(`  ${problem}`)
  failed = problems.length > 0
} finally {
  await cluster.destroy()
  if (failed) say(`Storage stays in ${directory}`)
  else rmSync(directory, { recursive: true, force: true })
}
say(failed ? `FAILED with seed ${seed}` : "PASSED: every shape holds what Postgres selects")
process.exit(failed ? 1 : 0)
