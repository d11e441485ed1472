import { setTimeout as sleep } from "node:timers/promises"
import type pg from "pg"
import { freePort } from "../../../src/dev/FreePort.ts"
import type { Random } from "../../../testing/Random.ts"
import { connectForText } from "../../../testing/postgres/RowText.ts"
import { differenceOfRows, type TextRow } from "../../../testing/postgres/Rows.ts"
import { startService, type TestService } from "../../../testing/services/Service.ts"
import { ShapeLogReader } from "../../../testing/readers/ShapeLog.ts"
import {
  type ClauseClass,
  describeShape,
  type OracleShape,
  queryOf,
  randomShape,
  requestOf
} from "./shapes.ts"
import { oracleTables } from "./tables.ts"
import { fillTable, randomTransaction } from "./transactions.ts"

export type Restart = "SIGTERM" | "SIGKILL"

export interface StreamOracleOptions {
  readonly databaseUrl: string
  readonly streamId: string
  readonly storageDir: string
  readonly shapes: number
  readonly transactions: number
  /** One after the other, spread over the run; every shape is compared after each and at the end. */
  readonly restarts: ReadonlyArray<Restart>
  /** What becomes of the database, of its slot or publication, while the service is stopped for the nth time. */
  readonly whileStopped?: (stage: number) => Promise<unknown>
  readonly random: Random
  readonly say: (text: string) => void
}

export interface StreamOracleReport {
  readonly classes: Readonly<Record<ClauseClass | "whole", number>>
  readonly transactions: number
  /** Changes that the shapes were sent, and rows in them at the end. */
  readonly operations: number
  readonly rows: number
  readonly restarts: number
  readonly comparisons: number
  /** What was not as Postgres says; each names its shape. */
  readonly problems: ReadonlyArray<string>
}

interface Followed {
  readonly shape: OracleShape
  readonly reader: ShapeLogReader
  broken: boolean
}

/** Small pieces, so that chunks rotate and logs are tidied up within a short run. */
const settings = {
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "40000",
  ELECTRIC_CLEANUP_INTERVAL_MS: "100ms"
}

/** A table of its own whose rows say that everything before them has gone through the stream. */
const markTable = "oracle_marks"
const concurrentRequests = 6
const deadlineMillis = 60_000

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Runs the work for all items, some of them at a time. */
const forAll = async <A>(items: Iterable<A>, work: (item: A) => Promise<void>): Promise<void> => {
  const rest = Array.from(items)
  await Promise.all(
    Array.from({ length: concurrentRequests }, async () => {
      for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item)
    })
  )
}

/**
 * Random shapes over random transactions and restarts of the real service: whenever all transactions have gone through,
 * the rows of every shape are those that Postgres selects with the very text of its clause; its handle stays over
 * restarts; and nothing was sent for a row that neither entered, left nor changed. Which shapes and which statements
 * come is decided by the seed; when requests and restarts fall between them is not.
 */
