/**
 * Soak of handovers: instances that share storage behind a balancer, writers, official clients; one upgrade, kill,
 * freeze or outage after the other. Nothing may be lost or told twice, and nobody may have to fetch again.
 *
 *   npx node scripts/handover.ts [--upgrades 100] [--kills 100] [--others 10] [--clients 50] [--shapes 20] [--instances 2]
 *                            [--per-second 200] [--segment-bytes 1048576] [--minutes 60] [--compaction] [--seed N]
 *
 * `--minutes` ends it earlier, with a verdict on what was done. With segments of a megabyte, instead of the usual 32, the
 * journal is moved to log files during most handovers.
 * `--compaction`: logs are compacted all the while, so not every operation is looked for.
 * `--others` is the number of each other kind: freezes, cut and black-holed databases, and so on. `--sequence a,b,c` does
 * just these, in this order. With `--beside 0.1.0` every other instance that is started is of that release, so each takeover
 * is an upgrade, a rollback, or neither, as it comes.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { type HandoverKind, handoverKinds } from "../testing/runs/HandoverEvents.ts"
import { handoverRuns } from "../testing/runs/HandoverRuns.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { connectTo } from "../testing/postgres/RowText.ts"
import { unpackRelease } from "../testing/releases/Releases.ts"

const { values: options } = parseArgs({
  options: {
    upgrades: { type: "string", default: "100" },
    kills: { type: "string", default: "100" },
    others: { type: "string", default: "10" },
    sequence: { type: "string" },
    clients: { type: "string", default: "50" },
    shapes: { type: "string", default: "20" },
    instances: { type: "string", default: "2" },
    "per-second": { type: "string", default: "200" },
    "segment-bytes": { type: "string", default: String(2 ** 20) },
    minutes: { type: "string", default: "Infinity" },
    compaction: { type: "boolean", default: false },
    beside: { type: "string" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
const random = makeRandom(seed)

const count = (kind: HandoverKind): number => {
  if (kind === "upgrade") return Number(options.upgrades)
  if (kind === "killActive") return Number(options.kills)
  // That is for once, and with releases of more than one level: see `mixed-releases.ts`.
  return kind === "finalise" ? 0 : Number(options.others)
}
const named = options.sequence?.split(",")
const sequence = named?.map((name) => {
  const kind = handoverKinds.find((known) => known === name)
  if (kind === undefined) throw new Error(`--sequence takes ${handoverKinds.join(", ")}; what is ${name}?`)
  return kind
})
const shuffled = handoverKinds
  .flatMap((kind) => Array.from({ length: count(kind) }, () => ({ kind, order: random.next() })))
  .toSorted((a, b) => a.order - b.order)
  .map(({ kind }) => kind)

const quantile = (values: ReadonlyArray<number>, q: number): string =>
  String(Math.round(values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)] ?? Number.NaN))

using old = options.beside === undefined ? undefined : await unpackRelease(options.beside)
const cluster = await startCluster()
const directory = mkdtempSync(path.join(tmpdir(), "baton-handover-"))
say(`Seed ${seed}; Postgres on port ${cluster.port}, log in ${cluster.logFile}; storage in ${directory}`)

let failed = false
try {
  const admin = await connectTo(cluster.url("postgres"))
  await admin.query("CREATE DATABASE handover")
  await admin.end()
  const report = await handoverRuns({
    cluster,
    databaseUrl: cluster.url("handover"),
    streamId: "handover",
    storageDir: directory,
    entryOf: (started) => (started % 2 === 0 ? old?.entry : undefined),
    kinds: sequence ?? shuffled,
    instances: Number(options.instances),
    clients: Number(options.clients),
    shapes: Number(options.shapes),
    perSecond: Number(options["per-second"]),
    boundMillis: 2000,
    limitMillis: Number(options.minutes) * 60_000,
    segmentBytes: Number(options["segment-bytes"]),
    compacts: options.compaction,
    compareEvery: 10,
    random,
    say
  })
  for (const kind of handoverKinds) {
    const events = report.events.filter((event) => event.kind === kind)
    if (events.length === 0) continue
    const takeovers = events
      .map(({ takeoverMillis }) => takeoverMillis)
      .filter((millis) => millis !== undefined)
    const silences = events.map(({ silenceMillis }) => silenceMillis)
    say(
      `${kind} x ${events.length}: active after p50 ${quantile(takeovers, 0.5)} ms, p95 ${quantile(takeovers, 0.95)} ms; ` +
        `longest silence at any client p50 ${quantile(silences, 0.5)} ms, p95 ${quantile(silences, 0.95)} ms`
    )
  }
  say(
    `${report.transactions} transactions, ${report.operationsSeen} changes told, ${report.cutConnections} cut connections`
  )
  for (const problem of report.problems) say(`  ${problem}`)
  failed = report.problems.length > 0
} finally {
  await cluster.destroy()
  if (failed) say(`Storage stays in ${directory}`)
  else rmSync(directory, { recursive: true, force: true })
}
say(failed ? `FAILED with seed ${seed}` : "PASSED: nothing lost, nothing twice, nobody fetched again")
process.exit(failed ? 1 : 0)
