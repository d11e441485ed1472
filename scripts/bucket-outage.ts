/**
 * A long outage of the bucket: two instances with directories of their own, a writer that does not pause, a client at each. What each
 * instance takes in memory before, meanwhile and afterwards; how long a change takes to each client; how much waits for the bucket,
 * and how long it takes to get there once that is back. At the end the active instance is killed, an instance with an empty disk
 * starts, and clients of both must have been told of each row once.
 *
 *   npx node scripts/bucket-outage.ts [--minutes 10] [--per-second 400] [--bytes 1000] [--before 60] [--after 60]
 *
 * `--bytes` is the size of a row, which cannot be compressed; `--before` and `--after` are seconds. The bucket refuses in the first third of the
 * outage, is silent in the second one, and nobody listens there in the last one.
 */
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import type { Fate } from "../testing/bucket/BucketFaults.ts"
import { startFakeS3 } from "../testing/bucket/FakeS3.ts"
import { eventually } from "../testing/Eventually.ts"
import { connectTo } from "../testing/postgres/RowText.ts"
import { LogFollower } from "../testing/readers/LogFollower.ts"
import { makeInstances, type Place } from "../testing/services/Instances.ts"
import { startMachines } from "../testing/services/Machines.ts"
import { rssBytes } from "./bench/support/ProcessFacts.ts"

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    "per-second": { type: "string", default: "400" },
    bytes: { type: "string", default: "1000" },
    before: { type: "string", default: "60" },
    after: { type: "string", default: "60" }
  }
})
const outageMillis = Number(options.minutes) * 60_000
/** There is a transaction every 50 ms. */
const rowsEach = Math.max(1, Math.round(Number(options["per-second"]) / 20))
const say = (text: string) => process.stdout.write(`${text}\n`)

const outage: ReadonlyArray<Fate> = [
  { _tag: "Refuse", kind: "failing" },
  { _tag: "Hang" },
  { _tag: "Refuse", kind: "unreachable" }
]

const cluster = await startCluster()
const databaseUrl = cluster.url("postgres")
const directory = mkdtempSync(path.join(tmpdir(), "baton-machines-"))
const s3 = await startFakeS3()
const machines = await startMachines({
  directory,
  count: 3,
  bucket: () => s3.environment(),
  losesDisk: () => false
})
const instances = await makeInstances({
  databaseUrl,
  streamId: "outage",
  storageDir: directory,
  seenAt: machines.storageDir,
  envOf: machines.env,
  places: 3,
  env: {}
})

/** When the last row of each transaction was committed. */
const committed = new Map<number, number>()
let rows = 0

/** A client that notes how long each transaction took to it. */
const startClient = (place: Place) => {
  const latencies: Array<number> = []
  const follower = new LogFollower({
    url: `http://127.0.0.1:${place.port}`,
    params: { table: "items" },
    onMessages: (messages) => {
      const now = performance.now()
      for (const { value } of messages) {
        const at = committed.get(Number(value?.["id"]))
        if (at !== undefined) latencies.push(now - at)
      }
    }
  }).start()
  return { follower, latencies }
}
type Client = ReturnType<typeof startClient>

const quantile = (values: ReadonlyArray<number>, q: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)] ?? Number.NaN

interface Unshipped {
  readonly bytes: number
  readonly millis: number
}

