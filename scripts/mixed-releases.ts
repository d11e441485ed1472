/**
 * Soak of mixed releases: instances of the kept releases and of this state, as it comes, share storage behind a balancer while
 * writers write and clients follow; one upgrade, rollback, kill, freeze after the other. In the end storage is finalised, and
 * instances of this state take over from each other.
 *
 *   npx node scripts/mixed-releases.ts [--rounds 200] [--batch 20] [--minutes 60] [--clients 16] [--followers 8] [--per-second 100]
 *                            [--bound 5000] [--seed N]
 *
 * Each batch has a database and storage of its own, and two or three instances. Every client has to keep its handle, to be
 * told of each change once, and to have the rows that `SELECT` gives; no answer may be 409, and none 503 but of an instance
 * that is still reading its storage. `--bound` is
 * `BATON_WAL_SENDER_TIMEOUT` in milliseconds: a frozen instance is without the lock after it, and so is one that gets no
 * processor for so long. `--minutes` ends it earlier, with a verdict on what was done.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { connectTo } from "../testing/postgres/RowText.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { keptReleases, type OldRelease, unpackRelease } from "../testing/releases/Releases.ts"
import type { HandoverKind } from "../testing/runs/HandoverEvents.ts"
import { type HandoverReport, handoverRuns } from "../testing/runs/HandoverRuns.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    batch: { type: "string", default: "20" },
    minutes: { type: "string", default: "Infinity" },
    clients: { type: "string", default: "16" },
    followers: { type: "string", default: "8" },
    "per-second": { type: "string", default: "100" },
    bound: { type: "string", default: "5000" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

/** How often each happens, of all. */
const shares: Readonly<Partial<Record<HandoverKind, number>>> = {
  upgrade: 8,
  killActive: 4,
  killTakeover: 4,
  killDraining: 2,
  freeze: 2,
  killWaiting: 1,
  killAll: 1
}
const kinds = Object.entries(shares).flatMap(([kind, share]) =>
  Array.from({ length: share }, () => kind as HandoverKind)
)

/** The last of each batch: nothing but this state can run any more. */
const atTheEnd: ReadonlyArray<HandoverKind> = ["finalise", "upgrade", "killActive", "killAll"]

const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
const random = makeRandom(seed)
const rounds = Number(options.rounds)
const began = performance.now()
const limitMillis = Number(options.minutes) * 60_000

const old: Array<OldRelease> = []
for (const version of keptReleases) old.push(await unpackRelease(version))
const nameOf = (entry: string | undefined) =>
  old.find((release) => release.entry === entry)?.version ?? "this"
const cluster = await startCluster()
say(`Seed ${seed}; releases ${keptReleases.join(", ")} and this state; Postgres on port ${cluster.port}`)

const reports: Array<HandoverReport> = []
const done = () => reports.reduce((sum, { events }) => sum + events.length, 0)
const problems = () => reports.flatMap((report) => report.problems)
let storageDir = ""
try {
  for (let batch = 0; done() < rounds && problems().length === 0; batch++) {
    const leftMillis = limitMillis - (performance.now() - began)
    if (leftMillis <= 0) break
    const admin = await connectTo(cluster.url("postgres"))
    await admin.query(`CREATE DATABASE mixed_${batch}`)
    await admin.end()
    storageDir = mkdtempSync(path.join(tmpdir(), "baton-mixed-"))
    const count = Math.min(Number(options.batch), rounds - done())
    const releases = random.fork()
    reports.push(
      await handoverRuns({
        cluster: undefined,
        databaseUrl: cluster.url(`mixed_${batch}`),
        streamId: `mixed_${batch}`,
        storageDir,
        // Half of all are of this state.
        entryOf: () => (releases.chance(0.5) ? undefined : releases.pick(old).entry),
        kinds: [
          ...Array.from({ length: Math.max(0, count - atTheEnd.length) }, () => random.pick(kinds)),
          ...atTheEnd.slice(0, count)
        ],
        instances: 2 + (batch % 2),
        clients: Number(options.clients),
        followers: Number(options.followers),
        shapes: 8,
        perSecond: Number(options["per-second"]),
        boundMillis: Number(options.bound),
        limitMillis: leftMillis,
        segmentBytes: 2 ** 19,
        compareEvery: 5,
        random: random.fork(),
        say
      })
    )
    if (problems().length === 0) rmSync(storageDir, { recursive: true, force: true })
  }
} finally {
  await cluster.destroy()
  for (const release of old) release[Symbol.dispose]()
}

const events = reports.flatMap((report) => report.events)
const counted = (names: ReadonlyArray<string>): string => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].map(([name, count]) => `${name} x ${count}`).join(", ")
}
const sum = (of: (report: HandoverReport) => number) =>
  reports.reduce((total, report) => total + of(report), 0)
const takeovers = events.filter(({ takeoverMillis }) => takeoverMillis !== undefined)
const millis = takeovers.map(({ takeoverMillis }) => takeoverMillis ?? 0).toSorted((a, b) => a - b)

say(
  `${events.length} rounds in ${Math.round((performance.now() - began) / 60_000)} min: ${counted(events.map(({ kind }) => kind))}`
)
say(`Taken over: ${counted(takeovers.map(({ from, to }) => `${nameOf(from)} by ${nameOf(to)}`))}`)
say(`Active after p50 ${Math.round(millis[millis.length >> 1] ?? Number.NaN)} ms`)
say(
  `${sum((report) => report.transactions)} transactions, ${sum((report) => report.operationsSeen)} changes told, ` +
    `${sum((report) => report.cutConnections)} cut connections, ` +
    `${sum((report) => report.askedAgain)} requests came to an instance that was still reading its storage`
)
for (const problem of problems()) say(`  ${problem}`)
const failed = problems().length > 0
say(
  failed
    ? `FAILED with seed ${seed}; storage stays in ${storageDir}`
    : "PASSED: nothing lost, nothing twice, no 409, every handle as it was"
)
process.exit(failed ? 1 : 0)
