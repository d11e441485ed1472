import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { measureDrain } from "./support/Drain.ts"
import { createItems, write } from "./support/Items.ts"
import { checkShapes, createShapes, whereShape } from "./support/ShapeSets.ts"
import { makeMarker, openStage, type Marker } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

interface Clause {
  readonly name: string
  readonly sql: (index: number) => string
  /** The same in JavaScript. */
  readonly matches: (index: number, id: number) => boolean
}

const amountCents = (id: number): number => id % 100_000

const clauses: ReadonlyArray<Clause> = [
  {
    name: "title ILIKE '%number k%'",
    sql: (k) => `title ILIKE '%NUMBER ${k}%'`,
    matches: (k, id) => String(id).startsWith(String(k))
  },
  {
    name: "arithmetic",
    sql: (k) => `(id + ${k}) % 100003 = 0`,
    matches: (k, id) => (id + k) % 100_003 === 0
  },
  {
    name: "OR of both",
    sql: (k) => `title ILIKE '%NUMBER ${k}%' OR amount * 100 + ${k} = 77`,
    matches: (k, id) => String(id).startsWith(String(k)) || amountCents(id) + k === 77
  }
]

/** Rows per transaction and run: ten million evaluations, so that they are what takes the time. */
const rowsFor = (shapes: number): number => Math.min(50_000, Math.round(10_000_000 / shapes))

export const benchmark: Benchmark = {
  name: "filter",
  summary: "conditions that cannot be looked up and are evaluated for every row",
  options: { runs: 3, most: 10_000, clause: 0 },
  short: { runs: 1, most: 1000, clause: 0 },
  run: async (options, say) => {
    const counts = [10, 1000, 10_000].filter((count) => count <= option(options, "most"))
    const runs = option(options, "runs")
    const figures: Array<Figure> = []
    let read = 0
    let description = ""
    const only = option(options, "clause")
    for (const clause of clauses.filter((_, i) => only === 0 || only === i + 1)) {
      const stage = await openStage()
      const { database } = stage
      description = database.description
      const marker: Marker = await makeMarker(database)
      let service = await stage.start()
      await marker.prepare(service.port)
      let nextId = 1
      const drain = async (table: string, rows: number) => {
        const some = async (rowsEach: number): Promise<number> => {
          await write(database, { table, first: nextId, transactions: 1, rowsEach, unsynced: true })
          nextId += rowsEach
          return rowsEach
        }
        const drained = await measureDrain(
          stage,
          marker,
          service,
          () => some(1),
          () => some(rows)
        )
        service = drained.service
        return drained
      }
      await createItems(database)
      await createShapes(service.port, () => "table=items", 0, 1)
      for (const shapes of counts) {
        // A table each, so that shapes are made while it is empty, and only theirs are evaluated.
        const table = `items_${shapes}`
        await createItems(database, table)
        const parameters = (index: number) => whereShape(clause.sql(index + 1), table)
        await createShapes(service.port, parameters, 0, shapes)
        const rows = rowsFor(shapes)
        const rates: Array<number> = []
        const cpuNanos: Array<number> = []
        const times: Array<number> = []
        const base: Array<number> = []
        const ids: Array<number> = []
        for (let run = 0; run < runs; run++) {
          base.push((await drain("items", rows)).workMillis)
          ids.push(...Array.from({ length: rows + 1 }, (_, i) => nextId + i))
          const drained = await drain(table, rows)
          times.push(drained.workMillis)
          rates.push((rows * shapes) / (drained.workMillis / 1000))
          cpuNanos.push((drained.cpuMillis * 1e6) / (rows * shapes))
        }
        say(`${shapes} shapes ${clause.name}: ${Math.round(median(rates))} evaluations/s`)
        figures.push(
          {
            what: `${shapes} shapes ${clause.name}, evaluations`,
            unit: "/s",
            runs: rates,
            ...(shapes >= 1000 ? { aim: "3,000,000/s" } : {})
          },
          { what: `${shapes} shapes ${clause.name}, processor time`, unit: "ns/evaluation", runs: cpuNanos },
          {
            what: `${shapes} shapes ${clause.name}, ${rows} rows`,
            unit: "ms",
            runs: times,
            floor: { is: "1 shape of the whole table", runs: base },
            compare: "time"
          }
        )
        read += await checkShapes(
          service.port,
          shapes,
          parameters,
          (index) => new Set(ids.filter((id) => clause.matches(index + 1, id))),
          200
        )
      }
      await service.stop()
      await database.stop()
    }
    return {
      figures,
      checked: `200 shapes of each kind hold exactly the rows that the condition is true for (${read} rows)`,
      environment: [description]
    }
  }
}
