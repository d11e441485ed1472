import { readFile } from "node:fs/promises"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis, sleep } from "./support/Clock.ts"
import type { Database } from "./support/Cluster.ts"
import { quiet } from "./support/HeldRequests.ts"
import { lockTransfer } from "./support/LockFloor.ts"
import {
  bareReader,
  commitAll,
  databaseCpu,
  insertInto,
  makeLeaves,
  makeTables,
  parkClients,
  publishByHand
} from "./support/ManyTables.ts"
import { cpuMillis } from "./support/ProcessFacts.ts"
import type { Service } from "./support/ServiceProcess.ts"
import { beginning, shapePath } from "./support/ShapeReader.ts"
import { overConnections } from "./support/ShapeSets.ts"
import { openStage, type Stage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

type Say = (line: string) => void

const names = (prefix: string, from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from }, (_, i) => `${prefix}${from + i}`)

const shapeOf = (table: string): string => `table=${table}`

/** First shapes of tables that nobody has asked for before. */
const firstShapes = async (
  port: number,
  tables: ReadonlyArray<string>,
  clients: number
): Promise<{ readonly perSecond: number; readonly p50Millis: number }> => {
  const millis: Array<number> = []
  const began = nowMillis()
  await overConnections(port, clients, tables.length, async (connection, i) => {
    const asked = nowMillis()
    const reply = await connection.request(shapePath(shapeOf(tables[i] ?? ""), beginning))
    if (reply.status !== 200)
      throw new Error(`${tables[i]}: status ${reply.status}, ${reply.body.toString().slice(0, 300)}`)
    millis.push(reply.endAt - asked)
  })
  return { perSecond: tables.length / ((nowMillis() - began) / 1000), p50Millis: median(millis) }
}

/** What a takeover and the changes before it have left to do, and their garbage, is not what an idle service costs. */
const settlingMillis = 30_000

/** Share of a core that the service, and the database, use while nobody asks anything, in percent. */
const idleShare = async (
  database: Database,
  service: Service,
  seconds: number
): Promise<{ readonly service: number; readonly database: number }> => {
  await quiet(service.pid)
  await sleep(settlingMillis)
  const ofDatabase = await databaseCpu(database)
  const before = cpuMillis(service.pid)
  const began = nowMillis()
  await sleep(seconds * 1000)
  const percent = (used: number) => (100 * used) / (nowMillis() - began)
  return { service: percent(cpuMillis(service.pid) - before), database: percent(ofDatabase()) }
}

const activeAfterLock = (service: Service): Promise<number> =>
  eventually("the line of the log that says it", 10_000, 20, async () => {
    const said = /active (\d+) ms after the lock/.exec(await readFile(service.logFile, "utf8"))?.[1]
    return said === undefined ? undefined : Number(said)
  })

interface Told {
  /** Of a table each; or one, which is told of all of them. */
  readonly shapes: ReadonlyArray<string>
  readonly statements: (id: number) => string
  readonly messages: number
}

let nextId = 1

/** From COMMIT to the last client. */
const changesTold = async (database: Database, service: Service, told: Told, before = async () => {}) => {
  const id = nextId++
  const clients = await parkClients(service.port, told.shapes, told.messages)
  try {
    await before()
    const committedAt = await commitAll(database, told.statements(id))
    return (await clients.told(id)) - committedAt
  } finally {
    clients.close()
  }
}

interface Growth {
  readonly firstMillis: number
  readonly knownMillis: number
  readonly bareMillis: number
  readonly afterTakeoverMillis: number
  readonly laterMillis: number
  readonly takeoverMillis: ReadonlyArray<number>
  readonly idle: { readonly service: number; readonly database: number }
  readonly service: Service
}

