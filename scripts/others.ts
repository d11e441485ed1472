/**
 * What others get while somebody's conditions, or somebody's rows, are at their worst: how long a change of another table takes
 * to its client on each of two instances, how long `/v1/health` takes meanwhile, and how much memory and processor time the
 * service takes.
 *
 *   npx node scripts/others.ts [--shapes 300] [--rows 150000] [--runs 5] [--megabytes 100] [--readers 30]
 *
 * Besides the times there are the floor (the same transaction without such conditions), and the slowest answer of a process
 * that has nothing else to do (`alone`), so that a busy machine is told from a fault.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { createDatabase, type TestDatabase } from "../testing/postgres/Database.ts"
import { ShapeLogReader, requestLog } from "../testing/readers/ShapeLog.ts"
import { startService, type TestService } from "../testing/services/Service.ts"
import { cpuMillis, peakRssBytes, resetPeak } from "./bench/support/ProcessFacts.ts"

const { values: options } = parseArgs({
  options: {
    shapes: { type: "string", default: "300" },
    rows: { type: "string", default: "150000" },
    runs: { type: "string", default: "5" },
    megabytes: { type: "string", default: "100" },
    readers: { type: "string", default: "30" },
    only: { type: "string", default: "" }
  }
})
const shapes = Number(options.shapes)
const rows = Number(options.rows)
const runs = Number(options.runs)
const megabytes = Number(options.megabytes)
const readers = Number(options.readers)

const say = (text: string) => process.stdout.write(`${text}\n`)

/** A process that answers requests and does nothing else: what it takes is the machine's doing. */
const bystander = async () => {
  const source =
    'const s = require("node:http").createServer((q, r) => r.end("ok")).listen(0, "127.0.0.1", () => console.log(s.address().port))'
  const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] })
  const [port] = (await once(child.stdout, "data")) as [Buffer]
  return {
    url: `http://127.0.0.1:${String(port).trim()}`,
    [Symbol.dispose]: () => void child.kill("SIGKILL")
  }
}

/** The slowest answer until the signal, in milliseconds. */
const slowestAnswer = async (url: string, stopped: AbortSignal): Promise<number> => {
  let slowest = 0
  while (!stopped.aborted) {
    const began = performance.now()
    await fetch(url)
      .then((answer) => answer.arrayBuffer())
      .catch(() => {})
    slowest = Math.max(slowest, performance.now() - began)
    await sleep(10)
  }
  return slowest
}

interface Seen {
  readonly change: number
  readonly health: number
  readonly alone: number
  readonly cpu: number
  readonly megabytes: number
}

let ids = 0

/** Does something, then has a change of another table come to a client of each instance. */
const during = async (
  database: TestDatabase,
  instances: ReadonlyArray<TestService>,
  alone: string,
  act: () => Promise<unknown>
): Promise<Seen> => {
  const clients = instances.map(
    ({ url }) => new ShapeLogReader({ url, params: { table: "good" }, retryMillis: 60_000 })
  )
  for (const client of clients) await client.readToEnd()
  for (const { pid } of instances) resetPeak(pid)
  const stopped = new AbortController()
  const watching = Promise.all([
    slowestAnswer(alone, stopped.signal),
    ...instances.map(({ url }) => slowestAnswer(`${url}/v1/health`, stopped.signal))
  ])
  const before = instances.map(({ pid }) => cpuMillis(pid))
  await act()
  const began = performance.now()
  const id = ++ids
  await database.query("INSERT INTO good VALUES ($1)", [id])
  const took = await Promise.all(
    clients.map(async (client) => {
      await client.followUntil(
        `row ${id}`,
        () => Array.from(client.rows.values()).some((row) => row["id"] === String(id)),
        120_000
      )
      return performance.now() - began
    })
  )
  const cpu = Math.max(...instances.map(({ pid }, i) => cpuMillis(pid) - (before[i] ?? 0)))
  // What is held back by the event loop is seen by who asks afterwards.
  await sleep(100)
  stopped.abort()
  const [aloneMillis = 0, ...health] = await watching
  return {
    change: Math.max(...took),
    health: Math.max(...health),
    alone: aloneMillis,
    cpu,
    megabytes: Math.max(...instances.map(({ pid }) => peakRssBytes(pid))) / 1e6
  }
}

const report = (name: string, all: ReadonlyArray<Seen>): void => {
  const of = (key: keyof Seen) => {
    const values = all.map((one) => one[key]).toSorted((a, b) => a - b)
    const median = values[values.length >> 1] ?? 0
    return `${Math.round(median)} (${Math.round(values[0] ?? 0)} to ${Math.round(values.at(-1) ?? 0)})`
  }
  say(
    `${name}: change ${of("change")} ms, health ${of("health")} ms, alone ${of("alone")} ms, ` +
      `processor ${of("cpu")} ms, peak ${of("megabytes")} MB`
  )
}

const makeShapes = async (service: TestService): Promise<void> => {
  for (let i = 0; i < shapes; i++) {
    const where = `to_tsvector('simple', t) @@ 'w${i}'`
    const { body, status } = await requestLog(service.url, { table: "bulk", where }, { offset: "-1" })
    if (status !== 200) throw new Error(`${status}: ${body}`)
  }
}

