import type { Client } from "pg"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { countingBucket } from "./support/Buckets.ts"
import { nowMillis, sleep } from "./support/Clock.ts"
import { type Database, insertLsn } from "./support/Cluster.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, itemRows, write } from "./support/Items.ts"
import { createSlot, dropSlot, readSlot, type SlotReader } from "./support/RawPostgres.ts"
import {
  beginning,
  type Change,
  ExactlyOnce,
  newest,
  type Position,
  positionOf,
  readChanges,
  shapePath
} from "./support/ShapeReader.ts"
import { frozen, makeMarker, openStage, publicationName } from "./support/Stage.ts"
import { median, percentile } from "./support/Statistics.ts"

const pings = "table=pings"
const floorSlot = "bench_floor"

/** Commits one row; gives the moment at which the server said so. */
const makeCommit = (session: Client, table: string) => {
  let id = 0
  const text = `INSERT INTO ${table} ${itemRows("$1::bigint", "$1::bigint", "1")}`
  return {
    count: () => id,
    next: (): Promise<{ readonly id: number; readonly committedAt: number }> =>
      new Promise((resolve, reject) => {
        const own = ++id
        session.query({ name: "ping", text, values: [own] }, (error: Error | null) => {
          if (error instanceof Error) reject(error)
          else resolve({ id: own, committedAt: nowMillis() })
        })
      })
  }
}

type Commit = ReturnType<typeof makeCommit>

/** So that a commit does not always meet the same moment of anything periodic. */
const pause = () => sleep(3 + Math.random() * 6)

