import { type Benchmark, type Figure, option, type Options, type Result } from "./support/Benchmark.ts"
import { nowMillis, sleep } from "./support/Clock.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems, itemRows } from "./support/Items.ts"
import { probed, type Service } from "./support/ServiceProcess.ts"
import { newest, type Position, positionOf, shapePath } from "./support/ShapeReader.ts"
import { overConnections, tenantShape } from "./support/ShapeSets.ts"
import { openStage, type Stage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"
import {
  bareWave,
  describeWave,
  emptyWave,
  holdOwn,
  holdWaves,
  type Server,
  serverOf,
  type Told,
  type Wave
} from "./support/Waves.ts"

const pings = 200
/** Tenants from here on have a client each. */
const firstOwn = 1_000_000

const rowMark = (id: number): string => `"value":{"id":"${id}"`

const positionNow = async (port: number) => {
  const connection = await HttpConnection.open(port)
  const position = await newest(connection, "table=items")
  connection.close()
  return position
}

/** The benchmark's own tables, and the service on them. */
class Place {
  readonly description: string
  private readonly stage: Stage
  private readonly session: Awaited<ReturnType<Stage["database"]["session"]>>
  private readonly options: Options
  private id = 0
  private pingId = 0

  private constructor(stage: Stage, session: Place["session"], options: Options) {
    this.description = stage.database.description
    this.stage = stage
    this.session = session
    this.options = options
  }

  static async make(options: Options): Promise<Place> {
    const stage = await openStage({
      ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":1000,"existing":200000}',
      BATON_MAX_CONNECTIONS: "200000",
      ELECTRIC_LONG_POLL_TIMEOUT: "900000",
      BATON_HTTP_WORKERS: String(option(options, "workers"))
    })
    await createItems(stage.database)
    await stage.database.run("CREATE TABLE pings (id bigint PRIMARY KEY)")
    return new Place(stage, await stage.database.session(), options)
  }

  async start(): Promise<{ readonly started: Service; readonly server: Server }> {
    const started = await this.stage.start({ nodeArguments: probed })
    return { started, server: await serverOf(started, option(this.options, "workers")) }
  }

  private readonly insertItem = async (): Promise<number> => {
    this.id++
    await this.session.query(`INSERT INTO items ${itemRows(String(this.id), String(this.id), "1")}`)
    return nowMillis()
  }

  private told(part: Pick<Told, "kind" | "path" | "release">): Told {
    return {
      ...part,
      waves: option(this.options, "waves"),
      perSecond: option(this.options, "perSecond"),
      mark: () => rowMark(this.id + 1)
    }
  }

  /** Clients of the shape of the whole table, which a row is added to again and again. */
  toldOf(kind: Told["kind"], { port }: Server): Told {
    const more = kind === "polls" ? "&live=true&cursor=1" : "&live=true&live_sse=true"
    return this.told({
      kind,
      path: async () => shapePath("table=items", await positionNow(port), more),
      release: this.insertItem
    })
  }

  /** Requests and answers of the same size, of a server that does nothing else. */
  toldByBare(answer: (body: string) => void): Told {
    const position = { handle: "12345678-1234567890123456", offset: "123456789_0" }
    return this.told({
      kind: "polls",
      path: () => Promise.resolve(shapePath("table=items", position, "&live=true&cursor=1")),
      release: () => {
        this.id++
        answer(
          `[{"key":"${"k".repeat(60)}",${rowMark(this.id)},"note":"${"x".repeat(300)}"}},{"headers":{"control":"up-to-date"}}]`
        )
        return Promise.resolve(nowMillis())
      }
    })
  }

  /** How long one idle client waits for a change of its own table. */
  async idleLatency({ port }: Server): Promise<number> {
    const connection = await HttpConnection.open(port)
    let position: Position = await newest(connection, "table=pings")
    const found: Array<number> = []
    for (let i = 0; i < pings; i++) {
      const held = connection.request(shapePath("table=pings", position, "&live=true"))
      await sleep(3 + Math.random() * 6)
      await this.session.query(`INSERT INTO pings VALUES (${this.pingId++})`)
      const committedAt = nowMillis()
      const reply = await held
      found.push(reply.endAt - committedAt)
      position = positionOf(reply)
    }
    connection.close()
    return median(found)
  }

  /** One transaction that has a row for each of many shapes, each of which has a client. */
  async ownRows(server: Server): ReturnType<typeof holdOwn> {
    const clients = option(this.options, "own")
    const paths: Array<string> = []
    await overConnections(server.port, 16, clients, async (connection, i) => {
      const query = tenantShape(firstOwn + i)
      paths[i] = shapePath(query, await newest(connection, query), "&live=true&cursor=1")
    })
    const first = 10_000_000 + this.id
    const marks = paths.map((_, i) => rowMark(first + i))
    return holdOwn(server, paths, marks, async () => {
      await this.session.query(
        `INSERT INTO items SELECT ${first} + g, ${firstOwn} + g, 'Item number ' || g, true, 1, now(), 'a note' ` +
          `FROM generate_series(0, ${clients - 1}) g`
      )
      return nowMillis()
    })
  }
}

/** Everything that is measured. */
interface Found {
  readonly held: ReadonlyArray<Wave>
  readonly bare: ReadonlyArray<Wave>
  readonly sockets: ReadonlyArray<Wave>
  readonly streams: ReadonlyArray<Wave>
  readonly aloneMillis: Array<number>
  readonly besideMillis: Array<number>
  readonly ownLast: Array<number>
  readonly ownCpu: Array<number>
}

const wavesOf = (counts: ReadonlyArray<number>) => counts.map(Math.round).map(emptyWave)

const nothingFound = (options: Options): Found => {
  const most = option(options, "most")
  const streams = option(options, "streams")
  const counts = [most / 3, most]
  return {
    held: wavesOf(counts),
    bare: wavesOf(counts),
    sockets: wavesOf(counts),
    // A stream lives for a minute, in which all of them have to be opened.
    streams: wavesOf([streams / 3, streams]),
    aloneMillis: [],
    besideMillis: [],
    ownLast: [],
    ownCpu: []
  }
}

/** One size, the larger one with what is measured beside it only. */
const measure = async (
  place: Place,
  found: Found,
  size: number,
  say: (line: string) => void,
  hasFloors: boolean
): Promise<void> => {
  const [held, streams, bare, sockets] = [found.held, found.streams, found.bare, found.sockets].map(
    (waves) => waves[size]
  )
  if (held === undefined || streams === undefined || bare === undefined || sockets === undefined) return
  const isLargest = size === found.held.length - 1
  const first = await place.start()
  const alone = await place.idleLatency(first.server)
  const crowd = await holdWaves(first.server, held, place.toldOf("polls", first.server))
  say(describeWave("held", held))
  if (isLargest) {
    found.aloneMillis.push(alone)
    const beside = await place.idleLatency(first.server)
    found.besideMillis.push(beside)
    say(`an idle client: ${alone.toFixed(2)} ms alone, ${beside.toFixed(2)} ms beside ${held.clients}`)
  }
  await crowd.close()
  await first.started.stop()

  const second = await place.start()
  const streaming = await holdWaves(second.server, streams, place.toldOf("events", second.server))
  say(describeWave("event streams", streams))
  await streaming.close()
  if (isLargest) {
    const { cpuMicros, lastMillis } = await place.ownRows(second.server)
    found.ownLast.push(lastMillis)
    found.ownCpu.push(cpuMicros)
    say(`own rows: last ${lastMillis.toFixed(0)} ms, ${cpuMicros.toFixed(0)} us each`)
  }
  await second.started.stop()
  if (!hasFloors) return
  await bareWave("http", bare, (answer) => place.toldByBare(answer))
  say(describeWave("bare Node", bare))
  await bareWave("sockets", sockets, (answer) => place.toldByBare(answer))
  say(describeWave("bare sockets", sockets))
}

const other = (what: string, unit: string, of: Wave, runs: ReadonlyArray<number>): Figure => ({
  what: `${of.clients} ${what}`,
  unit,
  runs
})

const figuresOfSize = (found: Found, size: number, hasFloors: boolean): ReadonlyArray<Figure> => {
  const [wave, streams, bare, sockets] = [found.held, found.streams, found.bare, found.sockets].map(
    (waves) => waves[size] ?? emptyWave(0)
  ) as [Wave, Wave, Wave, Wave]
  const held = (what: string, unit: string, pick: (of: Wave) => ReadonlyArray<number>): Figure => ({
    what: `${wave.clients} held, ${what}`,
    unit,
    runs: pick(wave),
    ...(hasFloors ? { floor: { is: "bare Node", runs: pick(bare) } } : {}),
    compare: "time"
  })
  const memory = "all processes of the service"
  return [
    held("memory each", "bytes", ({ bytesEach }) => bytesEach),
    other(
      `held, ${memory}`,
      "MB",
      wave,
      wave.totalBytes.map((bytes) => bytes / 1e6)
    ),
    held("processor time to hold one", "us", ({ cpuMicrosToHold }) => cpuMicrosToHold),
    other("held, connected", "/s", wave, wave.heldPerSecond),
    held("processor time to answer one", "us", ({ cpuMicrosToAnswer }) => cpuMicrosToAnswer),
    held("to the last of them", "ms", ({ last }) => last),
    ...(hasFloors
      ? [
          other("bare sockets, memory each", "bytes", sockets, sockets.bytesEach),
          other("bare sockets, processor time to answer one", "us", sockets, sockets.cpuMicrosToAnswer)
        ]
      : []),
    other("event streams, memory each", "bytes", streams, streams.bytesEach),
    other(
      `event streams, ${memory}`,
      "MB",
      streams,
      streams.totalBytes.map((bytes) => bytes / 1e6)
    ),
    other("event streams, processor time for a change to one", "us", streams, streams.cpuMicrosToAnswer),
    other("event streams, COMMIT to the last", "ms", streams, streams.last)
  ]
}

const line = (name: string, of: ReadonlyArray<Wave>, isReference: boolean) => ({
  name,
  isReference,
  points: of.map((wave) => [wave.clients, median(wave.totalBytes) / 1e6] as const)
})

const resultOf = (options: Options, found: Found, place: Place): Result => {
  const workers = option(options, "workers")
  const own = option(options, "own")
  return {
    figures: [
      ...found.held.flatMap((_, size) => figuresOfSize(found, size, workers === 0)),
      {
        what: `COMMIT to an idle client, beside ${option(options, "most")} held, p50`,
        unit: "ms",
        runs: found.besideMillis,
        floor: { is: "alone", runs: found.aloneMillis },
        compare: "difference",
        aim: ""
      },
      {
        what: `${own} clients, a row of its own for each in one transaction, to the last`,
        unit: "ms",
        runs: found.ownLast,
        aim: "500 ms for 10,000"
      },
      { what: `${own} clients, processor time for each such row`, unit: "us", runs: found.ownCpu }
    ],
    plots: [
      {
        name: "crowd-memory",
        title: "Memory of the service with clients that wait",
        x: { label: "clients that wait" },
        y: { label: "megabytes" },
        lines: [
          line("long polls", found.held, false),
          line("event streams", found.streams, false),
          ...(workers === 0 ? [line("bare Node", found.bare, true)] : [])
        ]
      }
    ],
    checked: "every client got status 200 and its one new row, once, in every wave",
    environment: [place.description, `${workers} workers`]
  }
}

export const benchmark: Benchmark = {
  name: "crowd",
  summary: "as many live clients as this machine lets a process have, and how memory and time grow with them",
  options: { runs: 1, most: 9000, workers: 0, waves: 3, perSecond: 5000, own: 9000, streams: 4500 },
  short: { runs: 1, most: 1000, waves: 2, own: 500, streams: 500 },
  run: async (options, say) => {
    const place = await Place.make(options)
    const found = nothingFound(options)
    for (let run = 0; run < option(options, "runs"); run++)
      for (const size of found.held.keys())
        await measure(place, found, size, say, option(options, "workers") === 0)
    return resultOf(options, found, place)
  }
}