const unshippedOf = async (place: Place): Promise<Unshipped> => {
  const answer = await fetch(`http://127.0.0.1:${place.port}/v1/health?verbose`)
  const said = (await answer.json()) as { readonly bucket: { readonly unshipped: Unshipped } }
  return said.bucket.unshipped
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`

/** Watches for so long, and says what it has seen, about once a minute. */
const watch = async (
  what: string,
  millis: number,
  places: ReadonlyArray<Place>,
  clients: ReadonlyArray<Client>
) => {
  const until = performance.now() + millis
  while (performance.now() < until) {
    const sampled: Array<Array<number>> = places.map(() => [])
    const end = Math.min(until, performance.now() + 60_000)
    for (const { latencies } of clients) latencies.length = 0
    while (performance.now() < end) {
      for (const [i, { service }] of places.entries())
        if (service !== undefined) sampled[i]?.push(rssBytes(service.pid))
      await sleep(Math.min(1000, Math.max(1, end - performance.now())))
    }
    const active = places[0]
    const unshipped = active === undefined ? undefined : await unshippedOf(active)
    const memory = sampled.map(
      (of) => `${megabytes(quantile(of, 0.5))} (at most ${megabytes(Math.max(...of))})`
    )
    const times = clients.map(
      ({ latencies }) =>
        `p50 ${quantile(latencies, 0.5).toFixed(1)} p99 ${quantile(latencies, 0.99).toFixed(1)} worst ${Math.max(...latencies).toFixed(0)} ms`
    )
    say(
      `${what}: memory ${memory.join(", ")}; to a client ${times.join(", ")}; not in the bucket ${megabytes(unshipped?.bytes ?? 0)}`
    )
  }
}

const ended: Array<string> = []
try {
  const session = await connectTo(databaseUrl)
  await session.query("CREATE TABLE items (id int PRIMARY KEY, v text)")
  const active = await instances.start()
  await instances.untilHealth(active, "active")
  const waiting = await instances.start()
  await instances.untilHealth(waiting, "waiting")
  const places = [active, waiting]
  const clients = places.map(startClient)
  for (const { follower } of clients) await eventually("a client to be live", () => follower.live)

  let isOver = false
  const insertUntil = async (isEnd: () => boolean) => {
    for (let due = performance.now(); !isEnd(); due += 50) {
      const from = rows
      const texts = Array.from({ length: rowsEach }, () =>
        randomBytes(Math.ceil(Number(options.bytes) / 2)).toString("hex")
      )
      await session.query(
        "INSERT INTO items SELECT $1 + n, v FROM unnest($2::text[]) WITH ORDINALITY u (v, n)",
        [from, texts]
      )
      rows += rowsEach
      committed.set(rows, performance.now())
      committed.delete(rows - rowsEach * 20_000)
      const restMillis = due + 50 - performance.now()
      if (restMillis > 0) await sleep(restMillis)
      else due = performance.now() - 50
    }
  }
  const inserting = insertUntil(() => isOver)
  say(
    `Memory of the active and of the waiting instance; ${rowsEach * 20} rows of ${options.bytes} bytes a second`
  )
  await watch("before", Number(options.before) * 1000, places, clients)
  const began = performance.now()
  for (const fate of outage) {
    const fault = s3.faults.add(fate)
    const what = fate._tag === "Refuse" ? `outage (${fate.kind})` : "outage (silent)"
    await watch(what, outageMillis / outage.length, places, clients)
    fault.end()
  }
  const outageSeconds = (performance.now() - began) / 1000
  const createdBefore = s3.counter.create.requests
  const gathered = await unshippedOf(active)
  const back = performance.now()
  await eventually(
    "everything to be in the bucket",
    async () => (await unshippedOf(active)).millis < 2000,
    600_000
  )
  say(
    `After ${outageSeconds.toFixed(0)} s ${megabytes(gathered.bytes)} waited; ${((performance.now() - back) / 1000).toFixed(1)} s and ` +
      `${s3.counter.create.requests - createdBefore} objects later they were in the bucket`
  )
  await watch("after", Number(options.after) * 1000, places, clients)
  const slot = await session.query<{ wal: string }>(
    "SELECT pg_current_wal_lsn() - confirmed_flush_lsn AS wal FROM pg_replication_slots"
  )
  say(`Postgres keeps ${megabytes(Number(slot.rows[0]?.wal))} for the slot`)

  const fresh = performance.now()
  const third = await instances.start()
  await instances.untilHealth(third, "waiting", 120_000)
  say(
    `An instance with an empty disk waits ${((performance.now() - fresh) / 1000).toFixed(1)} s after its start`
  )
  const anew = startClient(third)
  active.service?.signal("SIGKILL")
  await instances.active(60_000, active)
  await sleep(2000)
  isOver = true
  await inserting
  const told = [clients[1], anew].flatMap((client) => (client === undefined ? [] : [client.follower]))
  for (const follower of told) {
    await eventually("every row", () => follower.ledger.rows.size === rows, 120_000)
    await follower.stop()
    ended.push(...follower.problems, ...follower.ledger.problems)
    if (follower.conflicts.length > 0) ended.push("a client was sent back to the beginning (409)")
  }
  await clients[0]?.follower.stop()
  await session.end()
  say(`${rows} rows, each told once to a client that was there and to one that began at the end`)
} finally {
  await instances.close()
  await machines.close()
  await s3.close()
  await cluster.destroy()
  rmSync(directory, { recursive: true, force: true })
}
for (const problem of ended) say(`  ${problem}`)
say(ended.length > 0 ? "FAILED" : "PASSED")
process.exit(ended.length > 0 ? 1 : 0)
