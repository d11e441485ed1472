import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { differenceOfRows } from "../../testing/postgres/Rows.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { patient } from "../../testing/Load.ts"
import type { TestService } from "../../testing/services/Service.ts"
import { databaseForTest, serviceForTest, storageForTest, untilLooked } from "./support/faults.ts"

const tables = `
  CREATE TABLE people (id int PRIMARY KEY, team int, name text);
  CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people ON DELETE CASCADE, text text);
  CREATE TABLE loose (name text, n int);
  CREATE TABLE parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
  CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (50);
  CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (50) TO (MAXVALUE);
  CREATE TABLE teams (id int PRIMARY KEY, open bool);
  INSERT INTO teams SELECT i, i % 2 = 0 FROM generate_series(0, 4) i;
  INSERT INTO people SELECT i, i % 5, 'a/b"' || i FROM generate_series(1, 60) i;
  INSERT INTO notes SELECT i, 1 + i % 60, repeat('x', i) FROM generate_series(1, 90) i;
  INSERT INTO loose SELECT 'l' || i, i FROM generate_series(1, 20) i;
  INSERT INTO parts SELECT i, i FROM generate_series(1, 99) i`

const open = "team IN (SELECT id FROM teams WHERE open)"

/** Of each: whether it may happen that it has to be fetched again. */
const shapes: ReadonlyArray<
  readonly [params: Readonly<Record<string, string>>, query: string, mayRefetch?: boolean]
> = [
  [{ table: "people" }, "SELECT * FROM people"],
  [{ table: "people", replica: "full", where: "team = 2" }, "SELECT * FROM people WHERE team = 2"],
  [
    { table: "people", columns: "id,team", where: "name LIKE '%1%'" },
    "SELECT id, team FROM people WHERE name LIKE '%1%'"
  ],
  [{ table: "notes" }, "SELECT * FROM notes"],
  [{ table: "loose" }, "SELECT * FROM loose"],
  [{ table: "parts" }, "SELECT * FROM parts"],
  [{ table: "parts_low" }, "SELECT * FROM parts_low"],
  [{ table: "teams" }, "SELECT * FROM teams"],
  [{ table: "people", where: open }, `SELECT * FROM people WHERE ${open}`, true]
]

const readersAt = async (url: string): Promise<ReadonlyArray<ShapeLogReader>> => {
  const readers = shapes.map(
    ([params, , mayRefetch = false]) =>
      new ShapeLogReader({ url, params, retryMillis: 20_000, changesOnly: true, mayRefetch })
  )
  for (const reader of readers) await reader.readToEnd()
  return readers
}

const expectSelected = async (
  database: TestDatabase,
  readers: ReadonlyArray<ShapeLogReader>,
  { logs, url }: Pick<TestService, "logs" | "url">,
  about: string
) => {
  for (const [i, [params, query]] of shapes.entries()) {
    const reader = readers[i]
    if (reader === undefined) continue
    reader.moveTo(url)
    const expected = await database.queryText(query)
    const differs = () => differenceOfRows(expected, [...reader.rows.values()])
    await reader
      .followUntil(`the rows of ${JSON.stringify(params)}`, () => differs() === undefined)
      .catch((error: unknown) => assert.fail(`${about}: ${String(error)}: ${differs()}\n${logs()}`))
  }
}

/** A change of rows, which may come to nothing. */
const write = (random: Random): string => {
  const from = random.int(0, 80)
  return random.pick([
    `INSERT INTO people SELECT i, i % 5, 'new ' || i FROM generate_series(${from}, ${from + 20}) i ON CONFLICT DO NOTHING`,
    `UPDATE people SET team = (team + 1) % 5 WHERE id % 3 = ${from % 3}`,
    `DELETE FROM people WHERE id % 7 = ${from % 7}`,
    `INSERT INTO notes SELECT i, i, 'n' FROM people p, LATERAL (SELECT p.id AS i) x WHERE id > ${from} ON CONFLICT DO NOTHING`,
    `UPDATE loose SET n = n + 1 WHERE n % 2 = ${from % 2}`,
    `INSERT INTO loose SELECT '${random.int(0, 1e9)}-' || i, i FROM generate_series(${from}, ${from + 3}) i`,
    `INSERT INTO parts SELECT i, i FROM generate_series(${from}, ${from + 30}) i ON CONFLICT DO NOTHING`,
    `UPDATE parts SET id = id + 200 WHERE id BETWEEN ${from} AND ${from + 5} AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.id >= 200)`,
    `UPDATE teams SET open = NOT open WHERE id = ${from % 5}`,
    `INSERT INTO teams SELECT i, true FROM generate_series(0, 4) i ON CONFLICT DO NOTHING`
  ])
}

