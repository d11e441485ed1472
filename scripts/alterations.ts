/**
 * Tables that are altered at random while official clients follow them: no client is told to fetch again and again, and each
 * shows within seconds what Postgres selects, with and without writes after what was altered.
 *
 *   npx node scripts/alterations.ts [--sequences 100] [--steps 12] [--seed N] [--workers 2] [--waiting] [--kills]
 *
 * With `--waiting` there is a second instance, which waits and has clients of its own. With `--kills` instances are ended at any moment
 * after what was altered, while shapes are being compared for it among others, and started again, with clients behind a balancer: with
 * `--waiting` the other one takes over in the middle.
 * A SIGTERM ends it after the sequence that it is in.
 * Each sequence has a seed of its own, which is printed when it fails: `--seed` of it with `--sequences 1` replays it.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { followAlterations } from "../test/faults/support/followAlterations.ts"
import { startBalancer } from "../testing/services/Balancer.ts"
import { startService } from "../testing/services/Service.ts"
import { freshSeed, makeRandom, type Random } from "../testing/Random.ts"
import { connectTo } from "../testing/postgres/RowText.ts"

const { values: options } = parseArgs({
  options: {
    sequences: { type: "string", default: "100" },
    steps: { type: "string", default: "12" },
    workers: { type: "string", default: "0" },
    waiting: { type: "boolean", default: false },
    kills: { type: "boolean", default: false },
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

const stop = new AbortController()
// What has been seen until then counts, and nothing is left behind.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort())
let failed = 0
let steps = 0
let refetches = 0
let slowestMillis = 0
const admin = await connectTo(cluster.url("postgres"))
const start = (until: "active" | "waiting" | "starting", port?: number) =>
  startService({
    storageDir: path.join(directory, "storage"),
    until: until === "starting" ? false : until,
    ...(port === undefined ? {} : { port }),
    env: {
      DATABASE_URL: cluster.url("postgres"),
      ELECTRIC_REPLICATION_STREAM_ID: "alterations",
      BATON_HTTP_WORKERS: options.workers
    }
  })
const services = [await start("active")]
if (options.waiting) services.push(await start("waiting"))
// Who is refused by one that waits comes to the other one, as behind any balancer.
const balancer = options.kills
  ? await startBalancer({ backends: services.map(({ port }) => port), prefers: "active" })
  : undefined
const urls = balancer === undefined ? services.map(({ url }) => url) : [balancer.url]
let kills = 0
let logs = ""

/** Ends one of them, whichever it is, within the time that it takes to notice what was altered and to compare shapes. */
const killOne = async (random: Random) => {
  const at = random.int(0, services.length - 1)
  const service = services[at]
  if (service === undefined || random.chance(0.5)) return
  await sleep(random.int(0, 1600))
  await service.stop(random.pick(["SIGKILL", "SIGTERM"]))
  logs += service.logs()
  await service.dispose()
  services[at] = await start("starting", service.port)
  kills++
}
try {
  for (let i = 0; i < Number(options.sequences) && !stop.signal.aborted; i++) {
    const seed = first + i
    await admin.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    const random = makeRandom(seed)
    const killing = random.fork()
    const report = await followAlterations({
      databaseUrl: cluster.url("postgres"),
      serviceUrls: urls,
      random: options.kills ? random : makeRandom(seed),
      steps: Number(options.steps),
      ...(options.kills ? { afterStep: () => killOne(killing) } : {})
    })
    steps += report.steps
    refetches += report.refetches
    slowestMillis = Math.max(slowestMillis, report.slowestMillis)
    for (const problem of report.problems) say(`FAILED with seed ${seed}: ${problem}\n`)
    if (report.problems.length > 0) {
      failed++
      for (const service of services) logs += service.logs()
      say(logs.split("\n").slice(-200).join("\n"))
    }
    if (i % 10 === 9)
      say(
        `${i + 1} sequences, ${steps} steps, ${kills} ends, ${refetches} must-refetch, slowest ${slowestMillis} ms`
      )
  }
} finally {
  await balancer?.close()
  for (const service of services) await service.dispose()
  await admin.end()
  await cluster.destroy()
  rmSync(directory, { recursive: true, force: true })
}
say(
  failed > 0
    ? `FAILED: ${failed} sequences`
    : `PASSED: ${steps} steps, ${kills} ends, ${refetches} must-refetch, slowest ${slowestMillis} ms`
)
process.exit(failed > 0 ? 1 : 0)
