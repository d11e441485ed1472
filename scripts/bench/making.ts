import { type Benchmark, option } from "./support/Benchmark.ts"
import { nowMillis } from "./support/Clock.ts"
import type { Database } from "./support/Cluster.ts"
import { quiet } from "./support/HeldRequests.ts"
import { databaseCpu, makeTables } from "./support/ManyTables.ts"
import { cpuMillis, loopCpuMillis } from "./support/ProcessFacts.ts"
import type { Service } from "./support/ServiceProcess.ts"
import { createShapes, tenantShape } from "./support/ShapeSets.ts"
import { openStage } from "./support/Stage.ts"

/** Of one shape each, in milliseconds. */
interface Cost {
  readonly loop: number
  readonly service: number
  readonly database: number
  readonly perSecond: number
}

/** Processor time of what `work` makes, with what comes of it a moment later. */
const costOf = async (
  database: Database,
  service: Service,
  count: number,
  work: () => Promise<void>
): Promise<Cost> => {
  await quiet(service.pid)
  const ofDatabase = await databaseCpu(database)
  const [all, loop] = [cpuMillis(service.pid), loopCpuMillis(service.pid)]
  const began = nowMillis()
  await work()
  const perSecond = count / ((nowMillis() - began) / 1000)
  await quiet(service.pid)
  return {
    loop: (loopCpuMillis(service.pid) - loop) / count,
    service: (cpuMillis(service.pid) - all) / count,
    database: ofDatabase() / count,
    perSecond
  }
}

const tenant = (index: number): string => tenantShape(index, "items0")
const ofTable = (index: number): string => `table=t${index}`

/**
 * What a first shape costs in processor time: of tables that nobody has asked for, and of one table with another condition each.
 * `npm run bench -- making`. What it says does not depend on how busy the machine is, but for the rates.
 */
export const benchmark: Benchmark = {
  name: "making",
  summary: "processor time of making a shape, of new tables and of one table",
  options: { runs: 1, tables: 1500, shapes: 20_000, clients: 20, warm: 300 },
  short: { tables: 300, shapes: 2000, warm: 50 },
  run: async (options, say) => {
    const tables = option(options, "tables")
    const shapes = option(options, "shapes")
    const clients = option(options, "clients")
    const warm = option(options, "warm")
    const found: Array<{ readonly ofTables: Cost; readonly ofShapes: Cost }> = []
    let description = ""
    for (let run = 0; run < option(options, "runs"); run++) {
      const { database, start } = await openStage()
      description = database.description
      await makeTables(database, "t", warm + tables)
      await makeTables(database, "items", 1)
      await database.run("ALTER TABLE items0 ADD tenant integer NOT NULL DEFAULT 0")
      const service = await start()
      const { port } = service
      await createShapes(port, ofTable, 0, warm, clients)
      const ofTables = await costOf(database, service, tables, async () => {
        await createShapes(port, ofTable, warm, warm + tables, clients)
      })
      await createShapes(port, tenant, 0, 10 * warm, clients)
      const ofShapes = await costOf(database, service, shapes, async () => {
        await createShapes(port, tenant, 10 * warm, 10 * warm + shapes, clients)
      })
      for (const [what, { database: ofPostgres, loop, perSecond, service: all }] of [
        ["new table", ofTables],
        ["condition", ofShapes]
      ] as const)
        say(
          `${what}: ${loop.toFixed(2)} ms of the event loop, ${all.toFixed(2)} of the service, ${ofPostgres.toFixed(2)} of Postgres; ${perSecond.toFixed(0)}/s`
        )
      found.push({ ofTables, ofShapes })
      await service.stop()
      await database.stop()
    }
    const figures = (what: string, of: (one: (typeof found)[number]) => Cost, aim: string) => {
      const time = (text: string, value: (cost: Cost) => number) => ({
        what: `${what}, processor time ${text}`,
        unit: "ms",
        runs: found.map((one) => value(of(one)))
      })
      return [
        time("of the event loop", ({ loop }) => loop),
        time("of the service", ({ service }) => service),
        time("of Postgres", (cost) => cost.database),
        { what: `${what}, made per second`, unit: "/s", runs: found.map((one) => of(one).perSecond), aim }
      ]
    }
    return {
      figures: [
        ...figures("a shape of a new table", ({ ofTables }) => ofTables, "300/s"),
        ...figures("a shape with another condition", ({ ofShapes }) => ofShapes, "2,500/s")
      ],
      checked: "every shape was answered with status 200",
      environment: [`${description}; ${clients} clients`]
    }
  }
}
