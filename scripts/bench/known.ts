import { setTimeout as pause } from "node:timers/promises"
import { lockKey } from "../../src/lock/LockKey.ts"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { nowMillis } from "./support/Clock.ts"
import { quiet } from "./support/HeldRequests.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import {
  createKnown,
  definitionOf,
  type KnownKind,
  knownKinds,
  modelsBegin,
  shapeOfRow
} from "./support/KnownKinds.ts"
import { cpuMillis, rssBytes } from "./support/ProcessFacts.ts"
import { probed, type Service } from "./support/ServiceProcess.ts"
import { beginning, newest, readChanges, shapePath } from "./support/ShapeReader.ts"
import { overConnections, whereShape } from "./support/ShapeSets.ts"
import { frozen, makeMarker, type Marker, openStage, slotName, type Stage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"
import { closeEngine, openEngine, writeShapes } from "./support/WrittenShapes.ts"

const rowsEach = 10

/** What one number of shapes takes. */
interface Measured {
  readonly shapes: number
  readonly startMillis: number
  readonly takeoverMillis: number
  readonly rss: number
  readonly heap: number
  readonly external: number
  /** Of requests to shapes that nobody has read, in order. */
  readonly wakeMillis: ReadonlyArray<number>
  readonly rssRead: number
  /** Rows per second, and processor time for each, of rows of the few shapes, of those that are read, and of all. */
  readonly few: ReadonlyArray<Rate>
  readonly read: ReadonlyArray<Rate>
  readonly all: ReadonlyArray<Rate>
}

interface Rate {
  readonly perSecond: number
  readonly cpuMicros: number
}

const parametersOf = (kind: KnownKind, k: number): string => whereShape(kind.where(k), "known")

/** Storage with these shapes: one of each form is made by a request, the others are written as the service writes them. */
const fillStorage = async (stage: Stage, marker: Marker, kind: KnownKind, shapes: number): Promise<void> => {
  const first = await stage.start()
  await marker.prepare(first.port)
  const connection = await HttpConnection.open(first.port)
  for (let form = 0; form < kind.forms; form++)
    await newest(connection, parametersOf(kind, modelsBegin + form))
  connection.close()
  await first.stop()
  const engine = await openEngine(stage.storage)
  const made = [...engine.store.all()].filter(({ definition }) => definition.where !== undefined)
  const [model] = made
  if (model === undefined || made.length !== kind.forms) throw new Error("The first shapes are gone.")
  const models = made.toSorted((a, b) => a.id - b.id).map(({ definition }) => definition)
  await writeShapes(engine, model, shapes, (k) => definitionOf(kind, models, k))
  await closeEngine(engine, true)
}

class Run {
  private readonly stage: Stage
  private readonly marker: Marker
  private readonly kind: KnownKind
  private readonly shapes: number
  private readonly written: Array<{
    readonly first: number
    readonly rows: number
    readonly shapes: number
  }> = []
  private nextId = 1

  constructor(stage: Stage, marker: Marker, kind: KnownKind, shapes: number) {
    this.stage = stage
    this.marker = marker
    this.kind = kind
    this.shapes = shapes
  }

  /** Rows that wait in the slot are worked off: the service stands still while they are written. */
  async rate(service: Service, rows: number, shapes: number): Promise<Rate> {
    const first = this.nextId
    this.nextId += rows
    this.written.push({ first, rows, shapes })
    const lsn = await frozen(service, async () => {
      const session = await this.stage.database.session()
      await session.query("SET synchronous_commit = off")
      await session.query(`CALL write_known(${first}, ${rows / rowsEach}, ${rowsEach}, ${shapes})`)
      await session.end()
      return this.marker.commit()
    })
    const cpuBefore = cpuMillis(service.pid)
    const began = nowMillis()
    const { durableAt, readableAt } = await this.marker.arrival(service.port, lsn, 15)
    return {
      perSecond: (rows * 1000) / (Math.max(durableAt, readableAt) - began),
      cpuMicros: ((cpuMillis(service.pid) - cpuBefore) * 1000) / rows
    }
  }

  /** How long requests take of shapes that nobody has read. */
  async wake(service: Service, count: number): Promise<ReadonlyArray<number>> {
    const found: Array<number> = []
    await overConnections(service.port, 1, count, async (connection, i) => {
      const path = shapePath(parametersOf(this.kind, this.known(i, count)), beginning)
      const began = nowMillis()
      const reply = await connection.request(path)
      found.push(reply.endAt - began)
      if (reply.status !== 200)
        throw new Error(`Status ${reply.status}: ${reply.body.toString().slice(0, 300)}`)
      // Handles of shapes that were written, and not made by this request.
      if (!/^\d+-1000\d{9}$/.test(reply.headers.get("electric-handle") ?? ""))
        throw new Error(`Shape ${this.known(i, count)} was not known.`)
    })
    return found.toSorted((a, b) => a - b)
  }

  /** Number `i` of `count` shapes that are spread over all. */
  private known(i: number, count: number): number {
    return count >= this.shapes ? i % this.shapes : Math.floor((i * this.shapes) / count)
  }

  /** That shapes have their rows, once each and no others: some of the first, and some that are spread over all. */
  async check(service: Service, count: number): Promise<number> {
    const checked = Array.from({ length: count }, (_, i) => (i % 2 === 0 ? this.known(i, count) : i))
    const expected = new Map(checked.map((k) => [k, new Set<number>()]))
    for (const { first, rows, shapes } of this.written)
      for (let id = first; id < first + rows; id++) expected.get(shapeOfRow(id, shapes))?.add(id)
    let total = 0
    await overConnections(service.port, 4, count, async (connection, i) => {
      const k = checked[i] ?? 0
      const left = new Set(expected.get(k))
      await readChanges(connection, parametersOf(this.kind, k), beginning, ({ headers, value }) => {
        total++
        if (headers.operation !== "insert" || !left.delete(Number(value?.["id"])))
          throw new Error(`Shape ${k} was given row ${value?.["id"]}.`)
      })
      if (left.size > 0) throw new Error(`Shape ${k} lacks ${left.size} rows.`)
    })
    return total
  }
}

interface Sizes {
  readonly few: number
  readonly rows: number
  readonly read: number
  readonly rounds: number
}

const measure = async (
  kind: KnownKind,
  shapes: number,
  { few, read, rounds, rows }: Sizes,
  say: (line: string) => void
): Promise<Measured> => {
  const stage = await openStage()
  const { database } = stage
  await createKnown(database, kind)
  const marker = await makeMarker(database)
  const began = nowMillis()
  await fillStorage(stage, marker, kind, shapes)
  say(`${kind.name}: ${shapes} shapes written in ${((nowMillis() - began) / 1000).toFixed(1)} s`)

  const holder = await database.session()
  await holder.query(`SELECT pg_advisory_lock(${lockKey(slotName)})`)
  const service = await stage.start({ until: "waiting", nodeArguments: probed })
  await quiet(service.pid)
  const released = nowMillis()
  await holder.end()
  await marker.arrival(service.port, await marker.commit())
  const takeoverMillis = nowMillis() - released
  const run = new Run(stage, marker, kind, shapes)
  // The first rows of a table find its conditions indexed, or not yet.
  await run.rate(service, 100, few)
  await quiet(service.pid)
  const { external, heapUsed } = await service.collectGarbage()
  await pause(500)
  const rss = rssBytes(service.pid)
  // What parses conditions is loaded with the first one that is asked for.
  const connection = await HttpConnection.open(service.port)
  await newest(connection, parametersOf(kind, modelsBegin))
  connection.close()
  const wakeMillis = await run.wake(service, Math.min(read, shapes))
  await service.collectGarbage()
  const rssRead = rssBytes(service.pid)
  const rates = async (of: number) => {
    const found: Array<Rate> = []
    for (let round = 0; round < rounds; round++) found.push(await run.rate(service, rows, of))
    return found
  }
  const measured = {
    shapes,
    startMillis: service.startMillis,
    takeoverMillis,
    rss,
    heap: heapUsed,
    external,
    wakeMillis,
    rssRead,
    few: await rates(Math.min(few, shapes)),
    read: await rates(Math.min(read, shapes)),
    all: await rates(shapes)
  }
  const rowsRead = await run.check(service, Math.min(shapes, 300))
  say(
    `${kind.name}, ${shapes} shapes: waiting after ${service.startMillis.toFixed(0)} ms, active ${takeoverMillis.toFixed(0)} ms after the lock, ` +
      `RSS ${(rss / 1e6).toFixed(0)} MB (heap ${(heapUsed / 1e6).toFixed(0)}, outside ${(external / 1e6).toFixed(0)}), ${(rssRead / 1e6).toFixed(0)} MB with ${wakeMillis.length} read, ` +
      `wake ${shown(quantile(wakeMillis, 0.5))} / ${shown(quantile(wakeMillis, 0.99))} / ${shown(wakeMillis.at(-1) ?? 0)} ms, ` +
      `rows/s (us) ${[measured.few, measured.read, measured.all].map((some) => some.map(({ cpuMicros, perSecond }) => `${Math.round(perSecond)} (${cpuMicros.toFixed(1)})`).join(" ")).join(" | ")}; ${rowsRead} rows read back`
  )
  await service.stop()
  await database.stop()
  return measured
}

const shown = (millis: number): string => millis.toFixed(2)
const quantile = (sorted: ReadonlyArray<number>, at: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN

const figuresOf = (
  kind: KnownKind,
  few: ReadonlyArray<Measured>,
  many: ReadonlyArray<Measured>
): ReadonlyArray<Figure> => {
  const [{ shapes = 0, wakeMillis = [] } = {}] = many
  const what = `${shapes} shapes ${kind.name}`
  const base = few[0]
  if (base === undefined) return []
  const each = (pick: (one: Measured) => number) =>
    many.map((one) => (pick(one) - pick(base)) / (one.shapes - base.shapes))
  const rate = (of: string, pick: (one: Measured) => ReadonlyArray<Rate>): ReadonlyArray<Figure> => [
    {
      what: `${what}, rows of ${of}`,
      unit: "rows/s",
      runs: many.flatMap(pick).map(({ perSecond }) => perSecond),
      floor: { is: `with ${base.shapes} shapes`, runs: few.flatMap(pick).map(({ perSecond }) => perSecond) },
      compare: "rate",
      aim: "80 %"
    },
    {
      what: `${what}, rows of ${of}: processor time`,
      unit: "us/row",
      runs: many.flatMap(pick).map(({ cpuMicros }) => cpuMicros),
      floor: { is: `with ${base.shapes} shapes`, runs: few.flatMap(pick).map(({ cpuMicros }) => cpuMicros) },
      compare: "time"
    }
  ]
  return [
    {
      what: `${what}, start to \`waiting\``,
      unit: "ms",
      runs: many.map(({ startMillis }) => startMillis),
      aim: "5,000 ms"
    },
    {
      what: `${what}, from the lock to active`,
      unit: "ms",
      runs: many.map(({ takeoverMillis }) => takeoverMillis)
    },
    { what: `${what}, RSS`, unit: "MB", runs: many.map(({ rss }) => rss / 1e6) },
    { what: `${what}, RSS each`, unit: "bytes", runs: each(({ rss }) => rss), aim: "1,500 bytes" },
    { what: `${what}, heap each`, unit: "bytes", runs: each(({ heap }) => heap) },
    { what: `${what}, outside of the heap each`, unit: "bytes", runs: each(({ external }) => external) },
    {
      what: `${what}, ${wakeMillis.length} of them read, RSS`,
      unit: "MB",
      runs: many.map(({ rssRead }) => rssRead / 1e6)
    },
    {
      what: `${what}, first request of a dormant one, p50`,
      unit: "ms",
      runs: many.map((one) => quantile(one.wakeMillis, 0.5))
    },
    {
      what: `${what}, first request of a dormant one, p99`,
      unit: "ms",
      runs: many.map((one) => quantile(one.wakeMillis, 0.99)),
      aim: "10 ms"
    },
    ...rate(`${base.shapes} shapes`, (one) => one.few),
    ...rate(`${wakeMillis.length} shapes that are read`, (one) => one.read),
    ...rate("all shapes", (one) => one.all)
  ]
}

export const benchmark: Benchmark = {
  name: "known",
  summary: "very many shapes that are known, of which few are read, by the kind of their condition",
  options: { runs: 1, few: 1000, many: 1_000_000, read: 10_000, rows: 400_000, rounds: 3, kind: 0 },
  short: { runs: 1, few: 100, many: 5000, read: 500, rows: 10_000, rounds: 1 },
  run: async (options, say) => {
    const only = option(options, "kind")
    const kinds = knownKinds.filter((_, i) => only === 0 || only === i + 1)
    const sizes = {
      few: option(options, "few"),
      rows: option(options, "rows"),
      read: option(options, "read"),
      rounds: option(options, "rounds")
    }
    const figures: Array<Figure> = []
    const lines: Array<{ readonly name: string; readonly points: ReadonlyArray<readonly [number, number]> }> =
      []
    for (const kind of kinds) {
      const few: Array<Measured> = []
      const many: Array<Measured> = []
      for (let run = 0; run < option(options, "runs"); run++) {
        few.push(await measure(kind, sizes.few, sizes, say))
        many.push(await measure(kind, option(options, "many"), sizes, say))
      }
      figures.push(...figuresOf(kind, few, many))
      lines.push({
        name: kind.name.replaceAll("`", ""),
        points: [few, many].map(
          (some) => [some[0]?.shapes ?? 0, median(some.map(({ rss }) => rss / 1e6))] as const
        )
      })
    }
    return {
      figures,
      plots: [
        {
          name: "known-memory",
          title: "Memory by number of shapes that are known",
          x: { label: "shapes" },
          y: { label: "RSS after a garbage collection, MB" },
          lines
        }
      ],
      checked:
        "every shape that was asked for was known, and 300 of each kind had the rows that their condition is true for, once each",
      environment: [
        `transactions of ${rowsEach} rows, written while the service stood still; shapes written to storage as the service writes them`
      ]
    }
  }
}
