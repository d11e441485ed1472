import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { countingBucket } from "./support/Buckets.ts"
import type { BucketCounts } from "./support/bucketServer.ts"
import { sleep } from "./support/Clock.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { storageDirectory } from "./support/ServiceProcess.ts"
import { newest, shapePath } from "./support/ShapeReader.ts"
import { makeMarker, openStage } from "./support/Stage.ts"

interface Asked {
  readonly what: string
  readonly perMinute: BucketCounts
}

const kinds = [
  ["PUTs", (of: BucketCounts) => of.create],
  ["GETs", (of: BucketCounts) => of.read],
  ["listings", (of: BucketCounts) => of.list],
  ["DELETEs", (of: BucketCounts) => of.remove]
] as const

const scaled = (counts: BucketCounts, factor: number): BucketCounts => ({
  ...counts,
  create: counts.create * factor,
  read: counts.read * factor,
  list: counts.list * factor,
  remove: counts.remove * factor
})

export const benchmark: Benchmark = {
  name: "bucket-costs",
  summary: "requests to the bucket per minute: idle, other tables busy, a trickle of changes, with mirrors",
  options: { runs: 1, seconds: 60 },
  short: { runs: 1, seconds: 15 },
  run: async (options, say) => {
    const seconds = option(options, "seconds")
    const bucket = await countingBucket()
    const stage = await openStage({ ...bucket.environment, BATON_TAIL_SECRET: "secret of the instances" })
    const { database } = stage
    await database.run("CREATE TABLE items (id bigint PRIMARY KEY, title text)")
    await database.run("CREATE TABLE others (id bigint PRIMARY KEY, title text)")
    const marker = await makeMarker(database)
    const service = await stage.start()
    await marker.prepare(service.port)
    const connection = await HttpConnection.open(service.port)
    const position = await newest(connection, "table=items")
    await newest(connection, "table=others&where=id%20%3C%200")
    const session = await database.session()
    const all: Array<Asked> = []
    let id = 0
    const changes = async (table: string, everyMillis: number): Promise<void> => {
      const until = performance.now() + seconds * 1000
      while (performance.now() < until) {
        await session.query(`INSERT INTO ${table} VALUES (${++id}, 'a row')`)
        await sleep(everyMillis)
      }
    }
    const count = async (what: string, work: () => Promise<unknown>): Promise<void> => {
      // What came before has got where it goes.
      await sleep(11_000)
      await bucket.counts()
      await work()
      const counts = await bucket.counts()
      const perMinute = scaled(counts, 60 / seconds)
      all.push({ what, perMinute })
      say(
        `${what}: ${kinds.map(([name, of]) => `${of(perMinute).toFixed(1)} ${name}`).join(", ")} a minute; ${counts.createdBytes} bytes made`
      )
    }
    const idle = () => sleep(seconds * 1000)

    await count("alone, idle", idle)
    await count("alone, a table without a shape that matches is busy", () => changes("others", 20))
    await count("alone, a change every 50 ms", () => changes("items", 50))
    await count("alone, a change every 2 s", () => changes("items", 2000))
    for (const mirrors of [1, 2]) {
      const mirror = await stage.start({ storage: storageDirectory(), until: "waiting" })
      const name = `${mirrors} waiting instance${mirrors === 1 ? "" : "s"}`
      await count(`${name}, idle`, idle)
      await count(`${name}, a change every 50 ms`, () => changes("items", 50))
      const client = await HttpConnection.open(mirror.port)
      const held = client.request(shapePath("table=items", position, "&live=true")).catch(() => undefined)
      await count(`${name}, with a client, idle`, async () => {
        await idle()
      })
      client.close()
      await Promise.race([held, sleep(10)])
    }
    connection.close()
    await session.end()
    return {
      figures: all.flatMap(({ perMinute, what }) =>
        kinds.map(([kind, of]): Figure => ({ what: `${what}: ${kind}`, unit: "/min", runs: [of(perMinute)] }))
      ),
      checked: "each instance was in the state that is named; requests were counted by the store",
      environment: [database.description]
    }
  }
}
