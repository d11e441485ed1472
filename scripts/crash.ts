/**
 * Kills the service with SIGKILL at random moments under writes, again and again on the same storage and slot, while
 * clients keep reading; then the same with files that were damaged between two lives.
 *
 * Every second time logs are compacted all the while.
 *
 *   npx node scripts/crash.ts [--runs 200] [--damaged-runs 40] [--only damage_compacted] [--seed N]
 *
 * `--only` takes one of `crash`, `crash_compacted`, `damage` and `damage_compacted`, which then has all of the runs of its kind.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { crashRuns } from "../testing/runs/CrashRuns.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { connectTo } from "../testing/postgres/RowText.ts"

const { values: options } = parseArgs({
  options: {
    runs: { type: "string", default: "200" },
    "damaged-runs": { type: "string", default: "40" },
    only: { type: "string" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
const cluster = await startCluster()
const directory = mkdtempSync(path.join(tmpdir(), "baton-crash-"))
say(`Seed ${seed}; Postgres on port ${cluster.port}, log in ${cluster.logFile}; storage in ${directory}`)

let failed = false
try {
  const random = makeRandom(seed)
  const admin = await connectTo(cluster.url("postgres"))
  const share = options.only === undefined ? 0.5 : 1
  for (const [name, runs, compacts] of [
    ["crash", Number(options.runs) * share, false],
    ["crash_compacted", Number(options.runs) * share, true],
    ["damage", Number(options["damaged-runs"]) * share, false],
    ["damage_compacted", Number(options["damaged-runs"]) * share, true]
  ] as const) {
    if (runs === 0 || (options.only ?? name) !== name) continue
    await admin.query(`CREATE DATABASE ${name}`)
    const began = performance.now()
    const report = await crashRuns({
      databaseUrl: cluster.url(name),
      streamId: name,
      storageDir: path.join(directory, name),
      runs,
      random: random.fork(),
      damages: name.startsWith("damage"),
      compacts,
      compareEvery: name.startsWith("damage") ? 1 : 5,
      say
    })
    const { problems, ...figures } = report
    say(`${name}: ${JSON.stringify(figures)}, ${Math.round((performance.now() - began) / 1000)} s`)
    for (const problem of problems) say(`  ${problem}`)
    if (problems.length > 0) failed = true
  }
  await admin.end()
} finally {
  await cluster.destroy()
  if (failed) say(`Storage stays in ${directory}`)
  else rmSync(directory, { recursive: true, force: true })
}
say(failed ? `FAILED with seed ${seed}` : "PASSED: no gap, no duplicate, nothing lost")
process.exit(failed ? 1 : 0)