const idsIn = (body: string): ReadonlyArray<number> =>
  [...body.matchAll(/"value":\{"id":"(\d+)"/g)].map((match) => Number(match[1]))

const throughLongPoll = async (
  port: number,
  commit: Commit,
  changes: number
): Promise<ReadonlyArray<number>> => {
  const connection = await HttpConnection.open(port)
  const latencies: Array<number> = []
  let position: Position = await newest(connection, pings)
  for (let i = 0; i < changes; i++) {
    const held = connection.request(shapePath(pings, position, "&live=true"))
    await pause()
    const { id, committedAt } = await commit.next()
    const reply = await held
    const ids = idsIn(reply.body.toString())
    if (ids.length !== 1 || ids[0] !== id)
      throw new Error(`Waited for row ${id}, and ${ids.join(", ")} came.`)
    latencies.push(reply.endAt - committedAt)
    position = positionOf(reply)
  }
  connection.close()
  return latencies
}

const throughEvents = async (
  port: number,
  commit: Commit,
  changes: number
): Promise<ReadonlyArray<number>> => {
  const latencies: Array<number> = []
  let done = 0
  while (done < changes) {
    // A stream ends after a minute; the shape is silent whenever one is opened.
    const connection = await HttpConnection.open(port)
    const position = await newest(connection, pings)
    let arrived: ((id: number, at: number) => void) | undefined
    const headers = Promise.withResolvers<void>()
    const ended = connection
      .request(
        shapePath(pings, position, "&live=true&live_sse=true"),
        (piece) => {
          const at = nowMillis()
          for (const id of idsIn(piece.toString())) arrived?.(id, at)
        },
        { onHead: () => headers.resolve() }
      )
      .then((reply): never => {
        throw new Error(`The event stream ended early, with status ${reply.status}.`)
      })
    await Promise.race([headers.promise, ended])
    const until = nowMillis() + 50_000
    while (done < changes && nowMillis() < until) {
      await pause()
      const message = new Promise<{ readonly id: number; readonly at: number }>((resolve) => {
        arrived = (id, at) => resolve({ id, at })
      })
      const { id, committedAt } = await commit.next()
      const got = await Promise.race([message, ended])
      if (got.id !== id) throw new Error(`Waited for row ${id}, and ${got.id} came.`)
      latencies.push(got.at - committedAt)
      done++
    }
    connection.close()
  }
  return latencies
}

const throughWalsender = async (
  reader: SlotReader,
  table: number,
  commit: Commit,
  changes: number
): Promise<ReadonlyArray<number>> => {
  const latencies: Array<number> = []
  for (let i = 0; i < changes; i++) {
    await pause()
    const message = new Promise<number>((resolve) => {
      reader.onCommit((at, oid) => {
        if (oid === table) resolve(at)
      })
    })
    const { committedAt } = await commit.next()
    latencies.push((await message) - committedAt)
  }
  reader.onCommit(undefined)
  return latencies
}

/** Writes to another table, which has a shape of its own, until stopped; gives rows and rate. */
const startLoad = (database: Database, first: number, rowsPerSecond: number, seconds: number) => {
  const transactions = Math.ceil((rowsPerSecond / 10) * seconds)
  const began = nowMillis()
  const finished = write(database, {
    table: "items",
    first,
    transactions,
    rowsEach: 10,
    pauseMillis: 10_000 / rowsPerSecond
  }).then(() => (transactions * 10) / ((nowMillis() - began) / 1000))
  return { rows: transactions * 10, finished }
}

const ways = ["long-poll", "SSE", "floor"] as const
const percentiles = [
  ["p50", 0.5, "+1 ms"],
  ["p95", 0.95, undefined],
  ["p99", 0.99, "+5 ms"]
] as const

export const benchmark: Benchmark = {
  name: "latency",
  summary: "from COMMIT returned to the message at a live client",
  // With a bucket, that takes `delay` ms for each object, when `bucket` is 1.
  options: { runs: 3, changes: 400, load: 5000, bucket: 0, delay: 100 },
  short: { runs: 1, changes: 100, load: 5000, bucket: 0, delay: 100 },
  run: async (options, say) => {
    const runs = option(options, "runs")
    const changes = option(options, "changes")
    const load = option(options, "load")
    const bucket = option(options, "bucket") === 1 ? await countingBucket() : undefined
    await bucket?.delay(option(options, "delay"))
    const { database, start } = await openStage(bucket?.environment)
    await createItems(database, "pings")
    await createItems(database, "items")
    const marker = await makeMarker(database)
    const service = await start()
    await marker.prepare(service.port)
    const creating = await HttpConnection.open(service.port)
    await newest(creating, pings)
    await newest(creating, "table=items")
    creating.close()
    await createSlot(database, floorSlot)
    const [table] = await database.run("SELECT 'pings'::regclass::oid::integer AS oid")
    const tableOid = Number(table?.["oid"])
    const commit = makeCommit(await database.session(), "pings")
    let loadRows = 0
    const loadRates: Array<number> = []

    const measured = new Map<string, Array<ReadonlyArray<number>>>()
    const measure = async (background: number) => {
      for (const way of ways) {
        const seconds = (changes * 10) / 1000 + 2
        const work = background === 0 ? undefined : startLoad(database, loadRows + 1, background, seconds)
        loadRows += work?.rows ?? 0
        if (work !== undefined) await sleep(500)
        let latencies: ReadonlyArray<number>
        if (way === "floor") {
          const reader = await readSlot(database, floorSlot, publicationName)
          await reader.reached(await insertLsn(database))
          latencies = await frozen(service, () => throughWalsender(reader, tableOid, commit, changes))
          await reader.close()
        } else {
          const through = way === "SSE" ? throughEvents : throughLongPoll
          latencies = await through(service.port, commit, changes)
        }
        if (work !== undefined) loadRates.push(await work.finished)
        const name = `${background} ${way}`
        measured.set(name, [...(measured.get(name) ?? []), latencies])
        say(
          `${way}, load ${background}/s: p50 ${percentile(latencies, 0.5).toFixed(2)} ms, p99 ${percentile(latencies, 0.99).toFixed(2)} ms`
        )
        await marker.arrival(service.port, await marker.commit())
      }
    }
    const loads = load === 0 ? [0] : [0, load]
    await throughLongPoll(service.port, commit, 50) // warm-up
    for (let run = 0; run < runs; run++) for (const background of loads) await measure(background)

    const connection = await HttpConnection.open(service.port)
    for (const [parameters, rows] of [
      [pings, commit.count()],
      ["table=items", loadRows]
    ] as const) {
      const check = new ExactlyOnce(1, rows)
      await readChanges(connection, parameters, beginning, (change: Change) => check.take(change))
      check.finish(rows)
    }
    connection.close()
    await service.stop()
    await dropSlot(database, floorSlot)

    const figures: Array<Figure> = loads.flatMap((background) =>
      (["long-poll", "SSE"] as const).flatMap((way) =>
        percentiles.map(([label, p, aim]): Figure => {
          const of = (name: string) =>
            (measured.get(`${background} ${name}`) ?? []).map((run) => percentile(run, p))
          return {
            what: `${way}, ${background === 0 ? "idle" : `${background} changes/s beside it`}, ${label}`,
            unit: "ms",
            runs: of(way),
            floor: { is: "walsender", runs: of("floor") },
            compare: "difference",
            ...(aim === undefined ? {} : { aim: `floor ${aim}` })
          }
        })
      )
    )
    return {
      figures,
      checked: `each change came alone and in time; at the end both logs hold all ${commit.count() + loadRows} rows exactly once`,
      environment: [
        database.description,
        ...(bucket === undefined
          ? []
          : [`With a bucket that takes ${option(options, "delay")} ms for each object`]),
        ...(loadRates.length === 0
          ? []
          : [
              `Background load: ${Math.round(median(loadRates))} changes/s in transactions of 10 rows, to a shape of its own`
            ])
      ]
    }
  }
}
