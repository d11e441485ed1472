import { readFile } from "node:fs/promises"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { discardCopy } from "./support/RawPostgres.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, fillItems } from "./support/Items.ts"
import { peakRssBytes, resetPeak, rssBytes } from "./support/ProcessFacts.ts"
import type { Database } from "./support/Cluster.ts"
import { beginning, newest, readChanges, shapePath } from "./support/ShapeReader.ts"
import { createShapes, tenantShape } from "./support/ShapeSets.ts"
import { openStage, slotName } from "./support/Stage.ts"

const mebibyte = 2 ** 20

/** What a service says of the comparison, and of the takeover around it. */
const said = async (
  logFile: string
): Promise<{ readonly activeMillis: number; readonly compared: string }> => {
  const log = await readFile(logFile, "utf8")
  const activeMillis = Number(/active (\d+) ms after the lock/.exec(log)?.[1] ?? Number.NaN)
  return { activeMillis, compared: /Compared .*were missing/.exec(log)?.[0] ?? "" }
}

/** Reads some shapes as a client does, and compares them with the table. Gives the number of rows. */
const checkRows = async (database: Database, port: number, shapes: number): Promise<number> => {
  const connection = await HttpConnection.open(port)
  let count = 0
  for (let tenant = 0; tenant < shapes; tenant++) {
    const titles = new Map<string, unknown>()
    await readChanges(connection, tenantShape(tenant), beginning, ({ headers, value }) => {
      const id = String(value?.["id"])
      if (headers.operation === "delete") titles.delete(id)
      else titles.set(id, value?.["title"] ?? titles.get(id))
    })
    const rows = await database.run(`SELECT id, title FROM items WHERE tenant = ${tenant}`)
    if (rows.length !== titles.size || rows.some(({ id, title }) => titles.get(String(id)) !== title))
      throw new Error(`Shape ${tenant} does not hold what the table has.`)
    count += rows.length
  }
  connection.close()
  return count
}

/**
 * The slot is dropped while nobody is there, and some rows are changed: all shapes are compared with the table, and get what
 * they lack. The floor is a COPY of the table.
 */
export const benchmark: Benchmark = {
  name: "repair",
  summary: "a lost slot: all shapes compared with the database",
  options: { runs: 3, shapes: 10_000, rows: 1_000_000, changed: 10_000 },
  short: { runs: 1, shapes: 200, rows: 20_000, changed: 200 },
  run: async (options, say) => {
    const shapes = option(options, "shapes")
    const rows = option(options, "rows")
    const changed = option(options, "changed")
    const runs = option(options, "runs")
    const stage = await openStage()
    const { database } = stage
    await createItems(database)
    await fillItems(database, "items", rows, shapes)
    await database.run("CREATE INDEX ON items (tenant); ANALYZE items")
    const first = await stage.start()
    await createShapes(first.port, tenantShape, 0, shapes)
    const connection = await HttpConnection.open(first.port)
    const { handle } = await newest(connection, tenantShape(0))
    connection.close()
    await first.stop()

    const copy: Array<number> = []
    const active: Array<number> = []
    const memory: Array<number> = []
    for (let run = 0; run < runs; run++) {
      copy.push((await discardCopy(database, "COPY items TO STDOUT")).millis)
      await database.run(`SELECT pg_drop_replication_slot('${slotName}')`)
      await database.run(
        `UPDATE items SET title = title || '!' WHERE id % ${Math.max(1, Math.round(rows / Math.max(1, changed)))} = 0`
      )
      const service = await stage.start({ until: "waiting" })
      const idleBytes = rssBytes(service.pid)
      resetPeak(service.pid)
      await service.awaitHealth("active", 600_000)
      memory.push((peakRssBytes(service.pid) - idleBytes) / mebibyte)
      const { activeMillis, compared } = await said(service.logFile)
      active.push(activeMillis)
      say(
        `${compared}; active ${activeMillis} ms after the lock, ${memory.at(-1)?.toFixed(0)} MiB more, COPY ${copy.at(-1)?.toFixed(0)} ms`
      )
      const check = await HttpConnection.open(service.port)
      const reply = await check.request(shapePath(tenantShape(0), beginning))
      check.close()
      if (reply.headers.get("electric-handle") !== handle)
        throw new Error("The first shape has another handle.")
      await service.stop()
    }
    const last = await stage.start()
    const held = await checkRows(database, last.port, Math.min(shapes, 50))
    await last.stop()
    const environment = [database.description]
    await database.stop()
    const figures: ReadonlyArray<Figure> = [
      {
        what: `${shapes} shapes, ${rows} rows, ${changed} of them changed: from the lock to active`,
        unit: "ms",
        runs: active,
        floor: { is: "COPY of the table", runs: copy },
        compare: "time",
        aim: "60 s"
      },
      { what: "memory above that before", unit: "MiB", runs: memory, aim: "300 MiB" }
    ]
    return {
      figures,
      checked: `the first shape keeps its handle; ${held} rows of the first shapes are those of the table`,
      environment
    }
  }
}
