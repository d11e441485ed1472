import { setTimeout as pause } from "node:timers/promises"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { nowMillis } from "./support/Clock.ts"
import type { Database } from "./support/Cluster.ts"
import { diskUse } from "./support/DiskUse.ts"
import { holdRequests, quiet } from "./support/HeldRequests.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import type { Plot } from "./support/Plot.ts"
import { openFiles, peakRssBytes, rssBytes } from "./support/ProcessFacts.ts"
import { probed, type Service } from "./support/ServiceProcess.ts"
import { newest, shapePath, type Change, beginning, readChanges } from "./support/ShapeReader.ts"
import { overConnections, tenantShape } from "./support/ShapeSets.ts"
import { openStage } from "./support/Stage.ts"

const flags = 17
const idleMillis = 30_000

/** A table of a few rows that has very many shapes, however shapes may differ: by tenant or by columns. */
const createTable = async (database: Database): Promise<void> => {
  const columns = Array.from({ length: flags }, (_, i) => `c${i} integer`).join(", ")
  await database.run(
    `CREATE TABLE items (id bigint PRIMARY KEY, tenant integer NOT NULL, title text, ${columns})`
  )
  await database.run(
    "INSERT INTO items (id, tenant, title) SELECT g, g, 'Item number ' || g FROM generate_series(0, 9) g"
  )
}

/** Each number is a set of columns. */
const columnShape = (index: number): string => {
  const chosen = Array.from({ length: flags }, (_, i) => i).filter((bit) => (index >> bit) % 2 === 1)
  return `table=items&columns=${["id", ...chosen.map((i) => `c${i}`)].join(",")}`
}

const understandsWhere = async (port: number): Promise<boolean> => {
  const connection = await HttpConnection.open(port)
  const reply = await connection.request(shapePath(tenantShape(1_000_000), beginning))
  connection.close()
  return reply.status === 200
}

interface Sample {
  readonly shapes: number
  readonly rss: number
  readonly rssCollected: number
  readonly heap: number
  readonly disk: number
  readonly files: number
}

const sample = async (service: Service, storage: string, shapes: number): Promise<Sample> => {
  await quiet(service.pid, 120_000)
  // V8 gives memory back by itself when a process has been idle for some seconds.
  await pause(idleMillis)
  const rss = rssBytes(service.pid)
  const after = await service.collectGarbage()
  const { bytes, files } = diskUse(storage)
  return {
    shapes,
    rss,
    rssCollected: rssBytes(service.pid),
    heap: after.heapUsed + after.external,
    disk: bytes,
    files
  }
}

