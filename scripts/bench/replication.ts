import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis } from "./support/Clock.ts"
import { drainFloorName, drainMillis, followSlot } from "./support/DrainFloor.ts"
import { createItems, write } from "./support/Items.ts"
import { cpuMillis } from "./support/ProcessFacts.ts"
import { createSlot, dropSlot } from "./support/RawPostgres.ts"
import type { Service } from "./support/ServiceProcess.ts"
import { createShapes, readAll, type ShapeSet } from "./support/ShapeSets.ts"
import { makeMarker, openStage, publicationName, type Stage } from "./support/Stage.ts"

interface Workload {
  readonly name: string
  readonly rowsEach: number
  readonly transactions: number
  readonly writers: number
}

const workloads = (scale: number): ReadonlyArray<Workload> => [
  {
    name: "50,000-row transactions",
    rowsEach: 50_000,
    transactions: Math.max(1, Math.round(4 * scale)),
    writers: 1
  },
  { name: "10-row transactions", rowsEach: 10, transactions: Math.round(10_000 * scale), writers: 1 },
  { name: "single rows, 4 writers", rowsEach: 1, transactions: Math.round(10_000 * scale) * 4, writers: 4 }
]

const floorSlot = "bench_floor"

/**
 * The service is started when the changes have been made, and waits for its lock, which the benchmark holds. When it gets
 * the lock it finds them all in its slot, as the floor does in its own. So neither start-up nor writing is measured.
 */
const holdLock = async ({ database }: Stage): Promise<() => Promise<number>> => {
  const session = await database.session()
  await session.query("SELECT pg_advisory_lock(hashtext('electric_slot_default'))")
  return async () => {
    const at = nowMillis()
    await session.end()
    return at
  }
}

interface Rates {
  readonly drain: Array<number>
  readonly floor: Array<number>
  readonly cpuMicros: Array<number>
  readonly committed: Array<number>
  readonly committedBesideFloor: Array<number>
  readonly lag: Array<number>
}

const emptyRates = (): Rates => ({
  drain: [],
  floor: [],
  cpuMicros: [],
  committed: [],
  committedBesideFloor: [],
  lag: []
})

export const benchmark: Benchmark = {
  name: "replication",
  summary: "row changes per second from commit to durable and readable",
  options: { runs: 3, shapes: 1, scale: 1 },
  short: { runs: 1, scale: 0.2 },
  run: async (options, say) => {
    const runs = option(options, "runs")
    const stage = await openStage()
    const { database } = stage
    await createItems(database)
    const marker = await makeMarker(database)
    let service: Service = await stage.start()
    await marker.prepare(service.port)
    const shapes: ShapeSet = await createShapes(service.port, option(options, "shapes"), say)
    const measured = new Map<string, Rates>()
    let nextId = 1

    const writeSome = async (
      workload: Workload,
      unsynced = false
    ): Promise<{ readonly rows: number; readonly seconds: number }> => {
      const rows = workload.rowsEach * workload.transactions
      const began = nowMillis()
      await write(database, { ...workload, first: nextId, unsynced, tenants: shapes.count })
      nextId += rows
      return { rows, seconds: (nowMillis() - began) / 1000 }
    }

    const drain = async (workload: Workload, rates: Rates) => {
      await service.stop()
      await createSlot(database, floorSlot)
      const { rows } = await writeSome(workload, true)
      const lsn = await marker.commit()
      rates.floor.push(rows / ((await drainMillis(database, floorSlot, publicationName)) / 1000))
      await dropSlot(database, floorSlot)
      const release = await holdLock(stage)
      service = await stage.start({ until: "waiting" })
      const cpuBefore = cpuMillis(service.pid)
      const began = await release()
      const { readableAt, durableAt } = await marker.arrival(service.port, lsn)
      rates.drain.push(rows / ((Math.max(readableAt, durableAt) - began) / 1000))
      rates.cpuMicros.push(((cpuMillis(service.pid) - cpuBefore) * 1000) / rows)
    }

    const live = async (workload: Workload, rates: Rates) => {
      const withService = await writeSome(workload)
      const committedAt = nowMillis()
      const { readableAt, durableAt } = await marker.arrival(service.port, await marker.commit())
      rates.committed.push(withService.rows / withService.seconds)
      rates.lag.push(Math.max(readableAt, durableAt) - committedAt)
      await service.stop()
      await createSlot(database, floorSlot)
      const stopFloor = await followSlot(database, floorSlot, publicationName)
      await eventually("the floor to follow", 10_000, 5, async () => {
        const [row] = await database.run(
          `SELECT active FROM pg_replication_slots WHERE slot_name = '${floorSlot}'`
        )
        return row?.["active"] === true ? true : undefined
      })
      const besideFloor = await writeSome(workload)
      rates.committedBesideFloor.push(besideFloor.rows / besideFloor.seconds)
      await stopFloor()
      await dropSlot(database, floorSlot)
      service = await stage.start()
      await marker.arrival(service.port, await marker.commit())
    }

    for (let run = 0; run < runs; run++) {
      for (const workload of workloads(option(options, "scale"))) {
        const rates = measured.get(workload.name) ?? emptyRates()
        measured.set(workload.name, rates)
        await live(workload, rates)
        await drain(workload, rates)
        say(
          `${workload.name}: ${Math.round(rates.drain.at(-1) ?? 0)}/s (floor ${Math.round(rates.floor.at(-1) ?? 0)}), ` +
            `live ${Math.round(rates.committed.at(-1) ?? 0)}/s (floor ${Math.round(rates.committedBesideFloor.at(-1) ?? 0)}), ` +
            `last one after ${Math.round(rates.lag.at(-1) ?? 0)} ms, ${rates.cpuMicros.at(-1)?.toFixed(1)} us of processor time per row`
        )
      }
    }
    const rows = nextId - 1
    const read = await readAll(service.port, shapes, rows)
    say(`checked ${read} rows in ${shapes.count} shapes`)
    await service.stop()

    const figures = [...measured].flatMap(([name, rates]): ReadonlyArray<Figure> => [
      {
        what: `${name}, what the slot holds`,
        unit: "rows/s",
        runs: rates.drain,
        floor: { is: drainFloorName, runs: rates.floor },
        aim: "100,000/s or 50 %"
      },
      { what: `${name}, processor time`, unit: "us/row", runs: rates.cpuMicros },
      {
        what: `${name}, committed live`,
        unit: "rows/s",
        runs: rates.committed,
        floor: { is: `beside ${drainFloorName}`, runs: rates.committedBesideFloor },
        ...(name.startsWith("single") ? { aim: "keeps up" } : {})
      },
      { what: `${name}, last commit to durable and readable`, unit: "ms", runs: rates.lag }
    ])
    return {
      figures,
      checked: `all ${read} rows are in the logs of their shapes exactly once`,
      environment: [`${database.description}; ${shapes.description}`]
    }
  }
}
