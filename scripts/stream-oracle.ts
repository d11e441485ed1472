/**
 * Random shapes over random transactions, with restarts of the service in between (SIGTERM and SIGKILL in turn): at every
 * rest the rows of each shape are compared with what Postgres selects with the same clause.
 *
 *   npx node scripts/stream-oracle.ts [--shapes 200] [--transactions 400] [--restarts 6] [--seed N]
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { streamOracle } from "../test/oracle/support/streamOracle.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { connectTo } from "../testing/postgres/RowText.ts"

const { values: options } = parseArgs({
  options: {
    shapes: { type: "string", default: "200" },
    transactions: { type: "string", default: "400" },
    restarts: { type: "string", default: "6" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
const cluster = await startCluster()
const directory = mkdtempSync(path.join(tmpdir(), "baton-oracle-"))
say(`Seed ${seed}; Postgres on port ${cluster.port}, log in ${cluster.logFile}; storage in ${directory}`)

let failed = true
try {
  const admin = await connectTo(cluster.url("postgres"))
  await admin.query("CREATE DATABASE oracle")
  await admin.end()
  const began = performance.now()
  const { problems, ...figures } = await streamOracle({
    databaseUrl: cluster.url("oracle"),
    streamId: "oracle",
    storageDir: path.join(directory, "storage"),
    shapes: Number(options.shapes),
    transactions: Number(options.transactions),
    restarts: Array.from({ length: Number(options.restarts) }, (_, i) =>
      i % 2 === 0 ? "SIGKILL" : "SIGTERM"
    ),
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
