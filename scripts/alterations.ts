/**
 * Tables that are altered at random while official clients follow them: no client is told to fetch again and again, and each
 * shows within seconds what Postgres selects, with and without writes after what was altered.
 *
 *   npx node scripts/alterations.ts [--sequences 100] [--steps 12] [--seed N] [--workers 2] [--waiting]
 *
 * With `--waiting` there is a second instance, which waits and has clients of its own.
 * Each sequence has a seed of its own, which is printed when it fails: `--seed` of it with `--sequences 1` replays it.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { followAlterations } from "../test/faults/support/followAlterations.ts"
import { startService } from "../testing/services/Service.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { connectTo } from "../testing/postgres/RowText.ts"

const { values: options } = parseArgs({
  options: {
    sequences: { type: "string", default: "100" },
    steps: { type: "string", default: "12" },
    workers: { type: "string", default: "0" },
    waiting: { type: "boolean", default: false },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const first = Number(options.seed)
const cluster = await startCluster()
const directory = mkdtempSync(path.join(tmpdir(), "baton-alterations-"))
say(
  `First seed ${first}; Postgres on port ${cluster.port}, log in ${cluster.logFile}; storage in ${directory}`
)

let failed = 0
let steps = 0
let refetches = 0
let slowestMillis = 0
const admin = await connectTo(cluster.url("postgres"))
const start = (until: "active" | "waiting") =>
  startService({
    storageDir: path.join(directory, "storage"),
    until,
    env: {
      DATABASE_URL: cluster.url("postgres"),
      ELECTRIC_REPLICATION_STREAM_ID: "alterations",
      BATON_HTTP_WORKERS: options.workers
    }
  })
const service = await start("active")
const others = options.waiting ? [await start("waiting")] : []
try {
  for (let i = 0; i < Number(options.sequences); i++) {
    const seed = first + i
    await admin.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    const report = await followAlterations({
      databaseUrl: cluster.url("postgres"),
      serviceUrls: [service, ...others].map(({ url }) => url),
      random: makeRandom(seed),
      steps: Number(options.steps)
    })
    steps += report.steps
    refetches += report.refetches
    slowestMillis = Math.max(slowestMillis, report.slowestMillis)
    for (const problem of report.problems) say(`FAILED with seed ${seed}: ${problem}\n`)
    if (report.problems.length > 0) {
      failed++
      say(service.logs().split("\n").slice(-40).join("\n"))
    }
    if (i % 10 === 9)
      say(`${i + 1} sequences, ${steps} steps, ${refetches} must-refetch, slowest ${slowestMillis} ms`)
  }
} finally {
  for (const other of others) await other.dispose()
  await service.dispose()
  await admin.end()
  await cluster.destroy()
  rmSync(directory, { recursive: true, force: true })
}
say(
  failed > 0
    ? `FAILED: ${failed} sequences`
    : `PASSED: ${steps} steps, ${refetches} must-refetch, slowest ${slowestMillis} ms`
)
process.exit(failed > 0 ? 1 : 0)