export const streamOracle = async (options: StreamOracleOptions): Promise<StreamOracleReport> => {
  const { random, restarts, say } = options
  const shapeRandom = random.fork()
  const readRandom = random.fork()
  const problems: Array<string> = []
  const followed: Array<Followed> = []
  const classes = { whole: 0, indexed: 0, evaluated: 0, postgres: 0 }
  const session = await connectForText(options.databaseUrl)
  // Two writers on tables of their own: their transactions interleave and never wait for each other's rows.
  const writers = await Promise.all(
    [oracleTables.slice(0, 1), oracleTables.slice(1)].map(async (tables) => ({
      tables,
      client: await connectForText(options.databaseUrl),
      random: random.fork()
    }))
  )
  await session.query(`CREATE TABLE ${markTable} (id int PRIMARY KEY)`)
  for (const table of oracleTables) {
    await session.query(table.ddl)
    await fillTable(session, table, random.fork())
  }
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const start = (): Promise<TestService> =>
    startService({
      port,
      storageDir: options.storageDir,
      deadlineMillis,
      env: {
        DATABASE_URL: options.databaseUrl,
        ELECTRIC_REPLICATION_STREAM_ID: options.streamId,
        // What is right is looked at here, not how fast it is on a machine that others use, too.
        BATON_MAX_DECISION_TIME: "20s",
        ...settings
      }
    })
  let service = await start()
  let committed = 0
  let comparisons = 0
  let lastMark = 0

  const blame = (entry: Followed, what: string): void => {
    entry.broken = true
    problems.push(`${describeShape(entry.shape)} (${entry.reader.position.handle}): ${what}`)
  }

  /** Reads on, without waiting for what is not there yet. */
  const readOn = async (entry: Followed): Promise<void> => {
    if (entry.broken) return
    try {
      entry.reader.isUpToDate = false
      await entry.reader.readToEnd()
    } catch (error) {
      blame(entry, messageOf(error))
    }
  }

  const addShapes = async (count: number): Promise<void> => {
    const added = Array.from({ length: count }, (_, i): Followed => {
      const shape = randomShape(shapeRandom, followed.length + i)
      classes[shape.class]++
      const reader = new ShapeLogReader({
        url,
        params: requestOf(shape),
        retryMillis: 20_000,
        changesOnly: true
      })
      return { shape, reader, broken: false }
    })
    await forAll(added, readOn)
    followed.push(...added)
  }

  const write = async (count: number): Promise<void> => {
    await Promise.all(
      writers.map(async ({ client, random: choices, tables }, i) => {
        const own = Math.floor((count + i) / writers.length)
        for (let n = 0; n < own; n++) {
          await randomTransaction(client, tables, choices)
          committed++
        }
      })
    )
  }

  const marks = new ShapeLogReader({ url, params: { table: markTable }, retryMillis: 20_000 })
  const everythingThrough = async (): Promise<void> => {
    const mark = ++lastMark
    await session.query(`INSERT INTO ${markTable} VALUES (${mark})`)
    const key = `"public"."${markTable}"/"${mark}"`
    await marks.followUntil(`mark ${mark}`, () => marks.rows.has(key), deadlineMillis)
  }

  const compare = async (when: string): Promise<void> => {
    await everythingThrough()
    const selected = new Map<Followed, ReadonlyArray<TextRow>>()
    for (const entry of followed) selected.set(entry, await selectRows(session, entry.shape))
    await forAll(selected, async ([entry, expected]) => {
      await readOn(entry)
      if (entry.broken) return
      const differs = differenceOfRows(expected, Array.from(entry.reader.rows.values()))
      if (differs !== undefined) blame(entry, `${when}: ${differs}`)
      comparisons++
    })
    say(
      `${when}: ${committed} transactions, ${followed.length} shapes, ${operationsOf(followed)} operations, ` +
        `${problems.length} problems`
    )
  }

  /** Some followers read, some shapes are new, while transactions go on. */
  const readWhile = async (writing: Promise<void>, newShapes: number): Promise<void> => {
    const state = { writing: true }
    const written = writing.finally(() => (state.writing = false))
    await addShapes(newShapes)
    while (state.writing) {
      await forAll(
        followed.filter(() => readRandom.chance(0.1)),
        readOn
      )
      await sleep(5)
    }
    await written
  }

  try {
    const stages = restarts.length + 1
    const late = Math.floor(options.shapes / 3 / stages)
    const perStage = Math.ceil(options.transactions / stages)
    await addShapes(options.shapes - late * stages)
    await marks.readToEnd()
    for (let stage = 0; stage < stages; stage++) {
      const restart = restarts[stage]
      const before = restart === undefined ? perStage : Math.ceil(perStage / 2)
      await readWhile(write(before), late)
      if (restart !== undefined) {
        const writing = write(perStage - before)
        await service.stop(restart)
        await options.whileStopped?.(stage)
        service = await start()
        await writing
      }
      await compare(restart === undefined ? "at the end" : `after ${restart}`)
    }
  } catch (error) {
    problems.push(`${messageOf(error)}`)
  } finally {
    if (problems.length > 0) say(service.logs().slice(-20_000))
    await service.dispose()
    for (const { client } of writers) await client.end()
    await session.end()
  }
  return {
    classes,
    transactions: committed,
    operations: operationsOf(followed),
    rows: followed.reduce((sum, { reader }) => sum + reader.rows.size, 0),
    restarts: restarts.length,
    comparisons,
    problems
  }
}

const operationsOf = (followed: ReadonlyArray<Followed>): number =>
  followed.reduce((sum, { reader }) => sum + reader.operations.length, 0)

const selectRows = async (session: pg.Client, shape: OracleShape): Promise<ReadonlyArray<TextRow>> => {
  const { rows } = await session.query<Record<string, string | null>>({
    ...queryOf(shape),
    types: { getTypeParser: () => (value: unknown) => value }
  })
  return rows
}