/** What changes take to arrive the first time, the second, and after takeovers, of which the last one's instance stays. */
const measureGrowth = async (
  stage: Stage,
  given: Service,
  told: Told,
  idleSeconds: number
): Promise<Growth> => {
  const { database } = stage
  let service = given
  const firstMillis = await changesTold(database, service, told)
  const knownMillis = await changesTold(database, service, told)
  const bareMillis = await bareReader(database, service, told.statements(nextId++))
  const takeoverMillis: Array<number> = []
  const takeOver = async (pauseMillis: number): Promise<number> => {
    const old = service
    const successor = await stage.start({ until: "waiting" })
    service = successor
    return changesTold(database, successor, told, async () => {
      old.signal("SIGTERM")
      await successor.awaitHealth("active")
      takeoverMillis.push(await activeAfterLock(successor))
      await sleep(pauseMillis)
    }).finally(() => old.stop())
  }
  const afterTakeoverMillis = await takeOver(0)
  const laterMillis = await takeOver(2000)
  const idle = await idleShare(database, service, idleSeconds)
  return {
    firstMillis,
    knownMillis,
    bareMillis,
    afterTakeoverMillis,
    laterMillis,
    takeoverMillis,
    idle,
    service
  }
}

const saidOf = (growth: Growth): string =>
  `first changes ${growth.firstMillis.toFixed(0)} ms, known ${growth.knownMillis.toFixed(0)}, bare ${growth.bareMillis.toFixed(0)}, ` +
  `after a takeover ${growth.afterTakeoverMillis.toFixed(0)}, two seconds later ${growth.laterMillis.toFixed(0)}; ` +
  `takeovers ${growth.takeoverMillis.join(", ")} ms; idle ${growth.idle.service.toFixed(2)} % and ${growth.idle.database.toFixed(2)} % of Postgres`

const growthFigures = (
  what: string,
  changed: string,
  growth: Growth,
  transfer: ReadonlyArray<number>
): ReadonlyArray<Figure> => {
  const floor = { is: "bare reader", runs: [growth.bareMillis] }
  const time = (text: string, runs: ReadonlyArray<number>): Figure => ({
    what: `${what}: ${changed} changed in one transaction, ${text}`,
    unit: "ms",
    runs,
    floor,
    compare: "time",
    aim: "200 ms"
  })
  return [
    time("the first time", [growth.firstMillis]),
    time("the second time", [growth.knownMillis]),
    time("at once after a takeover", [growth.afterTakeoverMillis]),
    time("two seconds after a takeover", [growth.laterMillis]),
    {
      what: `${what}: takeover, from the lock to active`,
      unit: "ms",
      runs: growth.takeoverMillis,
      floor: { is: "a lock from one connection to another", runs: transfer },
      compare: "time",
      aim: "100 ms"
    },
    {
      what: `${what}: idle`,
      unit: "% of a core",
      runs: [growth.idle.service],
      aim: "0.5 %",
      note: `Postgres, for its questions: ${growth.idle.database.toFixed(2)} %`
    }
  ]
}

/** A partitioned table, in a database of its own. */
const measureLeaves = async (leaves: number, changed: number, idleSeconds: number, say: Say) => {
  const stage = await openStage()
  const { database } = stage
  await makeLeaves(database, "parts", leaves)
  await makeLeaves(database, "hand", leaves)
  const byHand = await publishByHand(database, "by_hand", ["hand"], names("hand_", 0, leaves))
  const service = await stage.start()
  const first = await firstShapes(service.port, ["parts"], 1)
  say(
    `${leaves} leaves: first shape ${first.p50Millis.toFixed(0)} ms, by hand ${(leaves / byHand).toFixed(2)} s`
  )
  const growth = await measureGrowth(
    stage,
    service,
    {
      shapes: [shapeOf("parts")],
      messages: changed,
      statements: (id) =>
        `INSERT INTO parts SELECT part, ${id}, 'row' FROM generate_series(0, ${changed - 1}) AS part;`
    },
    idleSeconds
  )
  say(`${leaves} leaves: ${saidOf(growth)}`)
  const transfer = await lockTransfer(database, "release", 5)
  await growth.service.stop()
  await database.stop()
  return { growth, transfer, firstMillis: first.p50Millis, handMillis: (leaves / byHand) * 1000 }
}

