import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { countingBucket } from "./support/Buckets.ts"
import { eventually } from "./support/Clock.ts"
import { startHelper } from "./support/Fork.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, itemRows } from "./support/Items.ts"
import { cpuMillis } from "./support/ProcessFacts.ts"
import type { ReadAnswer } from "./support/readClients.ts"
import { type Service, storageDirectory } from "./support/ServiceProcess.ts"
import { newest, shapePath } from "./support/ShapeReader.ts"
import { openStage } from "./support/Stage.ts"

/** Clients that read from one instance, for some time. */
const readFrom = async (port: number, path: string, connections: number, millis: number): Promise<number> => {
  const helper = await startHelper("readClients.ts")
  const answered = new Promise<ReadAnswer>((resolve) =>
    helper.child.on("message", (answer) => resolve(answer as ReadAnswer))
  )
  helper.child.send({ port, path, connections, millis })
  const { replies, wrong, wrongHead } = await answered
  await helper.stop()
  if (wrong > 0)
    throw new Error(`${wrong} replies were wrong, and ${replies} were not; the first: ${wrongHead}`)
  return replies
}

const cpuOf = (services: ReadonlyArray<Service>): number =>
  services.reduce((sum, { pid }) => sum + cpuMillis(pid), 0)

interface Series {
  readonly replicas: number
  readonly perSecond: Array<number>
  /** Of the active instance, for a reply of any of them. */
  readonly activeMicros: Array<number>
  readonly replicaMicros: Array<number>
}

export const benchmark: Benchmark = {
  name: "replicas",
  summary: "reads spread over the active instance and 0, 1 and 2 replicas: what they cost the active one",
  options: { runs: 3, seconds: 5, connections: 48 },
  short: { runs: 1, seconds: 2, connections: 24 },
  run: async (options, say) => {
    const bucket = await countingBucket()
    const { database, start } = await openStage({
      ...bucket.environment,
      BATON_TAIL_SECRET: "secret of the instances"
    })
    await createItems(database)
    const active = await start()
    const connection = await HttpConnection.open(active.port)
    const from = await newest(connection, "table=items")
    // What a client that was away for a moment fetches: 20 changes, about 8 KB.
    await database.run(`INSERT INTO items ${itemRows("1", "20", "1")}`)
    const path = shapePath("table=items", from)
    const hasAll = async (port: number): Promise<void> => {
      const asking = await HttpConnection.open(port)
      await eventually("the changes", 60_000, 20, async () =>
        (await asking.request(path)).body.includes('"value":{"id":"20"') ? true : undefined
      )
      asking.close()
    }
    await hasAll(active.port)
    connection.close()
    const replicas: Array<Service> = []
    for (let i = 0; i < 2; i++) {
      const replica = await start({
        storage: storageDirectory(),
        until: "listening",
        environment: { BATON_ROLE: "replica" }
      })
      await hasAll(replica.port)
      replicas.push(replica)
    }

    const all: ReadonlyArray<Series> = [0, 1, 2].map((count) => ({
      replicas: count,
      perSecond: [],
      activeMicros: [],
      replicaMicros: []
    }))
    const connections = option(options, "connections")
    const millis = option(options, "seconds") * 1000
    const measure = async ({ activeMicros, perSecond, replicaMicros, replicas: count }: Series) => {
      const used = replicas.slice(0, count)
      const before = { active: cpuMillis(active.pid), others: cpuOf(used) }
      const each = Math.round(connections / (1 + count))
      const began = performance.now()
      const replies = await Promise.all(
        [active, ...used].map(({ port }) => readFrom(port, path, each, millis))
      )
      const total = replies.reduce((sum, some) => sum + some, 0)
      const atReplicas = total - (replies[0] ?? 0)
      perSecond.push((total * 1000) / (performance.now() - began))
      activeMicros.push(((cpuMillis(active.pid) - before.active) * 1000) / total)
      replicaMicros.push(atReplicas === 0 ? 0 : ((cpuOf(used) - before.others) * 1000) / atReplicas)
      say(
        `${count} replicas: ${perSecond.at(-1)?.toFixed(0)} replies/s, ${activeMicros.at(-1)?.toFixed(1)} us of the active instance for each, ` +
          `${replicaMicros.at(-1)?.toFixed(1)} us of a replica for each of its own`
      )
    }
    // The first reads compile the code.
    for (const { port } of [active, ...replicas]) await readFrom(port, path, 8, 1000)
    for (let run = 0; run < option(options, "runs"); run++) for (const series of all) await measure(series)

    const none = all[0]?.activeMicros ?? []
    const figures = all.flatMap((series): ReadonlyArray<Figure> => {
      const name = `${series.replicas} replicas`
      const cost: Figure = {
        what: `${name}: processor time of the active instance per read`,
        unit: "us",
        runs: series.activeMicros,
        ...(series.replicas === 0
          ? {}
          : { floor: { is: "without replicas", runs: none }, compare: "time" as const })
      }
      const own: ReadonlyArray<Figure> =
        series.replicas === 0
          ? []
          : [
              {
                what: `${name}: processor time of a replica per read of its own`,
                unit: "us",
                runs: series.replicaMicros,
                floor: { is: "of the active instance, without replicas", runs: none },
                compare: "time"
              }
            ]
      return [cost, ...own, { what: `${name}: reads of 20 changes`, unit: "/s", runs: series.perSecond }]
    })
    return {
      figures,
      checked:
        "every reply had status 200 and its whole length; replicas had all changes before they were asked",
      environment: [
        database.description,
        "reads are spread evenly; clients are processes on the same machine, so the sum of reads per second does not grow here"
      ]
    }
  }
}
