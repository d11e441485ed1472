import type pg from "pg"
import { assert, describe, it, onTestFinished } from "vitest"
import { patient } from "../../../testing/Load.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { connectForText, selectText } from "../../../testing/postgres/RowText.ts"
import { differenceOfRows, type TextRow } from "../../../testing/postgres/Rows.ts"
import { freshSeed, makeRandom, type Random } from "../../../testing/Random.ts"
import { ShapeLogReader } from "../../../testing/readers/ShapeLog.ts"
import { startService, type TestService } from "../../../testing/services/Service.ts"

const tables = `
  CREATE TABLE tasks (id int PRIMARY KEY, project int, title text);
  CREATE TABLE projects (id int PRIMARY KEY, number int, team int, open bool);
  CREATE TABLE teams (id int PRIMARY KEY, number int, open bool);
  INSERT INTO tasks SELECT n, n % 5, 'task ' || n FROM generate_series(0, 29) n;
  INSERT INTO projects SELECT n, n % 5, n % 3, n % 2 = 0 FROM generate_series(0, 11) n;
  INSERT INTO teams SELECT n, n % 3, n % 2 = 0 FROM generate_series(0, 5) n`

const conditions = [
  "project IN (SELECT number FROM projects WHERE open)",
  "project NOT IN (SELECT number FROM projects WHERE open)",
  "project IN (SELECT number FROM projects WHERE team IN (SELECT number FROM teams WHERE open))",
  "NOT EXISTS (SELECT 1 FROM projects p WHERE p.number = tasks.project AND p.open) OR title LIKE '%1%'",
  "(project IN (SELECT number FROM projects WHERE team = 1)) IS NOT TRUE AND id > 3",
  "id IN (SELECT project FROM tasks WHERE title LIKE '%2%')"
]

const writers = 4

/** A session that changes rows of its own, in transactions that stay open while others commit. */
class Writer {
  private readonly client: pg.Client
  private readonly number: number
  private readonly random: Random
  isOpen = false

  constructor(client: pg.Client, number: number, random: Random) {
    this.client = client
    this.number = number
    this.random = random
  }

  /** An id that no other writer touches. */
  private id(most: number): number {
    return this.random.int(0, Math.floor(most / writers)) * writers + this.number
  }

  async change(): Promise<void> {
    const { random } = this
    if (!this.isOpen) await this.client.query("BEGIN")
    this.isOpen = true
    const link = random.chance(0.15) ? "NULL" : String(random.int(0, 4))
    const open = random.pick(["true", "false", "NULL", "NOT open"])
    const [from, to] = [this.id(30), this.id(30)]
    await this.client.query(
      random.pick([
        `UPDATE projects SET open = ${open} WHERE id = ${this.id(12)}`,
        `UPDATE projects SET number = ${link}, team = ${random.int(0, 3)} WHERE id = ${this.id(12)}`,
        `DELETE FROM projects WHERE id = ${this.id(12)}`,
        `INSERT INTO projects VALUES (${this.id(12)}, ${link}, ${random.int(0, 3)}, true) ON CONFLICT DO NOTHING`,
        `UPDATE teams SET open = ${open}, number = ${random.int(0, 3)} WHERE id = ${this.id(6)}`,
        `UPDATE tasks SET project = ${link} WHERE id = ${this.id(30)}`,
        `UPDATE tasks SET title = 'task ${random.int(0, 40)}' WHERE id = ${this.id(30)}`,
        `INSERT INTO tasks VALUES (${this.id(30)}, ${link}, 'new ${random.int(0, 40)}') ON CONFLICT DO NOTHING`,
        `DELETE FROM tasks WHERE id = ${this.id(30)}`,
        `UPDATE tasks SET id = ${to} WHERE id = ${from} AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = ${to})`
      ])
    )
  }

  /** False if the transaction was rolled back. */
  async end(): Promise<boolean> {
    const isCommitted = !this.random.chance(0.1)
    await this.client.query(isCommitted ? "COMMIT" : "ROLLBACK")
    this.isOpen = false
    return isCommitted
  }
}

/** What Postgres selects once everything that commits before `lsn` has committed, and nothing else. */
interface Point {
  readonly lsn: bigint
  readonly rows: ReadonlyArray<TextRow>
}

class Followed {
  readonly condition: string
  readonly reader: ShapeLogReader
  base: { readonly rows: ReadonlyMap<string, TextRow>; readonly operations: number } | undefined
  private readonly points: Array<Point> = []

