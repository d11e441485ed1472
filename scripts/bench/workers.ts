import { readFileSync } from "node:fs"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis, sleep } from "./support/Clock.ts"
import { startHelper } from "./support/Fork.ts"
import type { Answer, Command, Replies } from "./support/heldClients.ts"
import { quiet } from "./support/HeldRequests.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, itemRows } from "./support/Items.ts"
import { cpuMillis, openFiles } from "./support/ProcessFacts.ts"
import type { ReadAnswer } from "./support/readClients.ts"
import type { Service } from "./support/ServiceProcess.ts"
import { newest, shapePath } from "./support/ShapeReader.ts"
import { openStage } from "./support/Stage.ts"

/** The processes of a service with its workers ready. */
const processesOf = async (service: Service, workers: number): Promise<ReadonlyArray<number>> => {
  const pids = await eventually("the workers to be ready", 60_000, 20, () => {
    const found = [...readFileSync(service.logFile, "utf8").matchAll(/answers requests \(process (\d+)\)/g)]
    return found.length === workers ? found.map(([, pid]) => Number(pid)) : undefined
  })
  return [service.pid, ...pids]
}

const total = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0)

interface Series {
  readonly repliesPerSecond: Array<number>
  readonly cpuMicrosPerReply: Array<number>
  /** Of the main process alone: what its replication has to do without. */
  readonly mainMicrosPerReply: Array<number>
  readonly lastMillis: Array<number>
  readonly firstMillis: Array<number>
}

export const benchmark: Benchmark = {
  name: "workers",
  summary: "reads and live clients with 0, 1 and 2 HTTP workers",
  options: { runs: 3, clients: 3000, seconds: 5, connections: 64, waves: 6 },
  short: { runs: 1, clients: 1000, seconds: 2, waves: 2 },
  run: async (options, say) => {
    const { database, start } = await openStage()
    await createItems(database)
    const session = await database.session()
    const clients = option(options, "clients")
    let id = 0
    const insert = async (count: number) => {
      await session.query(`INSERT INTO items ${itemRows(String(id + 1), String(id + count), "1")}`)
      id += count
    }

    const readRate = async (service: Service, pids: ReadonlyArray<number>, series: Series) => {
      const connection = await HttpConnection.open(service.port)
      const from = await newest(connection, "table=items")
      // What a client that was away for a moment fetches: 20 changes, about 8 KB.
      await insert(20)
      const path = shapePath("table=items", from)
      await eventually("the changes", 10_000, 20, async () =>
        (await connection.request(path)).body.includes(`"value":{"id":"${id}"`) ? true : undefined
      )
      connection.close()
      const helper = await startHelper("readClients.ts")
      const answered = new Promise<ReadAnswer>((resolve) =>
        helper.child.on("message", (answer) => resolve(answer as ReadAnswer))
      )
      const cpu = total(pids.map(cpuMillis))
      const mainCpu = cpuMillis(service.pid)
      helper.child.send({
        port: service.port,
        path,
        connections: option(options, "connections"),
        millis: option(options, "seconds") * 1000
      })
      const { replies, wrong, millis } = await answered
      if (wrong > 0) throw new Error(`${wrong} of ${replies} replies were wrong`)
      series.repliesPerSecond.push((replies * 1000) / millis)
      series.cpuMicrosPerReply.push(((total(pids.map(cpuMillis)) - cpu) * 1000) / replies)
      series.mainMicrosPerReply.push(((cpuMillis(service.pid) - mainCpu) * 1000) / replies)
      await helper.stop()
    }

    /** The first waves compile the code that the last one runs. */
    const fanOut = async (service: Service, pids: ReadonlyArray<number>) => {
      const connection = await HttpConnection.open(service.port)
      const position = await newest(connection, "table=items")
      connection.close()
      const helper = await startHelper("heldClients.ts")
      const opened = Promise.withResolvers<void>()
      const replied = Promise.withResolvers<Replies>()
      helper.child.on("message", (message) => {
        const answer = message as Answer
        if (answer._tag === "Opened") opened.resolve()
        else if (answer._tag === "Replies") replied.resolve(answer)
        else opened.reject(new Error(answer.message))
      })
      const send = (command: Command) => helper.child.send(command)
      const before = total(pids.map(openFiles))
      send({
        _tag: "Open",
        port: service.port,
        path: shapePath("table=items", position, "&live=true&cursor=1"),
        count: clients
      })
      await opened.promise
      await eventually("all clients to be held", 60_000, 50, () =>
        total(pids.map(openFiles)) >= before + clients ? true : undefined
      )
      for (const pid of pids) await quiet(pid)
      await insert(1)
      const began = nowMillis()
      const replies = await replied.promise
      if (replies.bodies.size !== 1 || replies.statuses.get("200") !== clients)
        throw new Error(`not everybody got the change: ${JSON.stringify([...replies.statuses])}`)
      send({ _tag: "Close" })
      await sleep(100)
      await helper.stop()
      return { first: (replies.at[0] ?? 0) - began, last: (replies.at.at(-1) ?? 0) - began }
    }

    const counts = [0, 1, 2]
    const all = new Map<number, Series>(
      counts.map((workers) => [
        workers,
        {
          repliesPerSecond: [],
          cpuMicrosPerReply: [],
          mainMicrosPerReply: [],
          lastMillis: [],
          firstMillis: []
        }
      ])
    )
    for (let run = 0; run < option(options, "runs"); run++) {
      for (const [workers, series] of all) {
        const service = await start({
          environment: {
            BATON_HTTP_WORKERS: String(workers),
            ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":300,"existing":20000}'
          }
        })
        const pids = await processesOf(service, workers)
        await readRate(service, pids, series)
        for (let wave = 1; wave < option(options, "waves"); wave++) await fanOut(service, pids)
        const { first, last } = await fanOut(service, pids)
        series.firstMillis.push(first)
        series.lastMillis.push(last)
        await service.stop()
        say(
          `${workers} workers: ${series.repliesPerSecond.at(-1)?.toFixed(0)} replies/s, ` +
            `${series.cpuMicrosPerReply.at(-1)?.toFixed(0)} us each; ${clients} live clients: first ` +
            `${series.firstMillis.at(-1)?.toFixed(1)} ms, last ${series.lastMillis.at(-1)?.toFixed(0)} ms`
        )
      }
    }

    const figures = [...all].flatMap(([workers, series]): ReadonlyArray<Figure> => {
      const none = all.get(0)
      const against = (pick: (of: Series) => Array<number>) =>
        workers === 0 || none === undefined ? {} : { floor: { is: "without workers", runs: pick(none) } }
      const named = (
        what: string,
        unit: string,
        pick: (of: Series) => Array<number>,
        compare: "rate" | "time"
      ) => ({
        what: `${workers} workers, ${what}`,
        unit,
        runs: pick(series),
        compare,
        ...against(pick)
      })
      return [
        named("reads of 20 changes", "/s", (of) => of.repliesPerSecond, "rate"),
        named("processor time per read", "us", (of) => of.cpuMicrosPerReply, "time"),
        named("of which the main process", "us", (of) => of.mainMicrosPerReply, "time"),
        named(`first of ${clients} live clients`, "ms", (of) => of.firstMillis, "time"),
        named(`last of ${clients} live clients`, "ms", (of) => of.lastMillis, "time")
      ]
    })
    return {
      figures,
      checked: "every reply had status 200 and its whole length; every live client got the same body once",
      environment: [
        database.description,
        "the clients are one process on the same machine, which takes a core of its own: without a third core nothing is gained"
      ]
    }
  }
}
