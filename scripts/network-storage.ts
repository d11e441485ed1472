/**
 * Handovers on a network file system: each instance sees the shared directory through a mount of its own that remembers
 * sizes and times of files (bindfs; needs FUSE). Nothing may be lost or told twice, and nobody may have to fetch again.
 *
 *   node scripts/network-storage.ts [--attributes 3,30,60] [--names 0] [--upgrades 17] [--kills 17] [--clients 10] [--shapes 5]
 *                                   [--per-second 100] [--segment-bytes 1048576] [--local] [--seed N]
 *
 * For each number of seconds in `--attributes`: how late a waiting instance tells its clients of a change, then the
 * handovers. `--names`: what names stand for is remembered as well, for so many seconds, which NFS does not do for a file
 * that is opened. `--local` leaves the mounts away, for comparison.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import pg from "pg"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { mountLate } from "../testing/services/LateMounts.ts"
import { startService } from "../testing/services/Service.ts"
import type { HandoverKind } from "../testing/runs/HandoverEvents.ts"
import { handoverRuns } from "../testing/runs/HandoverRuns.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"

const { values: options } = parseArgs({
  options: {
    attributes: { type: "string", default: "3,30,60" },
    names: { type: "string", default: "0" },
    upgrades: { type: "string", default: "17" },
    kills: { type: "string", default: "17" },
    clients: { type: "string", default: "10" },
    shapes: { type: "string", default: "5" },
    "per-second": { type: "string", default: "100" },
    "segment-bytes": { type: "string", default: String(2 ** 20) },
    lags: { type: "string", default: "100" },
    local: { type: "boolean", default: false },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
const random = makeRandom(seed)
const instances = 2

const quantile = (values: ReadonlyArray<number>, q: number): string =>
  (values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)] ?? Number.NaN).toFixed(1)

const cluster = await startCluster()
say(`Seed ${seed}; Postgres on port ${cluster.port}`)

const createDatabase = async (name: string): Promise<string> => {
  const admin = new pg.Client(cluster.url("postgres"))
  await admin.connect()
  await admin.query(`CREATE DATABASE ${name}`)
  await admin.end()
  return cluster.url(name)
}

/** Commit to the answer of a live request at the waiting instance. */
const lagsOf = async (name: string, directories: ReadonlyArray<string>): Promise<ReadonlyArray<number>> => {
  const url = await createDatabase(name)
  const client = new pg.Client(url)
  client.on("error", () => {})
  await client.connect()
  await client.query("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)")
  const start = (storageDir: string | undefined, until: "active" | "waiting") =>
    startService({
      storageDir: storageDir ?? "",
      until,
      deadlineMillis: 60_000,
      // Slots are named for the whole cluster.
      env: { DATABASE_URL: url, ELECTRIC_REPLICATION_STREAM_ID: name }
    })
  await using active = await start(directories[0], "active")
  await using waiting = await start(directories[1], "waiting")
  const first = await fetch(`${active.url}/v1/shape?table=t&offset=-1`)
  await first.text()
  const handle = first.headers.get("electric-handle") ?? ""
  let offset = "0_inf"
  const lags: Array<number> = []
  for (let i = 0; i < Number(options.lags); i++) {
    const answer = fetch(`${waiting.url}/v1/shape?table=t&handle=${handle}&offset=${offset}&live=true`)
    await new Promise((resolve) => setTimeout(resolve, random.int(40, 80)))
    await client.query("UPDATE t SET v = v + 1")
    const began = performance.now()
    const response = await answer
    const body = await response.text()
    lags.push(performance.now() - began)
    offset = response.headers.get("electric-offset") ?? ""
    if (!response.ok || offset === "") throw new Error(`The waiting instance said ${response.status} ${body}`)
  }
  await client.end()
  return lags
}

const kinds = (): ReadonlyArray<HandoverKind> =>
  (["upgrade", "killActive"] as const)
    .flatMap((kind) =>
      Array.from({ length: Number(kind === "upgrade" ? options.upgrades : options.kills) }, () => ({
        kind,
        order: random.next()
      }))
    )
    .toSorted((a, b) => a.order - b.order)
    .map(({ kind }) => kind)

let failed = false
try {
  for (const [index, seconds] of options.attributes.split(",").entries()) {
    const parent = mkdtempSync(path.join(tmpdir(), "baton-network-"))
    const places = instances + 1
    const mounts = options.local
      ? { directories: Array.from({ length: places }, () => path.join(parent, "real")), unmount: () => {} }
      : mountLate(parent, places, { attributeSeconds: Number(seconds), nameSeconds: Number(options.names) })
    if (mounts === undefined) throw new Error("Nothing can be mounted here: this needs FUSE and bindfs.")
    try {
      mkdirSync(path.join(parent, "real"), { recursive: true })
      const seen = (name: string) => mounts.directories.map((directory) => path.join(directory, name))
      const what = options.local ? "a local disk" : `attributes remembered for ${seconds} s`
      const lags = await lagsOf(`lags_${index}`, seen("lags"))
      say(
        `${what}: a waiting instance is late by p50 ${quantile(lags, 0.5)} ms, p90 ${quantile(lags, 0.9)} ms, max ${quantile(lags, 1)} ms`
      )
      const report = await handoverRuns({
        cluster,
        databaseUrl: await createDatabase(`handover_${index}`),
        streamId: `handover_${index}`,
        storageDir: path.join(parent, "real"),
        seenAt: (place) => seen("handover")[place] ?? "",
        kinds: kinds(),
        instances,
        clients: Number(options.clients),
        shapes: Number(options.shapes),
        perSecond: Number(options["per-second"]),
        // Nobody is frozen here: only a machine that is too busy to answer would lose its lock by this.
        boundMillis: 10_000,
        segmentBytes: Number(options["segment-bytes"]),
        compareEvery: 10,
        random,
        say
      })
      for (const kind of ["upgrade", "killActive"] as const) {
        const times = report.events.flatMap((event) =>
          event.kind === kind ? [event.takeoverMillis ?? NaN] : []
        )
        if (times.length > 0)
          say(
            `${what}: ${kind} x ${times.length}: active after p50 ${quantile(times, 0.5)} ms, p90 ${quantile(times, 0.9)} ms, max ${quantile(times, 1)} ms`
          )
      }
      say(
        `${what}: ${report.transactions} transactions, ${report.operationsSeen} changes told, ${report.problems.length} problems`
      )
      for (const problem of report.problems) say(`  ${problem}`)
      failed ||= report.problems.length > 0
    } finally {
      mounts.unmount()
      if (!failed) rmSync(parent, { recursive: true, force: true })
      else say(`Storage stays in ${parent}`)
    }
  }
} catch (error) {
  failed = true
  say(String(error))
} finally {
  await cluster.destroy()
}
say(failed ? `FAILED with seed ${seed}` : "PASSED: nothing lost, nothing twice, nobody fetched again")
process.exit(failed ? 1 : 0)