  constructor(service: TestService, condition: string) {
    this.condition = condition
    this.reader = new ShapeLogReader({
      url: service.url,
      params: { table: "tasks", where: condition },
      retryMillis: 20_000
    })
  }

  async begin(): Promise<void> {
    await this.reader.readToEnd()
    this.base = { rows: new Map(this.reader.rows), operations: this.reader.operations.length }
  }

  async note(session: pg.Client, lsn: bigint): Promise<void> {
    if (this.base === undefined) return
    const rows = await selectText(session, `SELECT id, project, title FROM tasks WHERE ${this.condition}`)
    this.points.push({ lsn, rows })
  }

  /** How many positions were as they should be, or the first that was not. */
  judge(): number | string {
    const rows = new Map(this.base?.rows)
    let next = this.base?.operations ?? 0
    for (const { lsn, rows: expected } of this.points) {
      for (; next < this.reader.operations.length; next++) {
        const operation = this.reader.operations[next]
        if (operation === undefined || operation.lsn >= lsn) break
        if (operation.operation === "delete") rows.delete(operation.key)
        else rows.set(operation.key, { ...rows.get(operation.key), ...operation.value })
      }
      const differs = differenceOfRows(expected, Array.from(rows.values()))
      if (differs !== undefined) return `${this.condition}, before ${lsn}: ${differs}`
    }
    return this.points.length
  }
}

const insertLsn = async (session: pg.Client): Promise<bigint> => {
  const { rows } = await session.query<{ lsn: string }>(
    "SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS lsn"
  )
  return BigInt(rows[0]?.lsn ?? "0")
}

const lastSeen = ({ responses }: ShapeLogReader): bigint =>
  BigInt(String(responses.at(-1)?.messages.at(-1)?.headers["global_last_seen_lsn"] ?? "0"))

/** So many commits after the last shape has begun. */
const commitsAtLast = 40

const followEveryPosition = async (
  database: TestDatabase,
  random: Random
): Promise<ReadonlyArray<number | string>> => {
  await database.query(tables)
  // Half of the time everything is too much for memory.
  const env = random.chance(0.5) ? { BATON_MAX_MOVE_MEMORY: "1" } : {}
  await using service = await startService({ database, env })
  const session = await connectForText(database.url)
  const all = Array.from(
    { length: writers },
    async (_, i) => new Writer(await database.connect(), i, random.fork())
  )
  const clients = await Promise.all(all)
  const followed = conditions.map((condition) => new Followed(service, condition))
  const waiting = [...followed]
  // Tables are published, which waits for transactions that are open: with nobody else there.
  await new Followed(service, conditions[2] ?? "").begin()
  let beginning: Promise<void> | undefined
  let left = commitsAtLast
  while (left > 0) {
    // Shapes are made while transactions are open and others commit.
    beginning ??= waiting.shift()?.begin()
    if (beginning !== undefined && followed[followed.length - waiting.length - 1]?.base !== undefined) {
      await beginning
      beginning = undefined
    }
    const writer = random.pick(clients)
    if (!writer.isOpen || random.chance(0.5)) await writer.change()
    else if (await writer.end()) {
      const lsn = await insertLsn(session)
      for (const one of followed) await one.note(session, lsn)
      if (waiting.length === 0 && beginning === undefined) left--
    }
  }
  for (const writer of clients) if (writer.isOpen) await writer.end()
  const end = await insertLsn(session)
  await session.query("SELECT pg_logical_emit_message(true, 'end', '')")
  for (const one of followed) {
    await one.note(session, end)
    await eventually("the end", async () => {
      one.reader.isUpToDate = false
      await one.reader.readToEnd()
      return lastSeen(one.reader) >= end || undefined
    })
  }
  await session.end()
  return followed.map((one) => one.judge())
}

describe("shapes with sub-selects", () => {
  it(
    "are at every commit what Postgres selects then, whatever transactions are open beside it",
    { timeout: patient(90_000) },
    async () => {
      const database = await createDatabase()
      onTestFinished(() => database.drop())
      const seed = Number(process.env["MOVES_SEED"] ?? freshSeed())
      const judged = await followEveryPosition(database, makeRandom(seed))
      for (const one of judged) assert.isNumber(one, `replay with MOVES_SEED=${seed}: ${one}`)
      const positions = judged.reduce<number>((sum, one) => sum + Number(one), 0)
      assert.isAbove(positions, commitsAtLast * conditions.length, `seed ${seed}`)
    }
  )
})
