/**
 * How long a change takes from COMMIT to a live client, at the active instance and at one that waits on another machine, which has
 * nothing in common with it but a bucket. Each insert is alone on its way, and must come once.
 *
 *   npx node scripts/bucket-latency.ts [--changes 500] [--every 20] [--put-millis 100] [--no-tail]
 *
 * `--put-millis` is what each creation of an object takes at least. With `--no-tail` the waiting instance is not sent what the active
 * one writes, and looks into the bucket.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { startFakeS3 } from "../testing/bucket/FakeS3.ts"
import { eventually } from "../testing/Eventually.ts"
import { connectTo } from "../testing/postgres/RowText.ts"
import { LogFollower } from "../testing/readers/LogFollower.ts"
import { makeInstances } from "../testing/services/Instances.ts"
import { startMachines } from "../testing/services/Machines.ts"

const { values: options } = parseArgs({
  options: {
    changes: { type: "string", default: "500" },
    every: { type: "string", default: "20" },
    "put-millis": { type: "string", default: "100" },
    "no-tail": { type: "boolean", default: false }
  }
})
const changes = Number(options.changes)
const say = (text: string) => process.stdout.write(`${text}\n`)

const cluster = await startCluster()
const databaseUrl = cluster.url("postgres")
const directory = mkdtempSync(path.join(tmpdir(), "baton-machines-"))
const s3 = await startFakeS3()
const delay = { _tag: "Delay", millis: Number(options["put-millis"]) } as const
s3.faults.add(delay, { operation: "create" })
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
const startClient = (port: number) => {
  const came = new Map<string, number>()
  const follower = new LogFollower({
    url: `http://127.0.0.1:${port}`,
    params: { table: "ticks" },
    onMessages: (messages) => {
      const now = performance.now()
      for (const { value } of messages) if (value?.["id"] !== undefined) came.set(value["id"] ?? "", now)
    }
  })
  return { came, follower: follower.start() }
}

try {
  const session = await connectTo(databaseUrl)
  await session.query("CREATE TABLE ticks (id int PRIMARY KEY)")
  const active = await instances.start()
  await instances.untilHealth(active, "active")
  const waiting = await instances.start()
  await instances.untilHealth(waiting, "waiting")
  const clients = { active: startClient(active.port), waiting: startClient(waiting.port) }
  for (const { follower } of Object.values(clients))
    await eventually("a client to be live", () => follower.live)
  const committed = new Map<string, number>()
  for (let id = 1; id <= changes; id++) {
    await session.query("INSERT INTO ticks VALUES ($1)", [id])
    committed.set(String(id), performance.now())
    await sleep(Number(options.every))
  }
  for (const [name, { came, follower }] of Object.entries(clients)) {
    await eventually("every change", () => came.size === changes)
    const problems = [...follower.problems, ...follower.ledger.problems]
    if (problems.length > 0) throw new Error(problems.join("\n"))
    const millis = [...committed].map(([id, at]) => (came.get(id) ?? Infinity) - at).toSorted((a, b) => a - b)
    const at = (q: number) => (millis[Math.floor((changes - 1) * q)] ?? Number.NaN).toFixed(1)
    say(`${name}: p50 ${at(0.5)} p95 ${at(0.95)} p99 ${at(0.99)} ms`)
    await follower.stop()
  }
  say(`${s3.counter.create.requests} creates, ${s3.counter.read.requests} reads`)
  await session.end()
} finally {
  await instances.close()
  await machines.close()
  await s3.close()
  await cluster.destroy()
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
