import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis } from "./support/Clock.ts"
import { floorSlot, measureDrain } from "./support/Drain.ts"
import { drainFloorName, followSlot } from "./support/DrainFloor.ts"
import { createItems, write } from "./support/Items.ts"
import { createSlot, dropSlot } from "./support/RawPostgres.ts"
import { checkShapes, createShapes, tenantShape } from "./support/ShapeSets.ts"
import { makeMarker, openStage, publicationName, type Stage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

interface Workload {
  readonly name: string
  readonly rowsEach: number
  /** Written while the service follows. */
  readonly transactions: number
  /** Written while it is away, and then worked off: enough for a steady state. */
  readonly drained: number
  readonly writers: number
  readonly matches: boolean
  readonly aim: string
}

const workloads = (scale: number): ReadonlyArray<Workload> => {
  const aim = "100,000/s or 50 %"
  const some = (count: number): number => Math.max(1, Math.round(count * scale))
  const big = { rowsEach: 50_000, transactions: some(4), drained: some(12), writers: 1 }
  return [
    { name: "50,000-row transactions", ...big, matches: true, aim },
    {
      name: "10-row transactions",
      rowsEach: 10,
      transactions: some(5000),
      drained: some(40_000),
      writers: 1,
      matches: true,
      aim
    },
    {
      name: "single rows, 4 writers",
      rowsEach: 1,
      transactions: some(2500) * 4,
      drained: some(40_000) * 4,
      writers: 4,
      matches: true,
      aim
    },
    { name: "50,000-row transactions that match nothing", ...big, matches: false, aim: "80 %" }
  ]
}

interface Written {
  readonly first: number
  readonly rows: number
  readonly tenants: number
  readonly matches: boolean
}

interface Rates {
  readonly drain: Array<number>
  readonly floor: Array<number>
  readonly cpuMicros: Array<number>
  readonly start: Array<number>
  readonly committed: Array<number>
  readonly committedBesideFloor: Array<number>
  readonly lag: Array<number>
}

const emptyRates = (): Rates => ({
  drain: [],
  floor: [],
  cpuMicros: [],
  start: [],
  committed: [],
  committedBesideFloor: [],
  lag: []
})

const figuresOf = (shapes: number, { name, aim, matches }: Workload, rates: Rates): ReadonlyArray<Figure> => {
  const what = `${shapes} ${shapes === 1 ? "shape" : "shapes"}, ${name}`
  const drained: ReadonlyArray<Figure> = [
    { what, unit: "rows/s", runs: rates.drain, floor: { is: drainFloorName, runs: rates.floor }, aim },
    { what: `${what}: processor time`, unit: "us/row", runs: rates.cpuMicros }
  ]
  if (!matches) return drained
  return [
    ...drained,
    {
      what: `${what}: committed meanwhile`,
      unit: "rows/s",
      runs: rates.committed,
      floor: { is: `beside ${drainFloorName}`, runs: rates.committedBesideFloor }
    },
    {
      what: `${what}: last COMMIT to durable and readable`,
      unit: "ms",
      runs: rates.lag,
      ...(name.startsWith("single") ? { aim: "keeps up" } : {})
    }
  ]
}

interface Measured {
  readonly shapes: number
  readonly workload: Workload
  readonly rates: Rates
}

/** Measures with so many shapes, and adds it to `all`. Gives the number of rows that were read back. */
const measureShapes = async (
  stage: Stage,
  shapes: number,
  chosen: ReadonlyArray<Workload>,
  runs: number,
  all: Array<Measured>,
  say: (text: string) => void
): Promise<number> => {
  const { database } = stage
  await createItems(database)
  const marker = await makeMarker(database)
  let service = await stage.start()
  await marker.prepare(service.port)
  const written: Array<Written> = []
  let nextId = 1
  const known = (workload: Workload): Measured => {
    const before = all.find((one) => one.shapes === shapes && one.workload === workload)
    if (before !== undefined) return before
    const fresh = { shapes, workload, rates: emptyRates() }
    all.push(fresh)
    return fresh
  }

  const writeSome = async (workload: Workload, tenants: number, unsynced = false): Promise<number> => {
    const transactions = unsynced ? workload.drained : workload.transactions
    const rows = workload.rowsEach * transactions
    written.push({ first: nextId, rows, tenants, matches: workload.matches })
    const first = nextId
    nextId += rows
    await write(database, {
      ...workload,
      transactions,
      first,
      unsynced,
      tenants,
      firstTenant: workload.matches ? 0 : 1_000_000
    })
    return rows
  }
  const timed = async (workload: Workload, tenants: number): Promise<number> => {
    const began = nowMillis()
    const rows = await writeSome(workload, tenants)
    return rows / ((nowMillis() - began) / 1000)
  }

  const live = async (workload: Workload, tenants: number, rates: Rates) => {
    rates.committed.push(await timed(workload, tenants))
    const committedAt = nowMillis()
    const { readableAt, durableAt } = await marker.arrival(service.port, await marker.commit())
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
    rates.committedBesideFloor.push(await timed(workload, tenants))
    await stopFloor()
    await dropSlot(database, floorSlot)
    service = await stage.start()
    await marker.arrival(service.port, await marker.commit())
  }

  const measure = async (workload: Workload) => {
    const { rates } = known(workload)
    if (workload.matches) await live(workload, shapes, rates)
    const drained = await measureDrain(
      stage,
      marker,
      service,
      () => writeSome({ ...workload, rowsEach: 1, drained: 4, matches: false }, shapes, true),
      () => writeSome(workload, shapes, true)
    )
    service = drained.service
    rates.drain.push(drained.rows / (drained.millis / 1000))
    rates.floor.push(drained.rows / (drained.floorMillis / 1000))
    rates.start.push(drained.startMillis)
    rates.cpuMicros.push((drained.cpuMillis * 1000) / drained.rows)
    say(
      `${shapes} shapes, ${workload.name}: ${Math.round(rates.drain.at(-1) ?? 0)}/s (floor ${Math.round(rates.floor.at(-1) ?? 0)}), ` +
        (workload.matches
          ? `live ${Math.round(rates.committed.at(-1) ?? 0)}/s (floor ${Math.round(rates.committedBesideFloor.at(-1) ?? 0)}), ` +
            `last one after ${Math.round(rates.lag.at(-1) ?? 0)} ms, `
          : "") +
        `${rates.cpuMicros.at(-1)?.toFixed(1)} us of processor time per row, ` +
        `${Math.round(rates.start.at(-1) ?? 0)} ms from the lock to the first change`
    )
  }

  const perSecond = await createShapes(service.port, tenantShape, 0, shapes)
  say(`${shapes} shapes, ${Math.round(perSecond)} made per second`)
  for (let run = 0; run < runs; run++) for (const workload of chosen) await measure(workload)

  const rowsOf = (tenant: number): ReadonlySet<number> => {
    const rows = new Set<number>()
    for (const part of written) {
      if (!part.matches || tenant >= part.tenants) continue
      const start = part.first + ((((tenant - part.first) % part.tenants) + part.tenants) % part.tenants)
      for (let id = start; id < part.first + part.rows; id += part.tenants) rows.add(id)
    }
    return rows
  }
  const read = await checkShapes(service.port, shapes, tenantShape, rowsOf)
  say(`checked ${read} rows in ${Math.min(shapes, 10_000)} shapes`)
  await service.stop()
  return read
}

export const benchmark: Benchmark = {
  name: "replication",
  summary: "row changes per second from commit to durable and readable",
  options: { runs: 3, fewest: 1, shapes: 10_000, scale: 1, workload: 0 },
  short: { runs: 1, fewest: 1, shapes: 100, scale: 0.2, workload: 0 },
  run: async (options, say) => {
    const fewest = option(options, "fewest")
    const most = option(options, "shapes")
    const counts = [1, 100, 10_000, 100_000].filter((count) => count >= fewest && count <= most)
    const only = option(options, "workload")
    const chosen = workloads(option(options, "scale")).filter((_, i) => only === 0 || only === i + 1)
    const runs = option(options, "runs")
    const all: Array<Measured> = []
    const checked: Array<string> = []
    let description = ""
    for (const shapes of counts) {
      // Each on a database of its own: making shapes takes long on a table that is large already.
      const stage = await openStage()
      const read = await measureShapes(stage, shapes, chosen, runs, all, say)
      checked.push(`${read} from ${shapes === 1 ? "1 shape" : `${Math.min(shapes, 10_000)} shapes`}`)
      description = stage.database.description
    }

    const kinds = workloads(1)
    return {
      figures: [
        ...all.flatMap(({ shapes, workload, rates }) => figuresOf(shapes, workload, rates)),
        ...counts.map((shapes) => ({
          what: `${shapes} ${shapes === 1 ? "shape" : "shapes"}, from the lock to the first change`,
          unit: "ms",
          runs: all.filter((one) => one.shapes === shapes).flatMap(({ rates }) => rates.start)
        }))
      ],
      plots: [
        {
          name: "replication",
          title: "Row changes from slot to durable and readable",
          x: { label: "shapes `tenant = k`", scale: "log" },
          y: { label: "row changes per second" },
          lines: kinds.flatMap((kind) => {
            const points = (pick: (rates: Rates) => Array<number>) =>
              all
                .filter(({ workload }) => workload.name === kind.name)
                .map(({ shapes, rates }) => [shapes, median(pick(rates))] as const)
            const short = kind.name.replace(" transactions", "").replace(" that match", ",")
            return [
              { name: short, points: points((rates) => rates.drain) },
              { name: `${drainFloorName}`, points: points((rates) => rates.floor), isReference: true }
            ]
          })
        }
      ],
      checked: `the rows are in the logs of their shapes exactly once: read back ${checked.join(", ")}`,
      environment: [`${description}; each row matches one shape \`tenant = k\``]
    }
  }
}
