import { setTimeout as sleep } from "node:timers/promises"
import { freePort } from "../../../src/dev/FreePort.ts"
import { patient } from "../../../testing/Load.ts"
import type { Random } from "../../../testing/Random.ts"
import { connectForText } from "../../../testing/postgres/RowText.ts"
import { differenceOfRows, type TextRow } from "../../../testing/postgres/Rows.ts"
import { startService, type TestService } from "../../../testing/services/Service.ts"
import { ShapeLogReader } from "../../../testing/readers/ShapeLog.ts"
import { type MemberShape, randomMemberShape } from "./memberClauses.ts"
import { changeSomething, fillTables, memberTables } from "./memberTables.ts"

/** `handover`: a waiting instance takes over from one that is told to stop. */
export type Interruption = "SIGTERM" | "SIGKILL" | "handover"

export interface MemberOracleOptions {
  readonly databaseUrl: string
  readonly streamId: string
  readonly storageDir: string
  readonly shapes: number
  readonly transactions: number
  readonly interruptions: ReadonlyArray<Interruption>
  readonly random: Random
  readonly say: (text: string) => void
  /** For the service, beside what is always set. */
  readonly env?: Readonly<Record<string, string>>
  /** Every condition goes through rows of its sub-selects. */
  readonly onlyLoops?: boolean
  /** Instead of random ones. */
  readonly given?: ReadonlyArray<MemberShape>
}

export interface MemberOracleReport {
  readonly transactions: number
  readonly operations: number
  readonly rows: number
  /** Shapes compared with Postgres as of one transaction, and at rest. */
  readonly comparisons: number
  readonly problems: ReadonlyArray<string>
}

/** What Postgres selected right after a transaction, before the next one: see `textOf`. */
interface Point {
  readonly lsn: bigint
  readonly rows: string
}

interface Followed {
  readonly shape: MemberShape
  readonly reader: ShapeLogReader
  /** Rows and operations when it was up to date for the first time. */
  base: { readonly rows: ReadonlyMap<string, TextRow>; readonly operations: number } | undefined
  points: Array<Point>
  broken: boolean
}

const settings = {
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "40000",
  ELECTRIC_CLEANUP_INTERVAL_MS: "100ms",
  BATON_MAX_DECISION_TIME: "20s"
}
const concurrentRequests = 6
const writers = 3
const deadlineMillis = 60_000

const describe = ({ replica, table, where }: MemberShape): string => `${table} (${replica}) WHERE ${where}`
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const forAll = async <A>(items: Iterable<A>, work: (item: A) => Promise<void>): Promise<void> => {
  const rest = Array.from(items)
  await Promise.all(
    Array.from({ length: concurrentRequests }, async () => {
      for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item)
    })
  )
}

/**
 * Random shapes whose conditions have sub-selects, over random changes of all tables that they look at, while instances are
 * stopped, killed and relieved. After a transaction that was alone, and at every rest, the rows of a shape are those that
 * Postgres selects with its very text; handles stay; no row comes twice, and none goes that was not there.
 */
