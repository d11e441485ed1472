/**
 * Soak of instances that share no disk but a bucket: each has a directory of its own, sometimes an empty one, while writers write
 * and clients follow; one upgrade, kill, freeze, outage of the bucket or cut wire after the other.
 *
 *   npx node scripts/bucket-rounds.ts [--rounds 100] [--batch 20] [--minutes 60] [--clients 6] [--followers 4] [--per-second 40]
 *                            [--bound 5000] [--put-millis 0] [--segment-bytes 131072] [--sequence a,b,c] [--debug] [--seed N]
 *                            [--ceph [--port 24000]] [--bucket s3://name/prefix --endpoint https://… [--region …]]
 *                            [--clock-rate 1] [--flush 250ms]
 *
 * Each batch has a database, a bucket and machines of its own, and two or three instances. Every client has to keep its handle, to
 * be told of each change once, and to have the rows that `SELECT` gives; no answer may be 409, and none 503 but of an instance
 * that is still reading its storage, or has been behind its client for 10 s. A third of the clients keeps to waiting instances, where readers also begin anew after each
 * round. First rows are so large that they are files, and segments so small that the journal is moved all the time.
 * `--put-millis` is what each creation of an object takes at least. `--bound` is `BATON_WAL_SENDER_TIMEOUT` in milliseconds.
 *
 * The bucket is an imitation, or one of Ceph's gateway, which is started for it (`scripts/ceph-rgw.sh` says what has to be
 * installed), or of another store, with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Requests to a real one pass through
 * a server that loses, delays and repeats them as the imitation does; what is made is below a folder of its own, and is removed.
 *
 * With `--clock-rate 60` an object of a real store is an hour old after a minute, so that checkpoints are followed by collections.
 * `--flush 25ms` is `BATON_BUCKET_FLUSH`: the chain is soon so long that a checkpoint is uploaded.
 */
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { startBucketFront } from "../testing/bucket/BucketFront.ts"
import { beginRealBucket, bucketOptions } from "../testing/bucket/RealBucket.ts"
import { connectTo } from "../testing/postgres/RowText.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import type { BucketKind } from "../testing/runs/BucketEvents.ts"
import { bucketRuns, kindNamed } from "../testing/runs/BucketRuns.ts"
import type { HandoverKind } from "../testing/runs/HandoverEvents.ts"

