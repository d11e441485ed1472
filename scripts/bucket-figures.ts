/**
 * What clients see of instances on two machines that have nothing in common but a bucket: how long a change takes from COMMIT to a
 * live client, at the active instance and at the one that waits; and how long nothing comes when the active one is told to stop, or
 * is killed. Each insert is alone on its way, and must come once.
 *
 *   npx node scripts/bucket-figures.ts [--changes 500] [--every 20] [--handovers 10] [--put-millis 100] [--no-tail]
 *                             [--ceph [--port 24000]] [--bucket s3://name/prefix --endpoint https://… [--region …]]
 *
 * `--put-millis` is what each creation of an object takes at least (0 with a real store). With `--no-tail` the waiting instance is not sent what the active
 * one writes, and looks into the bucket. The bucket is an imitation, or one of Ceph's gateway, which is started for it, or of another store:
 * see `bucket-rounds.ts`.
 */
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { startBucketFront } from "../testing/bucket/BucketFront.ts"
import { startFakeS3 } from "../testing/bucket/FakeS3.ts"
import { beginRealBucket, bucketOptions } from "../testing/bucket/RealBucket.ts"
import { eventually } from "../testing/Eventually.ts"
import { connectTo } from "../testing/postgres/RowText.ts"
import { LogFollower } from "../testing/readers/LogFollower.ts"
import { startBalancer } from "../testing/services/Balancer.ts"
import { makeInstances } from "../testing/services/Instances.ts"
import { startMachines } from "../testing/services/Machines.ts"

const { values: options } = parseArgs({
  options: {
    ...bucketOptions,
    ceph: { type: "boolean", default: false },
    changes: { type: "string", default: "500" },
    every: { type: "string", default: "20" },
    handovers: { type: "string", default: "10" },
    "put-millis": { type: "string" },
    "no-tail": { type: "boolean", default: false }
  }
})
const changes = Number(options.changes)
const say = (text: string) => process.stdout.write(`${text}\n`)

const real = options.ceph || options.bucket !== undefined ? beginRealBucket(options) : undefined
const cluster = await startCluster()
const databaseUrl = cluster.url("postgres")
const directory = mkdtempSync(path.join(tmpdir(), "baton-machines-"))
const s3 =
  real === undefined ? await startFakeS3() : await startBucketFront(real.place, `figures-${randomUUID()}`)
const putMillis = Number(options["put-millis"] ?? (real === undefined ? 100 : 0))
if (putMillis > 0) s3.faults.add({ _tag: "Delay", millis: putMillis }, { operation: "create" })
const machines = await startMachines({
  directory,
  count: 2,
  bucket: () => s3.environment(),
  losesDisk: () => false
})
if (options["no-tail"]) for (const wire of machines.wires) wire.block()
const instances = await makeInstances({
  databaseUrl,
  streamId: "latency",
  storageDir: directory,
  seenAt: machines.storageDir,
  envOf: machines.env,
  places: 2,
  env: {}
})

/** A client that notes when each row came. */
const startClient = (url: string) => {
  const came = new Map<string, number>()
  const follower = new LogFollower({
    url,
    params: { table: "ticks" },
    onMessages: (messages) => {
      const now = performance.now()
      for (const { value } of messages) if (value?.["id"] !== undefined) came.set(value["id"] ?? "", now)
    }
  }).start()
  const stop = async () => {
    await eventually("every change", () => came.size === committed.size)
    await follower.stop()
    const problems = [...follower.problems, ...follower.ledger.problems]
    if (problems.length > 0 || follower.conflicts.length > 0)
      throw new Error(`Not as it should be: ${problems}`)
  }
  return { came, follower, stop }
}
type Client = ReturnType<typeof startClient>

/** When COMMIT was answered. */
const committed = new Map<string, number>()

const spread = (values: ReadonlyArray<number>): string => {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q: number) => (sorted[Math.floor((sorted.length - 1) * q)] ?? Number.NaN).toFixed(1)
  return `p50 ${at(0.5)} p95 ${at(0.95)} worst ${at(1)} ms`
}

/** The longest time between one change and the next one at a client. */
const longestGap = ({ came }: Client, from: number): number => {
  const times = [...came.values()].filter((time) => time >= from).toSorted((a, b) => a - b)
  return Math.max(...times.map((time, i) => time - (times[i - 1] ?? from)))
}

/**
 * The active instance ends in this way, and another one starts in its place. How long until the other one is active, and that in its own
 * words after the lock; the longest gaps at any client.
 */
const handOver = async (signal: "SIGTERM" | "SIGKILL", clients: ReadonlyArray<Client>) => {
  const old = await instances.active()
  const from = performance.now()
  old.service?.signal(signal)
  const { service } = await instances.active(60_000, old)
  const activeMillis = performance.now() - from
  await sleep(1500)
  const said = service?.logs().matchAll(/active (\d+) ms after the lock/g)
  const afterLock = Number([...(said ?? [])].at(-1)?.[1])
  const longest = (since: number) => Math.max(...clients.map((client) => longestGap(client, since)))
  const gap = longest(from)
  const began = performance.now()
  await old.service?.ended
  await eventually("the place to be free", () => old.service === undefined)
  await instances.untilHealth(await instances.start(), "waiting", 60_000)
  await sleep(1000)
  return { activeMillis, afterLock, gap, joining: longest(began) }
}

try {
  const session = await connectTo(databaseUrl)
  await session.query("CREATE TABLE ticks (id int PRIMARY KEY)")
  let isOver = false
  const insertOn = async (until: () => boolean) => {
    while (!until()) {
      const id = committed.size + 1
      await session.query("INSERT INTO ticks VALUES ($1)", [id])
      committed.set(String(id), performance.now())
      await sleep(Number(options.every))
    }
  }
  const active = await instances.start()
  await instances.untilHealth(active, "active")
  const waiting = await instances.start()
  await instances.untilHealth(waiting, "waiting")
  const direct = [active, waiting].map(({ port }) => startClient(`http://127.0.0.1:${port}`))
  for (const { follower } of direct) await eventually("a client to be live", () => follower.live)
  await insertOn(() => committed.size >= changes)
  for (const [i, client] of direct.entries()) {
    await client.stop()
    const millis = [...committed].map(([id, at]) => (client.came.get(id) ?? Infinity) - at)
    say(`from COMMIT to a client at the ${i === 0 ? "active" : "waiting"} instance: ${spread(millis)}`)
  }
  say(`${s3.counter.create.requests} creates, ${s3.counter.read.requests} reads so far`)

  const balancer = await startBalancer({ backends: instances.ports, startingLast: true })
  const clients = Array.from({ length: 6 }, () => startClient(balancer.url))
  for (const { follower } of clients) await eventually("a client to be live", () => follower.live)
  const inserting = insertOn(() => isOver)
  await sleep(1000)
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const seen: Array<Awaited<ReturnType<typeof handOver>>> = []
    for (let i = 0; i < Number(options.handovers); i++) seen.push(await handOver(signal, clients))
    say(
      `${signal} x ${seen.length}: active after ${spread(seen.map(({ activeMillis }) => activeMillis))}, ` +
        `after the lock ${spread(seen.map(({ afterLock }) => afterLock))}; ` +
        `longest time without a change at a client ${spread(seen.map(({ gap }) => gap))}, ` +
        `while the next one started ${spread(seen.map(({ joining }) => joining))}`
    )
  }
  isOver = true
  await inserting
  for (const client of clients) await client.stop()
  await balancer.close()
  await session.end()
} finally {
  await instances.close()
  await machines.close()
  await s3.close()
  await cluster.destroy()
  real?.end()
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
