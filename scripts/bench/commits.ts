import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis } from "./support/Clock.ts"
import { floorSlot } from "./support/Drain.ts"
import { drainFloorName, followSlot } from "./support/DrainFloor.ts"
import { createItems, write } from "./support/Items.ts"
import { cpuMillis } from "./support/ProcessFacts.ts"
import { createSlot, dropSlot } from "./support/RawPostgres.ts"
import { checkShapes, createShapes, tenantShape } from "./support/ShapeSets.ts"
import { makeMarker, openStage, publicationName } from "./support/Stage.ts"

/** Who follows while rows are written. */
const followers = ["nobody", drainFloorName, "Baton"] as const
type Follower = (typeof followers)[number]

const writers = 4

/**
 * Rows a second that writers commit while nobody follows, while a reader throws everything away, and while the service follows, by
 * turns: the disk and the processors are everybody's.
 */
export const benchmark: Benchmark = {
  name: "commits",
  summary: "what writers commit while nobody follows, a bare reader does, and the service does",
  options: { runs: 6, shapes: 100, rows: 12_000 },
  short: { runs: 1, shapes: 10, rows: 1200 },
  run: async (options, say) => {
    const shapes = option(options, "shapes")
    const rows = option(options, "rows")
    const stage = await openStage()
    const { database } = stage
    await createItems(database)
    const marker = await makeMarker(database)
    let service = await stage.start()
    await marker.prepare(service.port)
    await createShapes(service.port, tenantShape, 0, shapes)

    let nextId = 1
    const timed = async (): Promise<number> => {
      const first = nextId
      nextId += rows
      const began = nowMillis()
      await write(database, { first, rowsEach: 1, transactions: rows, writers, tenants: shapes })
      return rows / ((nowMillis() - began) / 1000)
    }
    const cpuMicros: Array<number> = []
    const besideBaton = async (): Promise<number> => {
      const cpuBefore = cpuMillis(service.pid)
      const rate = await timed()
      await marker.arrival(service.port, await marker.commit())
      cpuMicros.push(((cpuMillis(service.pid) - cpuBefore) * 1000) / rows)
      return rate
    }
    /** The service's own slot waits meanwhile, which costs those who commit nothing. */
    const withoutService = async (work: () => Promise<number>): Promise<number> => {
      await service.stop()
      const rate = await work()
      service = await stage.start()
      await marker.arrival(service.port, await marker.commit())
      return rate
    }
    const besideReader = async (): Promise<number> => {
      await createSlot(database, floorSlot)
      const stop = await followSlot(database, floorSlot, publicationName)
      await eventually("the floor to follow", 10_000, 5, async () => {
        const [row] = await database.run(
          `SELECT active FROM pg_replication_slots WHERE slot_name = '${floorSlot}'`
        )
        return row?.["active"] === true ? true : undefined
      })
      const rate = await timed()
      await stop()
      await dropSlot(database, floorSlot)
      return rate
    }
    const beside = (follower: Follower): Promise<number> =>
      follower === "Baton" ? besideBaton() : withoutService(follower === "nobody" ? timed : besideReader)

    const rates: Record<string, Array<number>> = {}
    await besideBaton()
    cpuMicros.length = 0
    for (let run = 0; run < option(options, "runs"); run++) {
      const round: Array<string> = []
      // Each is the first, the second and the last of its round as often as the others.
      for (let i = 0; i < followers.length; i++) {
        const follower = followers[(run + i) % followers.length] ?? "nobody"
        const rate = await beside(follower)
        ;(rates[follower] ??= []).push(rate)
        round.push(`${follower} ${Math.round(rate)}/s`)
      }
      say(
        `round ${run + 1}: ${round.join(", ")}, ${cpuMicros.at(-1)?.toFixed(1)} us of processor time per row`
      )
    }

    const read = await checkShapes(service.port, shapes, tenantShape, (tenant) => {
      const ids = new Set<number>()
      for (let id = tenant === 0 ? shapes : tenant; id < nextId; id += shapes) ids.add(id)
      return ids
    })
    await service.stop()
    const committed = (follower: Follower, floor: Follower, aim?: string): Figure => ({
      what: `single rows, ${writers} writers, beside ${follower}`,
      unit: "rows/s",
      runs: rates[follower] ?? [],
      floor: { is: `beside ${floor}`, runs: rates[floor] ?? [] },
      ...(aim === undefined ? {} : { aim })
    })
    return {
      figures: [
        committed("Baton", "nobody", "90 %"),
        committed(drainFloorName, "nobody"),
        committed("Baton", drainFloorName),
        { what: "single rows, processor time of the service", unit: "us/row", runs: cpuMicros, aim: "2.5 us" }
      ],
      checked: `all ${read} rows are in their shapes once, those that were written while the service was away included`,
      environment: [`${database.description}; each row matches one of ${shapes} shapes \`tenant = k\``]
    }
  }
}