const { values: options } = parseArgs({
  options: {
    ...bucketOptions,
    ceph: { type: "boolean", default: false },
    rounds: { type: "string", default: "100" },
    batch: { type: "string", default: "20" },
    minutes: { type: "string", default: "Infinity" },
    clients: { type: "string", default: "6" },
    followers: { type: "string", default: "4" },
    "per-second": { type: "string", default: "40" },
    bound: { type: "string", default: "5000" },
    "put-millis": { type: "string", default: "0" },
    flush: { type: "string", default: "250ms" },
    "clock-rate": { type: "string", default: "1" },
    "segment-bytes": { type: "string", default: String(2 ** 17) },
    sequence: { type: "string" },
    debug: { type: "boolean", default: false },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

/** How often each happens, of all. */
const shares: Readonly<Partial<Record<HandoverKind | BucketKind, number>>> = {
  upgrade: 6,
  killActive: 4,
  killTakeover: 2,
  killDraining: 1,
  freeze: 2,
  killAll: 1,
  emptyDisks: 1,
  third: 2,
  bucketFrozen: 2,
  bucketErrors: 2,
  lostAnswers: 1,
  latePuts: 1,
  doubledPuts: 1,
  activeCutOff: 2,
  tailCut: 2,
  tailSilent: 1
}
const shared = Object.entries(shares).flatMap(([kind, share]) =>
  Array.from({ length: share }, () => kindNamed(kind))
)
const named = options.sequence?.split(",").map(kindNamed)

const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
const random = makeRandom(seed)
const rounds = named?.length ?? Number(options.rounds)
const began = performance.now()
const limitMillis = Number(options.minutes) * 60_000
const real = options.ceph || options.bucket !== undefined ? beginRealBucket(options) : undefined
const cluster = await startCluster()
say(`Seed ${seed}; Postgres on port ${cluster.port}`)

const runBatch = (batch: number, count: number, leftMillis: number, directory: string) => {
  const choices = random.fork()
  return bucketRuns({
    cluster,
    databaseUrl: cluster.url(`bucket_${batch}`),
    streamId: `bucket_${batch}`,
    directory,
    ...(real === undefined
      ? {}
      : {
          startBucket: () =>
            startBucketFront(real.place, `rounds-${randomUUID()}`, Number(options["clock-rate"]))
        }),
    kinds: named ?? Array.from({ length: count }, () => choices.pick(shared)),
    putMillis: Number(options["put-millis"]),
    emptyDisks: 0.3,
    env: {
      ELECTRIC_CLEANUP_INTERVAL_MS: "2s",
      BATON_BUCKET_FLUSH: options.flush,
      ...(options.debug ? { ELECTRIC_LOG_LEVEL: "debug" } : {})
    },
    instances: 2 + (batch % 2),
    clients: Number(options.clients),
    followers: Number(options.followers),
    perSecond: Number(options["per-second"]),
    boundMillis: Number(options.bound),
    limitMillis: leftMillis,
    segmentBytes: Number(options["segment-bytes"]),
    compareEvery: 5,
    random: random.fork(),
    say
  })
}

type Report = Awaited<ReturnType<typeof bucketRuns>>
const reports: Array<Report> = []
const done = () => reports.reduce((sum, { events }) => sum + events.length, 0)
const problems = () => reports.flatMap((report) => report.problems)
let directory = ""
try {
  for (let batch = 0; done() < rounds && problems().length === 0; batch++) {
    const leftMillis = limitMillis - (performance.now() - began)
    if (leftMillis <= 0) break
    const admin = await connectTo(cluster.url("postgres"))
    await admin.query(`CREATE DATABASE bucket_${batch}`)
    await admin.end()
    directory = mkdtempSync(path.join(tmpdir(), "baton-machines-"))
    reports.push(
      await runBatch(batch, Math.min(Number(options.batch), rounds - done()), leftMillis, directory)
    )
    if (problems().length === 0) rmSync(directory, { recursive: true, force: true })
  }
} finally {
  await cluster.destroy()
  real?.end()
}

const events = reports.flatMap((report) => report.events)
const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0)
/** Median and 95th percentile. */
const spread = (values: ReadonlyArray<number | undefined>): string => {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b)
  const at = (q: number) => Math.round(sorted[Math.floor((sorted.length - 1) * q)] ?? Number.NaN)
  return sorted.length === 0 ? "never" : `p50 ${at(0.5)} p95 ${at(0.95)} ms`
}

say(`${events.length} rounds in ${Math.round((performance.now() - began) / 60_000)} min`)
for (const kind of new Set(events.map((event) => event.kind))) {
  const those = events.filter((event) => event.kind === kind)
  say(
    `${kind} x ${those.length}: active after ${spread(those.map((event) => event.takeoverMillis))}, after the lock ` +
      `${spread(those.map((event) => event.afterLockMillis))}; longest silence ${spread(those.map((event) => event.silenceMillis))}, ` +
      `of clients whose connections held ${spread(those.map((event) => event.undisturbedMillis))}`
  )
}
say(
  `${sum((report) => report.transactions)} transactions, ${sum((report) => report.operationsSeen)} changes told, ` +
    `${sum((report) => report.cutConnections)} cut connections, ` +
    `${sum((report) => report.askedAgain)} requests came to an instance that was still reading its storage, or was behind`
)
say(
  `The bucket: ${sum(({ requests }) => requests.create.requests)} creates, ` +
    `${sum(({ requests }) => requests.read.requests)} reads, ${sum(({ requests }) => requests.list.requests)} listings, ${sum(({ requests }) => requests.remove.requests)} removals`
)
for (const problem of problems()) say(`  ${problem}`)
const failed = problems().length > 0
say(
  failed
    ? `FAILED with seed ${seed}; directories stay in ${directory}`
    : "PASSED: nothing lost, nothing twice, no 409, every handle as it was"
)
process.exit(failed ? 1 : 0)