const truncate = (random: Random): string =>
  random.pick([
    "TRUNCATE people CASCADE",
    "TRUNCATE people, notes RESTART IDENTITY",
    "TRUNCATE notes",
    "TRUNCATE loose",
    "TRUNCATE parts",
    "TRUNCATE teams",
    "TRUNCATE loose, parts, notes"
  ])

/** One transaction. */
const step = (random: Random): string => {
  const writes = (most: number) => Array.from({ length: random.int(0, most) }, () => write(random))
  if (random.chance(0.5)) return write(random)
  const emptied = [...writes(2), truncate(random), ...writes(4)]
  if (random.chance(0.3)) emptied.push(truncate(random), ...writes(2))
  return `BEGIN; ${emptied.join("; ")}; COMMIT`
}

/** `TRUNCATED_ROUNDS` for more of them, `TRUNCATED_SEED` to have the same again. */
const roundsOr = (few: number): number => Number(process.env["TRUNCATED_ROUNDS"] ?? few)
const millis = (rounds: number): number => patient(60_000 + roundsOr(rounds) * 20_000)

describe("a table that is truncated", () => {
  it(
    "takes rows from readers, and no handle, whatever stands behind it in its transaction",
    { timeout: millis(8) },
    async () => {
      const seed = Number(process.env["TRUNCATED_SEED"] ?? freshSeed())
      const random = makeRandom(seed)
      const database = await databaseForTest()
      await database.query(tables)
      const service = await serviceForTest({
        database,
        env: { ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "3000" }
      })
      const readers = await readersAt(service.url)
      for (let round = 0; round < roundsOr(8); round++) {
        const statements = Array.from({ length: random.int(1, 4) }, () => step(random))
        for (const one of statements) await database.query(one)
        await expectSelected(database, readers, service, `seed ${seed}, ${statements.join(";\n")}`)
      }
    }
  )

  it("does so too when instances are killed or relieved meanwhile", { timeout: millis(3) }, async () => {
    const seed = Number(process.env["TRUNCATED_SEED"] ?? freshSeed())
    const random = makeRandom(seed)
    const database = await databaseForTest()
    await database.query(tables)
    const storageDir = storageForTest()
    const start = (until: "active" | "waiting") =>
      serviceForTest({
        database,
        storageDir,
        until,
        env: { ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000" }
      })
    let service = await start("active")
    const readers = await readersAt(service.url)
    for (let round = 0; round < roundsOr(3); round++) {
      // Many rows to be rid of: what is killed is in the middle of it, more often than not.
      await database.query(
        "INSERT INTO notes SELECT i, NULL, 'n' FROM generate_series(1000, 12000) i ON CONFLICT DO NOTHING"
      )
      await expectSelected(database, readers, service, `seed ${seed}, before round ${round}`)
      const next = random.chance(0.5) ? await start("waiting") : undefined
      const statements = ["TRUNCATE notes", ...Array.from({ length: random.int(1, 4) }, () => step(random))]
      for (const one of statements) await database.query(one)
      await sleep(random.int(0, 120))
      await service.stop(next === undefined || random.chance(0.5) ? "SIGKILL" : "SIGTERM")
      await database.query(step(random))
      service = next ?? (await start("active"))
      await service.until("active")
      await expectSelected(database, readers, service, `seed ${seed}, ${statements.join(";\n")}`)
    }
  })
})

it("takes rows that were told before the table was altered, too", async () => {
  const database = await databaseForTest()
  await database.query(
    "CREATE TABLE widened (id int PRIMARY KEY, v text); INSERT INTO widened SELECT g, 'v' FROM generate_series(1, 20) g"
  )
  const { untilLogged, url } = await serviceForTest({ database })
  const readers = [{}, { replica: "full" }].map(
    (more) => new ShapeLogReader({ url, params: { table: "widened", ...more } })
  )
  for (const reader of readers) await reader.readToEnd()
  await database.query("ALTER TABLE widened ADD COLUMN note text DEFAULT 'n'")
  for (const reader of readers)
    await reader.followUntil("the new column", () =>
      Array.from(reader.rows.values()).every(({ note }) => note === "n")
    )
  await untilLogged(/Compared \d+ shapes? on .*widened/)
  await untilLooked(database)
  await database.query("TRUNCATE widened; INSERT INTO widened VALUES (21, 'w')")
  for (const reader of readers)
    await reader.followUntil("the one row that there is", () => reader.rows.size === 1)
})
