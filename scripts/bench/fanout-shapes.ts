import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { measureDrain } from "./support/Drain.ts"
import { drainFloorName } from "./support/DrainFloor.ts"
import { createItems, write } from "./support/Items.ts"
import { checkShapes, createShapes, whereShape } from "./support/ShapeSets.ts"
import { makeMarker, openStage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

/** Different shapes that all hold the rows of tenant 0: no two of them have the same other tenant. */
const sharing = (index: number): string => whereShape(`tenant IN (0, ${-1 - index})`)

export const benchmark: Benchmark = {
  name: "fanout-shapes",
  summary: "one row that belongs to many shapes",
  options: { runs: 3, most: 10_000, transactions: 500 },
  short: { runs: 1, most: 100 },
  run: async (options, say) => {
    const counts = [1, 100, 1000, 10_000, 100_000].filter((count) => count <= option(options, "most"))
    // An entry of a list for each row and shape.
    const transactionsOf = (shapes: number) =>
      Math.ceil(option(options, "transactions") * Math.min(1, 10_000 / shapes))
    const stage = await openStage()
    const { database } = stage
    await createItems(database)
    const marker = await makeMarker(database)
    let service = await stage.start()
    await marker.prepare(service.port)
    const millis = new Map<number, Array<number>>()
    const cpu = new Map<number, Array<number>>()
    const floors = new Map<number, Array<number>>()
    let nextId = 1
    let made = 0
    for (const shapes of counts) {
      await createShapes(service.port, sharing, made, shapes)
      made = shapes
      const transactions = transactionsOf(shapes)
      for (let run = 0; run < option(options, "runs"); run++) {
        const some = async (count: number): Promise<number> => {
          await write(database, { first: nextId, transactions: count, rowsEach: 1, unsynced: true })
          nextId += count
          return count
        }
        const drained = await measureDrain(
          stage,
          marker,
          service,
          () => some(1),
          () => some(transactions)
        )
        service = drained.service
        millis.set(shapes, [...(millis.get(shapes) ?? []), drained.workMillis])
        cpu.set(shapes, [...(cpu.get(shapes) ?? []), drained.cpuMillis])
        floors.set(shapes, [...(floors.get(shapes) ?? []), drained.floorMillis])
        say(
          `${shapes} shapes: ${drained.workMillis.toFixed(0)} ms for ${transactions} rows, floor ${drained.floorMillis.toFixed(0)} ms`
        )
      }
    }
    const all = new Set(Array.from({ length: nextId - 1 }, (_, i) => i + 1))
    const read = await checkShapes(service.port, made, sharing, () => all, 2000)
    await service.stop()

    const oneRow = median(millis.get(1) ?? []) / transactionsOf(1)
    const oneRowCpu = median(cpu.get(1) ?? []) / transactionsOf(1)
    const figures = counts.flatMap((shapes): ReadonlyArray<Figure> => {
      const runs = millis.get(shapes) ?? []
      const transactions = transactionsOf(shapes)
      const time: Figure = {
        what: `${transactions} one-row transactions, each row in ${shapes} ${shapes === 1 ? "shape" : "shapes"}`,
        unit: "ms",
        runs,
        floor: { is: drainFloorName, runs: floors.get(shapes) ?? [] },
        compare: "time"
      }
      if (shapes === 1) return [time]
      const perExtra = (total: number, ofOne: number) =>
        ((total / transactions - ofOne) * 1000) / (shapes - 1)
      return [
        time,
        {
          what: `${shapes} shapes, time per extra shape`,
          unit: "us",
          runs: runs.map((total) => perExtra(total, oneRow)),
          aim: "0.2 us"
        },
        {
          what: `${shapes} shapes, processor time per extra shape`,
          unit: "us",
          runs: (cpu.get(shapes) ?? []).map((total) => perExtra(total, oneRowCpu))
        }
      ]
    })
    return {
      figures,
      plots: [
        {
          name: "fanout-shapes",
          title: "One row that belongs to many shapes",
          x: { label: "shapes", scale: "log" },
          y: { label: "microseconds per row" },
          lines: [
            {
              name: "Baton",
              points: counts.map(
                (shapes) =>
                  [shapes, (median(millis.get(shapes) ?? []) * 1000) / transactionsOf(shapes)] as const
              )
            },
            {
              name: drainFloorName,
              points: counts.map(
                (shapes) =>
                  [shapes, (median(floors.get(shapes) ?? []) * 1000) / transactionsOf(shapes)] as const
              ),
              isReference: true
            }
          ]
        }
      ],
      checked: `${read} rows read back from ${Math.min(made, 2000)} shapes, each row once in each`,
      environment: [
        `${database.description}; shapes \`tenant IN (0, -k)\`, which the filter index finds by their first value`
      ]
    }
  }
}
