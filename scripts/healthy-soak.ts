/**
 * Looks whether a service that is well raises an alert: a real Postgres, the service as a process, a real Prometheus with the
 * rules of `docs/deploy/monitoring`, followers by long poll and by SSE, and a write every 20 ms. Alerts are written down as
 * they come and go. A follower that had to start over, was refused, or holds other rows than Postgres counts against it, too.
 *
 *   npx node scripts/healthy-soak.ts [--minutes 60] [--followers 50] [--per-second 50] [--seed N]
 */
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { eventually } from "../testing/Eventually.ts"
import { FaultScene } from "../testing/faults/FaultScene.ts"
import { type TextRow } from "../testing/postgres/Rows.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { syncShape } from "../testing/readers/Client.ts"
import { LogFollower } from "../testing/readers/LogFollower.ts"
import { createTables, startWriteLoad } from "../testing/runs/WriteLoad.ts"
import { startPrometheus } from "../testing/services/Prometheus.ts"

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    followers: { type: "string", default: "50" },
    "per-second": { type: "string", default: "50" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

/** What is followed: clauses by index, by evaluation and with a sub-select, columns, full rows. */
const shapes: ReadonlyArray<{ readonly table: string; readonly where: string; readonly replica?: "full" }> = [
  { table: "items", where: "true" },
  { table: "others", where: "true", replica: "full" },
  { table: "items", where: "id < 100000100" },
  { table: "items", where: "b IS NULL", replica: "full" },
  { table: "others", where: "v % 2 = 0" },
  { table: "items", where: "a LIKE '%1%'" },
  { table: "others", where: "v IN (SELECT v FROM items WHERE b IS NULL)" }
]

interface Follower {
  readonly problems: () => ReadonlyArray<string>
  readonly rows: () => ReadonlyArray<TextRow>
  readonly stop: () => unknown
}

const paramsOf = ({ replica, table, where }: (typeof shapes)[number]): Readonly<Record<string, string>> => ({
  table,
  where,
  ...(replica === undefined ? {} : { replica })
})

const byLongPoll = (url: string, params: Readonly<Record<string, string>>): Follower => {
  const follower = new LogFollower({ url, params, requestTimeoutMillis: 120_000 }).start()
  return {
    problems: () => [
      ...follower.problems,
      ...follower.ledger.problems,
      ...follower.failures.map((failure) => JSON.stringify(failure)),
      ...(follower.conflicts.length === 0 ? [] : [`${follower.conflicts.length} times 409`])
    ],
    rows: () => [...follower.ledger.rows.values()],
    stop: () => follower.stop()
  }
}

const bySse = (url: string, params: Readonly<Record<string, string>>): Follower => {
  // The library's type forbids some names by an index signature, which no record of strings satisfies.
  const synced = syncShape({
    url,
    params: { ...params } as { readonly [name: string]: never },
    liveSse: true
  })
  return {
    problems: () => [
      ...synced.errors.map(String),
      ...(synced.refetches() === 0 ? [] : [`${synced.refetches()} times 409`])
    ],
    rows: synced.rows,
    stop: synced.stop
  }
}

const say = (text: string) => process.stdout.write(`${new Date().toISOString()} ${text}\n`)
const sorted = (ids: ReadonlyArray<string>) => ids.toSorted().join()

const minutes = Number(options.minutes)
say(
  `${minutes} minutes, ${options.followers} followers, ${options["per-second"]} writes/s, seed ${options.seed}`
)
const cluster = await startCluster()
const scene = new FaultScene(cluster)
const fired = new Set<string>()
const problems: Array<string> = []
try {
  await scene.query("SELECT 1")
  await createTables(await scene.connect(), ["items", "others"], 200)
  const { metricsPort, service } = await scene.start()
  const followers = Array.from({ length: Number(options.followers) }, (_, at) => {
    const shape = shapes[at % shapes.length] ?? shapes[0]
    if (shape === undefined) throw new Error("no shapes")
    const follow = at % 2 === 0 ? byLongPoll : bySse
    return { ...shape, ...follow(service.url, paramsOf(shape)) }
  })
  const load = startWriteLoad({
    url: scene.url,
    tables: ["items", "others"],
    writers: 1,
    perSecond: Number(options["per-second"]),
    sizes: [1],
    random: makeRandom(Number(options.seed))
  })
  await using prometheus = await startPrometheus([metricsPort], "5s")

  let raised = new Set<string>()
  const until = performance.now() + minutes * 60_000
  let nextReport = performance.now() + 60_000
  while (performance.now() < until) {
    await sleep(5_000)
    const alerts = await prometheus.alerts()
    const now = new Set(
      alerts.map(({ labels, state }) => `${state} ${labels["alertname"]} ${JSON.stringify(labels)}`)
    )
    for (const one of now) if (!raised.has(one)) say(one)
    for (const one of raised) if (!now.has(one)) say(`over: ${one}`)
    for (const { labels, state } of alerts) if (state === "firing") fired.add(labels["alertname"] ?? "")
    raised = now
    if (performance.now() > nextReport) {
      nextReport += 60_000
      const [up] = await prometheus.query("min_over_time(up[1m])")
      say(
        `${load.committed()} committed, ${raised.size} alerts, scraped: ${up?.value[1] === "1" ? "yes" : "no"}`
      )
    }
  }
  const [looks] = await prometheus.query("sum(count_over_time(baton_info[2h]))")
  say(`${load.committed()} transactions committed, the service was looked at ${looks?.value[1] ?? 0} times`)
  if (Number(looks?.value[1] ?? 0) < minutes * 6) problems.push("Prometheus has hardly looked at the service")
  if (load.committed() < minutes * 60 * 5) problems.push("hardly anything was written")
  await load.stop()
  for (const [at, { table, where, ...follower }] of followers.entries()) {
    const expected = await scene.query(`SELECT id::text, v::text FROM ${table} WHERE ${where}`)
    await eventually(
      "rows",
      () =>
        sorted(follower.rows().map(({ id, v }) => `${id}.${v}`)) ===
        sorted(expected.map(({ id, v }) => `${String(id)}.${String(v)}`))
    ).catch(() => problems.push(`follower ${at}, ${table} where ${where}: other rows than in Postgres`))
    problems.push(...follower.problems().map((problem) => `follower ${at}: ${problem}`))
    await follower.stop()
  }
  for (const line of service.logs().matchAll(/^.*\bBATON-[A-Z0-9-]+.*$/gm)) say(`in the log: ${line[0]}`)
} catch (error) {
  problems.push(String(error))
} finally {
  await scene.end()
  await cluster.destroy()
}
for (const problem of problems) say(problem)
say(
  fired.size === 0 && problems.length === 0
    ? `no alert in ${minutes} minutes`
    : `${fired.size} alerts (${[...fired].join(", ")}) and ${problems.length} other problems in ${minutes} minutes`
)
process.exit(fired.size === 0 && problems.length === 0 ? 0 : 1)
