import { type Benchmark, option } from "./support/Benchmark.ts"
import { eventually, nowMillis, sleep } from "./support/Clock.ts"
import { insertLsn } from "./support/Cluster.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, fillItems } from "./support/Items.ts"
import { peakRssBytes, resetPeak, rssBytes } from "./support/ProcessFacts.ts"
import { newest, positionOf, readChanges, shapePath } from "./support/ShapeReader.ts"
import { probed } from "./support/ServiceProcess.ts"
import { whereShape } from "./support/ShapeSets.ts"
import { openStage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

const shape = whereShape("tenant IN (SELECT project FROM members WHERE usr = 1)")
const megabyte = 1 << 20

export const benchmark: Benchmark = {
  name: "moves",
  summary:
    "one change of a table that moves very many rows of another into shapes, and out of them: time, memory",
  options: { runs: 3, rows: 1_000_000 },
  short: { runs: 1, rows: 100_000 },
  run: async (options, say) => {
    const [runs, rows] = [option(options, "runs"), option(options, "rows")]
    const stage = await openStage()
    const { database } = stage
    await createItems(database)
    await fillItems(database, "items", rows)
    await database.run("CREATE TABLE members (usr int, project int, PRIMARY KEY (usr, project))")
    const service = await stage.start({ nodeArguments: probed })
    const connection = await HttpConnection.open(service.port)
    let position = await newest(connection, shape)
    const times: Array<number> = []
    const more: Array<number> = []
    const health: Array<number> = []
    for (let run = 0; run < 2 * runs; run++) {
      await service.collectGarbage()
      resetPeak(service.pid)
      const before = rssBytes(service.pid)
      const from = position
      const began = nowMillis()
      await database.run(
        run % 2 === 0 ? "INSERT INTO members VALUES (1, 0)" : "DELETE FROM members WHERE usr = 1"
      )
      const lsn = await insertLsn(database)
      await database.run("SELECT pg_logical_emit_message(true, 'mark', '')")
      const over = new AbortController()
      const watch = (async () => {
        const other = await HttpConnection.open(service.port)
        while (!over.signal.aborted) {
          const asked = nowMillis()
          await other.request("/v1/health")
          health.push(nowMillis() - asked)
          await sleep(10)
        }
        other.close()
      })()
      // Nothing of it is to be read before all of it is there: so what is measured is no reader's.
      await eventually("the moves", 900_000, 20, async () => {
        const reply = await connection.request(shapePath(shape, from))
        const text = reply.body.toString()
        if (text.includes('"operation"')) return true
        position = positionOf(reply)
        const seen = /"global_last_seen_lsn":"(\d+)"/.exec(text)?.[1]
        return seen !== undefined && BigInt(seen) >= lsn ? true : undefined
      })
      const millis = nowMillis() - began
      over.abort()
      await watch
      times.push(millis / 1000)
      more.push((peakRssBytes(service.pid) - before) / megabyte)
      say(`${rows} rows after ${Math.round(millis)} ms, ${Math.round(more.at(-1) ?? 0)} MB more in memory`)
      let changes = 0
      position = await readChanges(connection, shape, from, ({ headers }) => {
        if (headers.operation !== undefined) changes++
      })
      if (changes !== rows) throw new Error(`${changes} changes came instead of ${rows}.`)
    }
    connection.close()
    await service.stop()
    say(`/v1/health: median ${median(health).toFixed(1)} ms, slowest ${Math.max(...health).toFixed(0)} ms`)
    return {
      figures: [
        { what: `COMMIT of a membership to its ${rows} rows`, unit: "s", runs: times },
        { what: "memory at its highest, more than before", unit: "MB", runs: more },
        { what: "`/v1/health` meanwhile, slowest", unit: "ms", runs: [Math.max(...health)] }
      ],
      checked: `each of the ${rows} rows came once and went once, ${runs} times`,
      environment: [database.description]
    }
  }
}