export const memberOracle = async (options: MemberOracleOptions): Promise<MemberOracleReport> => {
  const { random, say } = options
  const shapeRandom = random.fork()
  const problems: Array<string> = []
  const followed: Array<Followed> = []
  const session = await connectForText(options.databaseUrl)
  const clients = await Promise.all(
    Array.from({ length: writers }, async () => ({
      client: await connectForText(options.databaseUrl),
      random: random.fork()
    }))
  )
  await session.query(`SET jit = off; ${memberTables}`)
  await fillTables(session, random.fork())
  const start = async (until: "active" | "waiting"): Promise<TestService> =>
    startService({
      port: await freePort(),
      storageDir: options.storageDir,
      deadlineMillis,
      until,
      env: {
        DATABASE_URL: options.databaseUrl,
        ELECTRIC_REPLICATION_STREAM_ID: options.streamId,
        ...settings,
        ...options.env
      }
    })
  let service = await start("active")
  let committed = 0
  let comparisons = 0
  /** Of all shapes that are followed; another one whenever there are more of them. */
  const question = { of: 0, sql: "" }

  const blame = (entry: Followed, what: string): void => {
    entry.broken = true
    problems.push(`${describe(entry.shape)} (${entry.reader.position.handle}): ${what}`)
    say(problems.at(-1) ?? "")
  }

  const readOn = async (entry: Followed): Promise<void> => {
    if (entry.broken) return
    try {
      entry.reader.isUpToDate = false
      await entry.reader.readToEnd()
      entry.base ??= { rows: new Map(entry.reader.rows), operations: entry.reader.operations.length }
    } catch (error) {
      blame(entry, messageOf(error))
    }
  }

  const addShapes = async (shapes: ReadonlyArray<MemberShape>): Promise<void> => {
    const added = shapes.map((shape): Followed => {
      const params = { table: shape.table, where: shape.where, replica: shape.replica }
      const reader = new ShapeLogReader({ url: service.url, params, retryMillis: 20_000 })
      return { shape, reader, base: undefined, points: [], broken: false }
    })
    await forAll(added, readOn)
    followed.push(...added)
  }

  const somewhere = async (): Promise<bigint> => {
    const { rows } = await session.query<{ lsn: string }>(
      "SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS lsn"
    )
    return BigInt(rows[0]?.lsn ?? "0")
  }

  const readUntilSeen = async (entry: Followed, lsn: bigint, when: string): Promise<void> => {
    const until = performance.now() + patient(deadlineMillis)
    do {
      await readOn(entry)
      if (entry.broken) return
      if (performance.now() > until) return blame(entry, `${when}: never up to date with ${lsn}`)
      if (!hasSeen(entry.reader, lsn)) await sleep(5)
    } while (!hasSeen(entry.reader, lsn))
  }

  const allSee = async (lsn: bigint): Promise<void> => {
    await session.query("SELECT pg_logical_emit_message(true, 'mark', '')")
    await forAll(followed, (entry) => readUntilSeen(entry, lsn, "before TRUNCATE or a takeover"))
  }

  /** Nobody else writes: what Postgres selects after each transaction must have been the rows after it. */
  const writeAlone = async (count: number, mayTruncate: boolean): Promise<void> => {
    const [writer] = clients
    if (writer === undefined) return
    for (let n = 0; n < count; n++) {
      const truncates = mayTruncate && writer.random.chance(0.03)
      // What a flip right before it would have changed of rows that are gone by the time they are asked for nobody can tell.
      if (truncates) await allSee(await somewhere())
      if (!(await changeSomething(writer.client, writer.random, truncates))) continue
      committed++
      const lsn = await somewhere()
      const selected = await selectAll()
      for (const [i, entry] of followed.entries())
        if (entry.base !== undefined && !entry.broken) entry.points.push({ lsn, rows: selected[i] ?? "" })
    }
  }

  /** What Postgres selects for each shape. One statement, which it plans once: the rows are few, and planning takes longer. */
  const selectAll = async (): Promise<ReadonlyArray<string>> => {
    if (question.of !== followed.length) {
      question.of = followed.length
      question.sql = `SELECT to_json(ARRAY[${followed.map(({ shape }) => textQuery(shape)).join(", ")}]::text[])::text AS texts`
    }
    const { rows } = await session.query<{ texts: string }>({
      name: `of ${question.of} shapes`,
      text: question.sql
    })
    return JSON.parse(rows[0]?.texts ?? "[]") as ReadonlyArray<string>
  }

  const writeTogether = async (count: number): Promise<void> => {
    await Promise.all(
      clients.map(async ({ client, random: choices }) => {
        for (let n = 0; n < count / writers; n++) if (await changeSomething(client, choices)) committed++
      })
    )
  }

  const compare = async (when: string): Promise<void> => {
    const lsn = await somewhere()
    await session.query("SELECT pg_logical_emit_message(true, 'mark', '')")
    const expected = await selectAll()
    await forAll(followed.entries(), async ([i, entry]) => {
      await readUntilSeen(entry, lsn, when)
      if (entry.broken) return
      const differs = difference(expected[i] ?? "", entry.reader.rows, entry.shape)
      if (differs !== undefined) return blame(entry, `${when}: ${differs}`)
      comparisons++
      const { compared, wrong } = judgePoints(entry)
      comparisons += compared
      if (wrong !== undefined) blame(entry, `${when}: ${wrong}`)
    })
    say(
      `${when}: ${committed} transactions, ${followed.length} shapes, ${operationsOf(followed)} operations, ` +
        `${comparisons} comparisons, ${problems.length} problems`
    )
  }

  const interrupt = async (kind: Interruption): Promise<void> => {
    const before = service
    if (kind === "handover") {
      const next = await start("waiting")
      await before.stop("SIGTERM")
      service = next
      await next.until("active")
    } else {
      await before.stop(kind)
      service = await start("active")
    }
    for (const { reader } of followed) reader.moveTo(service.url)
  }

  try {
    const stages = options.interruptions.length + 1
    const wanted =
      options.given ??
      Array.from({ length: options.shapes }, () => randomMemberShape(shapeRandom, options.onlyLoops))
    const late = Math.floor(wanted.length / 3 / stages)
    const perPart = Math.ceil(options.transactions / stages / 4)
    await addShapes(wanted.slice(0, wanted.length - late * stages))
    for (let stage = 0; stage < stages; stage++) {
      const interruption = options.interruptions[stage]
      // Who takes over reads tables as of what storage holds: where one was truncated since, its shapes have to be fetched again.
      await writeAlone(2 * perPart, interruption !== "SIGKILL")
      const younger = wanted.slice(
        wanted.length - late * (stages - stage),
        wanted.length - late * (stages - stage - 1)
      )
      await Promise.all([writeTogether(perPart), late > 0 ? addShapes(younger) : undefined])
      if (interruption === "handover" || interruption === "SIGTERM") await allSee(await somewhere())
      if (interruption === undefined) await writeTogether(perPart)
      else {
        const writing = writeTogether(perPart)
        await interrupt(interruption)
        await writing
      }
      await compare(interruption === undefined ? "at the end" : `after ${interruption}`)
    }
    if (/Dropped (?:a shape|\d+ shapes)/.test(service.logs()))
      problems.push("a shape was dropped, see the log")
  } catch (error) {
    problems.push(messageOf(error))
  } finally {
    if (problems.length > 0) say(service.logs().slice(-20_000))
    await service.dispose()
    for (const { client } of clients) await client.end()
    await session.end()
  }
  return {
    transactions: committed,
    operations: operationsOf(followed),
    rows: followed.reduce((sum, { reader }) => sum + reader.rows.size, 0),
    comparisons,
    problems
  }
}

