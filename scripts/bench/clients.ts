import { rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { nowMillis } from "./support/Clock.ts"
import { startHelper } from "./support/Fork.ts"
import type { Replies } from "./support/heldClients.ts"
import { holdRequests, quiet } from "./support/HeldRequests.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, itemRows } from "./support/Items.ts"
import { cpuMillis, rssBytes } from "./support/ProcessFacts.ts"
import { collectGarbage, probed } from "./support/ServiceProcess.ts"
import { newest, shapePath } from "./support/ShapeReader.ts"
import { openStage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

interface Wave {
  readonly first: Array<number>
  readonly middle: Array<number>
  readonly last: Array<number>
  readonly bytesEach: Array<number>
  readonly cpuMicrosEach: Array<number>
}

const emptyWave = (): Wave => ({ first: [], middle: [], last: [], bytesEach: [], cpuMicrosEach: [] })

const record = (wave: Wave, replies: Replies, began: number): void => {
  const at = replies.at.map((millis) => millis - began)
  wave.first.push(at[0] ?? 0)
  wave.middle.push(median(at))
  wave.last.push(at.at(-1) ?? 0)
}

/** Everybody got the same body, and `rows` rows in it. */
const check = (replies: Replies, clients: number, id: number): string => {
  const [body] = [...replies.bodies.keys()]
  const whole =
    replies.bodies.size === 1 && replies.at.length === clients && replies.statuses.get("200") === clients
  if (!whole || body?.split(`"value":{"id":"${id}"`).length !== 2) {
    throw new Error(
      `${clients} clients should have got row ${id}: ${JSON.stringify([...replies.statuses])} ` +
        JSON.stringify([...replies.bodies]).slice(0, 400)
    )
  }
  return body
}

export const benchmark: Benchmark = {
  name: "clients",
  summary: "one change to many live clients of one shape",
  options: { runs: 3, most: 10_000 },
  short: { runs: 1, most: 1000 },
  run: async (options, say) => {
    const counts = [100, 1000, 5000, 10_000].filter((count) => count <= option(options, "most"))
    const { database, start } = await openStage()
    await createItems(database)
    const service = await start({
      nodeArguments: probed,
      environment: { ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":300,"existing":20000}' }
    })
    const probeFile = path.join(os.tmpdir(), `baton-bench-floor-${process.pid}.probe`)
    const floor = await startHelper("bareServer.ts", [], probed, { BENCH_PROBE_FILE: probeFile })
    const session = await database.session()
    const ours = new Map<number, Wave>()
    const bare = new Map<number, Wave>()
    let id = 0

    // After a forced collection code has to be compiled again: memory and times are measured in waves of their own.
    const serviceWave = async (clients: number, wave: Wave, weighs: boolean) => {
      const connection = await HttpConnection.open(service.port)
      const position = await newest(connection, "table=items")
      if (weighs) await service.collectGarbage()
      const before = rssBytes(service.pid)
      const held = await holdRequests({
        pid: service.pid,
        port: service.port,
        path: shapePath("table=items", position, "&live=true&cursor=1"),
        count: clients
      })
      if (weighs) {
        await service.collectGarbage()
        wave.bytesEach.push((rssBytes(service.pid) - before) / clients)
      }
      const cpu = cpuMillis(service.pid)
      id++
      await session.query(`INSERT INTO items ${itemRows(String(id), String(id), "1")}`)
      const committedAt = nowMillis()
      const replies = await held.replies
      const body = check(replies, clients, id)
      await quiet(service.pid)
      if (!weighs) {
        record(wave, replies, committedAt)
        wave.cpuMicrosEach.push(((cpuMillis(service.pid) - cpu) * 1000) / clients)
      }
      const again = await connection.request(shapePath("table=items", position))
      connection.close()
      await held.close()
      return {
        body,
        headers: Object.fromEntries(
          [...again.headers].filter(([name]) => name !== "transfer-encoding" && name !== "content-length")
        )
      }
    }

    const floorWave = async (
      clients: number,
      wave: Wave,
      weighs: boolean,
      reply: Awaited<ReturnType<typeof serviceWave>>
    ) => {
      if (weighs) await collectGarbage(floor.pid, probeFile)
      const before = rssBytes(floor.pid)
      const held = await holdRequests({ pid: floor.pid, port: floor.port, path: "/v1/shape", count: clients })
      if (weighs) {
        await collectGarbage(floor.pid, probeFile)
        wave.bytesEach.push((rssBytes(floor.pid) - before) / clients)
      }
      const cpu = cpuMillis(floor.pid)
      const began = nowMillis()
      floor.child.send(reply)
      const replies = await held.replies
      check(replies, clients, id)
      await quiet(floor.pid)
      if (!weighs) {
        record(wave, replies, began)
        wave.cpuMicrosEach.push(((cpuMillis(floor.pid) - cpu) * 1000) / clients)
      }
      await held.close()
    }

    const of = (waves: Map<number, Wave>, clients: number): Wave => {
      const wave = waves.get(clients) ?? emptyWave()
      waves.set(clients, wave)
      return wave
    }
    const warm = emptyWave()
    await floorWave(100, warm, false, await serviceWave(100, warm, false))
    for (let run = 0; run < option(options, "runs"); run++) {
      for (const clients of counts) {
        const wave = of(ours, clients)
        const floorOf = of(bare, clients)
        for (const weighs of [true, false])
          await floorWave(clients, floorOf, weighs, await serviceWave(clients, wave, weighs))
        say(
          `${clients} clients: first ${wave.first.at(-1)?.toFixed(1)}, median ${wave.middle.at(-1)?.toFixed(1)}, last ` +
            `${wave.last.at(-1)?.toFixed(1)} ms (bare ${floorOf.last.at(-1)?.toFixed(1)} ms), ` +
            `${wave.bytesEach.at(-1)?.toFixed(0)} bytes each (bare ${floorOf.bytesEach.at(-1)?.toFixed(0)})`
        )
      }
    }
    await service.stop()
    await floor.stop()
    rmSync(probeFile, { force: true })

    const figures = counts.flatMap((clients): ReadonlyArray<Figure> => {
      const mine = of(ours, clients)
      const least = of(bare, clients)
      const floored = (
        what: string,
        unit: string,
        pick: (wave: Wave) => Array<number>,
        aim?: string
      ): Figure => ({
        what: `${clients} clients, ${what}`,
        unit,
        runs: pick(mine),
        floor: { is: "bare Node", runs: pick(least) },
        compare: "time",
        ...(aim === undefined ? {} : { aim })
      })
      return [
        floored("first", "ms", (wave) => wave.first),
        floored("median", "ms", (wave) => wave.middle),
        floored("last", "ms", (wave) => wave.last, "1.5 x"),
        floored("memory per held request", "bytes", (wave) => wave.bytesEach, "10,000 bytes"),
        floored("processor time per reply", "us", (wave) => wave.cpuMicrosEach)
      ]
    })
    const line = (name: string, waves: Map<number, Wave>, isReference: boolean) => ({
      name,
      isReference,
      points: counts.map((clients) => [clients, median(of(waves, clients).last)] as const)
    })
    return {
      figures,
      plots: [
        {
          name: "clients",
          title: "COMMIT to the last of many live clients",
          x: { label: "clients that wait" },
          y: { label: "milliseconds" },
          lines: [line("Baton", ours, false), line("bare Node server", bare, true)]
        }
      ],
      checked: "every client got status 200 and the same body, which holds the one new row once",
      environment: [database.description]
    }
  }
}