export const benchmark: Benchmark = {
  name: "memory",
  summary: "what idle shapes and held requests occupy, and how fast shapes are made",
  options: { runs: 1, shapes: 100_000, held: 5000, connections: 50 },
  short: { shapes: 2000, held: 1000 },
  run: async (options, say) => {
    const runs = option(options, "runs")
    const most = option(options, "shapes")
    const held = option(options, "held")
    const steps = [...new Set([Math.min(1000, most), Math.min(10_000, most), most])]
    const perShape = steps.map(
      (): Record<"rss" | "collected" | "further" | "heap" | "disk" | "files" | "rate", Array<number>> => ({
        rss: [],
        further: [],
        collected: [],
        heap: [],
        disk: [],
        files: [],
        rate: []
      })
    )
    const emptyRss: Array<number> = []
    const peak: Array<number> = []
    const perRequest: Array<number> = []
    const perRequestCollected: Array<number> = []
    const wake: Array<number> = []
    let kind = ""
    let plot: Plot | undefined
    let description = ""

    for (let run = 0; run < runs; run++) {
      const { database, start, storage } = await openStage()
      description = database.description
      await createTable(database)
      const service = await start({ nodeArguments: probed })
      const byTenant = await understandsWhere(service.port)
      kind = byTenant ? "`tenant = k`" : "differing in columns"
      const parameters = (index: number) => (byTenant ? tenantShape(index) : columnShape(index))
      await newest(await HttpConnection.open(service.port), "table=items")
      const empty = await sample(service, storage, 1)
      emptyRss.push(empty.rssCollected / 1e6)
      const samples = [empty]
      let made = 0
      for (const [step, count] of steps.entries()) {
        const began = nowMillis()
        const from = made
        await overConnections(
          service.port,
          option(options, "connections"),
          count - from,
          async (connection, i) => {
            const index = from + i
            const reply = await connection.request(shapePath(parameters(index), beginning))
            const rows = reply.body.toString().split('"operation":"insert"').length - 1
            const expected = byTenant ? (index < 10 ? 1 : 0) : 10
            if (reply.status !== 200 || rows !== expected) {
              throw new Error(`Shape ${index}: status ${reply.status}, ${rows} rows instead of ${expected}.`)
            }
          }
        )
        made = count
        const rate = (count - from) / ((nowMillis() - began) / 1000)
        const now = await sample(service, storage, count)
        const before = samples.at(-1) ?? empty
        samples.push(now)
        const into = perShape[step]
        into?.rss.push((now.rss - empty.rss) / count)
        into?.collected.push((now.rssCollected - empty.rssCollected) / count)
        into?.further.push((now.rssCollected - before.rssCollected) / (count - before.shapes))
        into?.heap.push((now.heap - empty.heap) / count)
        into?.disk.push((now.disk - empty.disk) / count)
        into?.files.push((now.files - empty.files) / count)
        into?.rate.push(rate)
        say(
          `${count} shapes: ${Math.round(rate)}/s, RSS ${(now.rss / 1e6).toFixed(0)} MB (${(now.rssCollected / 1e6).toFixed(0)} MB ` +
            `after collecting), disk ${(now.disk / 1e6).toFixed(1)} MB in ${now.files} files`
        )
      }
      plot = {
        name: "memory-shapes",
        title: "Memory by number of idle shapes",
        x: { label: "shapes" },
        y: { label: "RSS after a garbage collection, MB" },
        lines: [
          {
            name: "RSS",
            points: samples.map(({ shapes, rssCollected }) => [shapes, rssCollected / 1e6] as const)
          }
        ]
      }

      const connection = await HttpConnection.open(service.port)
      const before = await sample(service, storage, made)
      const position = await newest(connection, "table=items")
      const files = openFiles(service.pid)
      const requests = await holdRequests({
        pid: service.pid,
        port: service.port,
        path: shapePath("table=items", position, "&live=true"),
        count: held
      })
      const holding = rssBytes(service.pid)
      await service.collectGarbage()
      const collected = rssBytes(service.pid)
      perRequest.push((holding - before.rssCollected) / held)
      perRequestCollected.push((collected - before.rssCollected) / held)
      say(
        `${held} held requests: ${((holding - before.rssCollected) / held).toFixed(0)} bytes each, ${openFiles(service.pid) - files} files`
      )
      const committed = database
        .run("INSERT INTO items (id, tenant, title) VALUES (1000000, 1000001, 'one')")
        .then(nowMillis)
      const replies = await requests.replies
      wake.push((replies.at.at(-1) ?? 0) - (await committed))
      const right = [...replies.bodies].filter(([body]) => body.split('"id":"1000000"').length === 2)
      if (replies.bodies.size !== 1 || right.length !== 1) {
        throw new Error(
          `Not every held request got the one change: ${JSON.stringify([...replies.bodies]).slice(0, 500)}`
        )
      }
      await requests.close()
      let rows = 0
      await readChanges(connection, parameters(made - 1), beginning, (change: Change) => {
        rows += change.headers.operation === "insert" ? 1 : 0
      })
      if (rows !== (byTenant ? 0 : 11)) throw new Error(`The last shape holds ${rows} rows.`)
      connection.close()
      peak.push(peakRssBytes(service.pid) / 1e6)
      await service.stop()
      await database.stop()
    }

    const figures: ReadonlyArray<Figure> = [
      { what: "RSS with 1 shape", unit: "MB", runs: emptyRss },
      ...steps.flatMap((count, step): ReadonlyArray<Figure> => {
        const values = perShape[step]
        if (values === undefined) return []
        const further = `RSS per shape from ${steps[step - 1] ?? 1} on, garbage collected`
        return [
          {
            what: `${count} shapes, RSS per shape, garbage collected`,
            unit: "bytes",
            runs: values.collected,
            aim: "2,000 bytes"
          },
          ...(step === 0
            ? []
            : [{ what: `${count} shapes, ${further}`, unit: "bytes", runs: values.further }]),
          { what: `${count} shapes, RSS per shape, as it is`, unit: "bytes", runs: values.rss },
          { what: `${count} shapes, heap per shape`, unit: "bytes", runs: values.heap },
          { what: `${count} shapes, disk per shape`, unit: "bytes", runs: values.disk },
          { what: `${count} shapes, files per shape`, unit: "", runs: values.files },
          { what: `${count} shapes, made per second`, unit: "shapes/s", runs: values.rate, aim: "1,000/s" }
        ]
      }),
      {
        what: `${held} held requests, RSS each, garbage collected`,
        unit: "bytes",
        runs: perRequestCollected,
        aim: "10,000 bytes"
      },
      { what: `${held} held requests, RSS each, as it is`, unit: "bytes", runs: perRequest },
      { what: `${held} held requests, COMMIT to the last reply`, unit: "ms", runs: wake },
      { what: "highest RSS", unit: "MB", runs: peak }
    ]
    return {
      figures,
      ...(plot === undefined ? {} : { plots: [plot] }),
      checked: "every shape had its rows when it was made, and each held request got the one change",
      environment: [
        `${description}; shapes ${kind} on a table of 10 rows, made over ${option(options, "connections")} connections`
      ]
    }
  }
}