const operationsOf = (followed: ReadonlyArray<Followed>): number =>
  followed.reduce((sum, { reader }) => sum + reader.operations.length, 0)

const columnsOf = {
  issues: ["id", "project", "parent", "owner", "status", "points", "due"],
  notes: ["id", "project", "owner", "status", "due"]
} as const

/** No value has these in it. */
const [betweenValues, betweenRows, forNull] = ["|", "\n", "~"]

/** Of the rows of a shape: one text, as `textOf` makes it of what a reader has. */
const textQuery = ({ table, where }: MemberShape): string => {
  const values = columnsOf[table].map((name) => `coalesce(${name}::text, '${forNull}')`)
  return `(SELECT coalesce(string_agg(concat_ws('${betweenValues}', ${values.join(", ")}), E'\\n' ORDER BY id), '') FROM ${table} WHERE ${where})`
}

const textOf = (rows: ReadonlyMap<string, TextRow>, { table }: MemberShape): string =>
  Array.from(rows.values())
    .toSorted((a, b) => Number(a["id"]) - Number(b["id"]))
    .map((row) =>
      columnsOf[table].map((name) => (name in row ? (row[name] ?? forNull) : "")).join(betweenValues)
    )
    .join(betweenRows)

/** For a person to read; `undefined`: none. */
const difference = (
  expected: string,
  found: ReadonlyMap<string, TextRow>,
  shape: MemberShape
): string | undefined => {
  const text = textOf(found, shape)
  if (text === expected) return undefined
  const [wanted = [], had = []] = [expected, text].map((one) =>
    one === "" ? [] : one.split(betweenRows).map((row) => ({ row }))
  )
  return differenceOfRows(wanted, had) ?? "rows are not in their order"
}

const hasSeen = (reader: ShapeLogReader, lsn: bigint): boolean => {
  const seen = reader.responses.at(-1)?.messages.at(-1)?.headers["global_last_seen_lsn"]
  return typeof seen === "string" && BigInt(seen) >= lsn
}

/** The rows after each recorded transaction, as a reader had them who stopped there. */
const judgePoints = (entry: Followed): { readonly compared: number; readonly wrong: string | undefined } => {
  const { base, points, reader } = entry
  if (base === undefined) return { compared: 0, wrong: undefined }
  const rows = new Map(base.rows)
  let next = base.operations
  for (const { lsn, rows: expected } of points) {
    for (; next < reader.operations.length; next++) {
      const operation = reader.operations[next]
      if (operation === undefined || operation.lsn >= lsn) break
      if (operation.operation === "delete") rows.delete(operation.key)
      else rows.set(operation.key, { ...rows.get(operation.key), ...operation.value })
    }
    const differs = difference(expected, rows, entry.shape)
    if (differs !== undefined)
      return { compared: 0, wrong: `after the transaction before ${lsn}: ${differs}` }
  }
  const compared = points.length
  // The next ones begin where these have ended.
  entry.base = { rows, operations: next }
  entry.points = []
  return { compared, wrong: undefined }
}