const makePlain = async (active: TestService): Promise<void> => {
  await requestLog(active.url, { table: "bulk", where: "id < 0" }, { offset: "-1" })
}

let inserted = 0
const insertBulk = (database: TestDatabase): Promise<unknown> => {
  const from = inserted + 1
  inserted += rows
  return database.query(
    `INSERT INTO bulk SELECT i, 'w' || i % ${shapes} || ' and some more words' FROM generate_series(${from}, ${inserted}) i`
  )
}

const dropped = (service: TestService): string =>
  Array.from(service.logs().matchAll(/Dropped (?:a|all|\d+) shapes?: [^.]*/g), ([line]) =>
    line.slice(0, 160)
  ).join("; ")

/** Where the log ends. Another process reads it: this one is to go on measuring. */
const tail = async (at: string): Promise<{ readonly offset: string }> => {
  let offset = "now"
  for (;;) {
    const answer = await fetch(`${at}${offset}`, { signal: AbortSignal.timeout(120_000) })
    const next = answer.headers.get("electric-offset")
    const isEnd = answer.headers.has("electric-up-to-date")
    await answer.body?.cancel()
    if (next === null) throw new Error(`${answer.status} of ${at}${offset}`)
    if (isEnd) return { offset: next }
    offset = next
  }
}

/** As many clients as there are readers take the whole answer. */
const readAll = (url: string): Promise<unknown> =>
  Promise.all(
    Array.from({ length: readers }, async () => {
      const [code] = await once(
        spawn("curl", ["-s", "-f", "-o", "/dev/null", url], { stdio: "ignore" }),
        "close"
      )
      if (code !== 0) throw new Error(`curl ended with ${code}`)
    })
  )

const cluster = await startCluster({ settings: { max_wal_senders: "20", max_replication_slots: "20" } })
const { host, password, port, user } = cluster
const database = await createDatabase({ host, password, port, user })
using alone = await bystander()
try {
  await database.query(
    "CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE bulk (id int PRIMARY KEY, t text); CREATE TABLE large (id int PRIMARY KEY, t text)"
  )
  const first = await startService({ database })
  const { storageDir } = first
  const another = () => startService({ database, storageDir, until: "waiting" })
  let instances = [first, await another()]

  /** Has the transaction come to the shapes that there are, `runs` times. */
  const bulk = async (make: (active: TestService) => Promise<void>, isKilled: boolean) => {
    const all: Array<Seen> = []
    for (let i = 0; i < runs; i++) {
      // Rows that stand there would be in the first rows of every shape.
      await database.query("TRUNCATE bulk")
      const [active, ...others] = instances
      if (active === undefined) break
      await make(active)
      if (isKilled) {
        const insertAndKill = async () => {
          await insertBulk(database)
          await active.stop("SIGKILL")
        }
        all.push(await during(database, others, alone.url, insertAndKill))
        instances = [...others, await another()]
      } else all.push(await during(database, instances, alone.url, () => insertBulk(database)))
    }
    return all
  }
  if (options.only === "" || options.only === "bulk") {
    const asked = `${rows} rows, ${shapes} conditions that Postgres is asked about`
    const compared = `${rows} rows, one condition that is compared`
    report(compared, await bulk(makePlain, false))
    report(asked, await bulk(makeShapes, false))
    say(`  ${dropped(first)}`)
    report(`${compared}; the active instance is killed at COMMIT`, await bulk(makePlain, true))
    report(`${asked}; the active instance is killed at COMMIT`, await bulk(makeShapes, true))
  }
  if (options.only === "" || options.only === "large") {
    const active = instances[0] ?? first
    const made = await requestLog(active.url, { table: "large" }, { offset: "-1" })
    if (made.handle === null || made.offset === null) throw new Error(`${made.status}: ${made.body}`)
    const at = `${active.url}/v1/shape?table=large&handle=${made.handle}&offset=`
    const insert = (id: number) =>
      database.query("INSERT INTO large VALUES ($1, repeat('x', $2))", [id, megabytes * 1_000_000])
    const row: Array<Seen> = []
    const live: Array<Seen> = []
    const behind: Array<Seen> = []
    for (let i = 0; i < runs; i++) {
      let offset = (await tail(at)).offset
      row.push(await during(database, instances, alone.url, () => insert(2 * i)))
      const before = offset
      offset = (await tail(at)).offset
      live.push(
        await during(database, instances, alone.url, async () => {
          const waiting = readAll(`${at}${offset}&live=true`)
          await sleep(500)
          await insert(2 * i + 1)
          await waiting
        })
      )
      behind.push(await during(database, instances, alone.url, () => readAll(`${at}${before}`)))
    }
    report(`a row of ${megabytes} MB`, row)
    report(`the same, with ${readers} clients that wait for it`, live)
    report(`${readers} clients that ask for two such rows`, behind)
  }
  for (const one of [...instances, first]) await one.dispose()
} finally {
  await database.drop()
  await cluster.destroy()
}
