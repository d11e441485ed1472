import type { ObjectInfo } from "../../src/bucket/ObjectStore.ts"
import { lockKey } from "../../src/lock/LockKey.ts"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { type CountingBucket, countingBucket } from "./support/Buckets.ts"
import { type BucketReader, readBucket } from "./support/BucketReader.ts"
import { eventually, nowMillis } from "./support/Clock.ts"
import type { Database } from "./support/Cluster.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { cpuMillis } from "./support/ProcessFacts.ts"
import { type Service, startService, storageDirectory } from "./support/ServiceProcess.ts"
import { beginning, newest, type Position, shapePath } from "./support/ShapeReader.ts"
import { createShapes, overConnections, tenantShape } from "./support/ShapeSets.ts"
import { type Marker, makeMarker, openStage, slotName, type Stage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

const gigabyte = 1e9

interface Case {
  readonly name: string
  readonly shapes: number
  readonly rowsEach: number
  /** Of the text of a row. */
  readonly rowBytes: number
  /** Objects of the chain, of a row each, that are made after the shapes. */
  readonly objects: number
}

/** A bucket that a service has filled, and what is known of it. */
interface Filled {
  readonly stage: Stage
  readonly bucket: CountingBucket
  readonly known: Position
  readonly rows: number
  readonly storedBytes: number
}

const noShapes: Case = { name: "an empty bucket", shapes: 0, rowsEach: 0, rowBytes: 0, objects: 0 }

/** Single rows, each in an object of its own as far as the service gets there. */
const trickle = async (
  database: Database,
  marker: Marker,
  service: Service,
  bucket: CountingBucket,
  objects: number,
  say: (text: string) => void
): Promise<void> => {
  const session = await database.session()
  let made = 0
  for (let id = 0; made < objects;) {
    for (let i = 0; i < 250; i++)
      await session
        .query(`INSERT INTO items SELECT 1000000000 + ${id} + g, 0, 'late' FROM generate_series(1, 1) g`)
        .then(() => id++)
    made += (await bucket.counts()).create
    if (id % 5000 === 0) say(`${id} rows in ${made} objects`)
  }
  await session.end()
  await marker.arrival(service.port, await marker.commit())
}

const fill = async (one: Case, say: (text: string) => void): Promise<Filled> => {
  const bucket = await countingBucket()
  const stage = await openStage({
    ...bucket.environment,
    BATON_BUCKET_FLUSH: one.objects > 0 ? "1ms" : "250ms"
  })
  const { database } = stage
  await database.run("CREATE TABLE items (id bigint PRIMARY KEY, tenant integer NOT NULL, title text)")
  await database.run("CREATE INDEX ON items (tenant)")
  await database.run(
    `INSERT INTO items SELECT g, g % ${Math.max(1, one.shapes)}, left(repeat(md5(g::text), ${Math.ceil(one.rowBytes / 32)}), ${one.rowBytes})
     FROM generate_series(0, ${one.shapes * one.rowsEach - 1}) g`
  )
  await database.run("VACUUM ANALYZE items")
  const marker = await makeMarker(database)
  const service = await stage.start()
  await marker.prepare(service.port)
  const perSecond = await createShapes(service.port, tenantShape, 0, one.shapes)
  if (one.shapes > 0) say(`${one.name}: ${Math.round(perSecond)} shapes made per second`)
  await trickle(database, marker, service, bucket, one.objects, say)
  const connection = await HttpConnection.open(service.port)
  const known = await newest(connection, one.shapes === 0 ? "table=marker" : tenantShape(0))
  connection.close()
  await database.run("INSERT INTO items VALUES (2000000000, 0, 'the last one')")
  await marker.arrival(service.port, await marker.commit())
  await service.stop()
  const reader = await readBucket(bucket.environment)
  const stored = await reader.all()
  await reader.close()
  const storedBytes = stored.reduce((sum: number, info: ObjectInfo) => sum + info.bytes, 0)
  say(`${one.name}: ${stored.length} objects, ${(storedBytes / gigabyte).toFixed(3)} GB`)
  return { stage, bucket, known, rows: one.shapes * one.rowsEach, storedBytes }
}

interface Started {
  readonly waiting: Array<number>
  readonly floor: Array<number>
  readonly answer: Array<number>
  readonly readMegabytes: Array<number>
  readonly cpu: Array<number>
  readonly all: Array<number>
}

const emptyStarted = (): Started => ({
  waiting: [],
  floor: [],
  answer: [],
  readMegabytes: [],
  cpu: [],
  all: []
})

/** The first answer to a client that lacks one row and asks from the moment at which the process begins. */
const firstAnswer = async (
  port: number,
  began: number,
  parameters: string,
  known: Position
): Promise<number> => {
  const path = shapePath(parameters, known, "&live=true")
  return await eventually("the first live answer", 120_000, 5, async () => {
    let connection: HttpConnection | undefined
    try {
      connection = await HttpConnection.open(port)
      const reply = await connection.request(path)
      if (reply.status !== 200) return undefined
      return nowMillis() - began
    } catch {
      return undefined
    } finally {
      connection?.close()
    }
  })
}

const measureStart = async (
  one: Case,
  { bucket, known, stage }: Filled,
  into: Started,
  delayMillis: number
): Promise<void> => {
  await bucket.delay(delayMillis, delayMillis)
  const reader = await readBucket(bucket.environment)
  into.floor.push(await floorMillis(reader))
  await reader.close()
  await bucket.counts()
  const began = nowMillis()
  const service = await startService({
    databaseUrl: stage.database.url,
    storage: storageDirectory(),
    environment: bucket.environment,
    until: "listening"
  })
  const parameters = one.shapes === 0 ? "table=marker" : tenantShape(0)
  const [waitingAt, answered] = await Promise.all([
    service.awaitHealth("waiting"),
    firstAnswer(service.port, began, parameters, known)
  ])
  into.waiting.push(waitingAt - began)
  into.answer.push(answered)
  into.cpu.push(cpuMillis(service.pid))
  into.readMegabytes.push((await bucket.counts()).readBytes / 1e6)
  const readFrom = nowMillis()
  await overConnections(service.port, 8, one.shapes, async (connection, i) => {
    let bytes = 0
    const reply = await connection.request(shapePath(tenantShape(i), beginning), (piece) => {
      bytes += piece.length
    })
    if (reply.status !== 200 || bytes < one.rowsEach * one.rowBytes)
      throw new Error(`Shape ${i} of ${one.shapes}: status ${reply.status}, ${bytes} bytes.`)
  })
  into.all.push(nowMillis() - readFrom)
  await service.kill()
}

/** What a start asks for, with nothing done about it. */
const floorMillis = async (reader: BucketReader): Promise<number> => {
  const began = nowMillis()
  await reader.readAsAStart()
  return nowMillis() - began
}

const beyond = (runs: ReadonlyArray<number>, of: ReadonlyArray<number>): ReadonlyArray<number> =>
  runs.map((millis) => Math.max(0, millis - median(of)))

const figuresOf = (one: Case, started: Started, filled: Filled, base: Started): ReadonlyArray<Figure> => {
  const floor = { is: "the same objects alone", runs: started.floor }
  const first: ReadonlyArray<Figure> = [
    {
      what: `${one.name}, start of the process to \`waiting\``,
      unit: "ms",
      runs: started.waiting,
      floor,
      compare: "difference",
      ...(one.shapes >= 10_000 ? { aim: "10 s" } : {})
    },
    { what: `${one.name}, processor time until then`, unit: "ms", runs: started.cpu }
  ]
  if (one === noShapes) return first
  return [
    ...first,
    {
      what: `${one.name}, first live answer, beyond a start with an empty bucket`,
      unit: "ms",
      runs: beyond(started.answer, base.answer),
      floor,
      compare: "difference",
      aim: "floor +1 s"
    },
    {
      what: `${one.name}, read from the bucket until then`,
      unit: "MB",
      runs: started.readMegabytes,
      floor: { is: "in the bucket", runs: [filled.storedBytes / 1e6] },
      compare: "time"
    },
    ...(one.shapes > 1
      ? [
          {
            what: `${one.name}, all ${one.shapes} read after that`,
            unit: "shapes/s",
            runs: started.all.map((millis) => one.shapes / (millis / 1000))
          }
        ]
      : [])
  ]
}

export const benchmark: Benchmark = {
  name: "bucket-start",
  summary: "start from nothing but a bucket",
  options: { runs: 3, shapes: 10_000, megabytes: 1000, objects: 20_000, delay: 20 },
  short: { runs: 1, shapes: 500, megabytes: 50, objects: 500, delay: 20 },
  run: async (options, say) => {
    const delay = option(options, "delay")
    const shapes = option(options, "shapes")
    const megabytes = option(options, "megabytes")
    const objects = option(options, "objects")
    const large = Math.max(1, Math.round(megabytes / 2))
    const cases = [
      noShapes,
      { name: `${shapes} shapes`, shapes, rowsEach: 3, rowBytes: 200, objects: 0 },
      { name: `${megabytes} MB of shapes`, shapes: large, rowsEach: 100, rowBytes: 20_000, objects: 0 },
      { name: `${objects} small objects`, shapes: 1, rowsEach: 1, rowBytes: 100, objects }
    ].filter((one) => one === noShapes || (one.shapes > 0 && !one.name.startsWith("0 ")))
    const base = emptyStarted()
    const figures: Array<Figure> = []
    let description = ""
    for (const one of cases) {
      const filled = await fill(one, say)
      const { database } = filled.stage
      description = database.description
      // Somebody else holds the lock, so a start ends in `waiting`.
      const holder = await database.session()
      await holder.query(`SELECT pg_advisory_lock(${lockKey(slotName)})`)
      const started = one === noShapes ? base : emptyStarted()
      for (let run = 0; run < option(options, "runs"); run++) {
        await measureStart(one, filled, started, delay)
        say(
          `${one.name}: waiting after ${started.waiting.at(-1)?.toFixed(0)} ms, first answer after ${started.answer.at(-1)?.toFixed(0)} ms; ` +
            `GETs alone ${started.floor.at(-1)?.toFixed(0)} ms; ${started.readMegabytes.at(-1)?.toFixed(1)} MB read; ` +
            `${started.cpu.at(-1)?.toFixed(0)} ms of processor time`
        )
      }
      figures.push(...figuresOf(one, started, filled, base))
      await database.stop()
      await filled.bucket.stop()
    }
    return {
      figures,
      checked:
        "the client that asked first was given the row that it lacked; afterwards every shape was read whole from the waiting instance",
      environment: [
        description,
        `each request to the bucket takes ${delay} ms more; the local directory is empty`
      ]
    }
  }
}