/** Of each number of tables all that grows with it is measured once: a run takes some minutes. */
export const benchmark: Benchmark = {
  name: "tables",
  summary: "thousands of tables, and a table with thousands of partitions",
  options: { runs: 1, tables: 10_000, changed: 1000, leaves: 5000, idle: 20, alone: 200 },
  short: { tables: 600, changed: 200, leaves: 300, idle: 5, alone: 30 },
  run: async (options, say) => {
    const most = option(options, "tables")
    const idleSeconds = option(options, "idle")
    const alone = option(options, "alone")
    const sizes = [most / 10, most / 3, most].map((size) => Math.max(alone + 20, Math.round(size)))
    const stage = await openStage()
    const { database } = stage
    await makeTables(database, "t", most)
    await makeTables(database, "f", 1000)
    const byHand = await publishByHand(database, "by_hand", names("f", 0, 1000))
    const transfer = await lockTransfer(database, "release", 5)
    say(`${most} tables; by hand ${byHand.toFixed(0)} tables/s`)
    let service = await stage.start()
    const oneByOne = await firstShapes(service.port, names("t", 0, alone), 1)
    say(`one client: ${oneByOne.perSecond.toFixed(0)} tables/s`)
    let made = alone
    const found: Array<{
      readonly size: number
      readonly perSecond: number
      readonly p50Millis: number
      readonly growth: Growth
    }> = []
    for (const size of sizes) {
      const rate = await firstShapes(service.port, names("t", made, size), 20)
      made = size
      say(
        `to ${size} tables, 20 clients: ${rate.perSecond.toFixed(0)} tables/s, p50 ${rate.p50Millis.toFixed(0)} ms`
      )
      const changed = names("t", size - Math.min(size, option(options, "changed")), size)
      const growth = await measureGrowth(
        stage,
        service,
        { shapes: changed.map(shapeOf), messages: 1, statements: (id) => insertInto(changed, id) },
        idleSeconds
      )
      service = growth.service
      say(`${size} tables: ${saidOf(growth)}`)
      found.push({ size, ...rate, growth })
    }
    await service.stop()
    await database.stop()
    const leaves = option(options, "leaves")
    const changedLeaves = Math.min(leaves, option(options, "changed"))
    const parts = await measureLeaves(leaves, changedLeaves, idleSeconds, say)

    const hand = { is: "by hand, in one batch", runs: [byHand] }
    const figures: ReadonlyArray<Figure> = [
      {
        what: "first shapes of tables, one client",
        unit: "tables/s",
        runs: [oneByOne.perSecond],
        floor: hand
      },
      ...found.map(({ p50Millis, perSecond, size }): Figure => ({
        what: `first shapes of tables, 20 clients, up to ${size}`,
        unit: "tables/s",
        runs: [perSecond],
        floor: hand,
        aim: "300",
        note: `p50 ${p50Millis.toFixed(0)} ms`
      })),
      ...found.flatMap(({ growth, size }) =>
        growthFigures(
          `${size} tables`,
          `${Math.min(size, option(options, "changed"))} of them`,
          growth,
          transfer
        )
      ),
      {
        what: `first shape of a table with ${leaves} partitions`,
        unit: "ms",
        runs: [parts.firstMillis],
        floor: { is: "by hand, in one batch", runs: [parts.handMillis] },
        compare: "time"
      },
      ...growthFigures(`${leaves} partitions`, `${changedLeaves} of them`, parts.growth, parts.transfer)
    ]
    const line = (name: string, of: (growth: Growth) => number) => ({
      name,
      points: found.map(({ growth, size }) => [size, of(growth)] as const)
    })
    return {
      figures,
      plots: [
        {
          name: "tables",
          title: `One transaction that changes ${option(options, "changed")} tables, and takeovers, by number of tables`,
          x: { label: "tables with shapes" },
          y: { label: "milliseconds" },
          lines: [
            line("first changes", (growth) => growth.firstMillis),
            line("after a takeover", (growth) => growth.afterTakeoverMillis),
            line("the second time", (growth) => growth.knownMillis),
            line("takeover", (growth) => median(growth.takeoverMillis)),
            { ...line("bare reader", (growth) => growth.bareMillis), isReference: true }
          ]
        }
      ],
      checked: "each client was told of its table's row once, and of nothing else",
      environment: [`${stage.database.description}; a row in each table`]
    }
  }
}
