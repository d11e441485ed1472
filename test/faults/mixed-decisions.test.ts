import { readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { ShapeLogReader, requestLog } from "../../testing/readers/ShapeLog.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { Random } from "../where/support/random.ts"
import { databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

/** For each of them some rows are decided here, and others by Postgres. */
const mixed = [
  "name ILIKE '%m%'",
  "at AT TIME ZONE 'Europe/Berlin' < '2010-01-01'",
  "name ~* name",
  "id % 2 = 0 OR name ILIKE 'm%'"
]
const onlyPostgres = ["to_tsvector('simple', name) @@ 'meier'", "factorial(id % 7) > 20 AND id % 3 <> 1"]
const onlyNative = ["id % 3 = 0", "name > 'm'"]

const names = ["Meier", "Mարմ", "emil", "ÖMER", "x", "ﬁm", "Meier Müller", ""]
const times = ["1960-05-05", "1961-01-01 12:00", "2001-02-03", "2020-07-01", "2039-01-01"]

const randomTransaction = (random: Random, rows: number): string => {
  const text = () => `'${random.pick(names)}'`
  const time = () => `'${random.pick(times)}'`
  const statements: Array<string> = []
  for (let n = 1 + random.below(12); n > 0; n--) {
    const id = random.below(rows)
    statements.push(
      random.pick([
        `INSERT INTO p (id, name, at) VALUES (${id}, ${text()}, ${time()}) ON CONFLICT (id) DO UPDATE SET name = ${text()}`,
        `INSERT INTO p (id, name, at) SELECT i, ${text()} || i, ${time()} FROM generate_series(${id}, ${id + random.below(8)}) i ON CONFLICT DO NOTHING`,
        `UPDATE p SET name = ${text()}, at = ${time()} WHERE id BETWEEN ${id} AND ${id + random.below(5)}`,
        `UPDATE p SET id = id + ${rows * 2} WHERE id = ${id} AND NOT EXISTS (SELECT FROM p WHERE id = ${id + rows * 2})`,
        `DELETE FROM p WHERE id % 17 = ${id % 17} AND name <> ${text()}`
      ])
    )
  }
  return `BEGIN; ${statements.join("; ")}; COMMIT`
}

const clauses: ReadonlyArray<string | undefined> = [...mixed, ...onlyPostgres, ...onlyNative, undefined]
const paramsOf = (where: string | undefined) => ({ table: "p", ...(where === undefined ? {} : { where }) })

const selected = async (database: TestDatabase, where: string | undefined): Promise<ReadonlyArray<string>> =>
  (await database.queryText(`SELECT id, name, at FROM p WHERE ${where ?? "true"}`))
    .map((row) => JSON.stringify([row["id"], row["name"]]))
    .toSorted()

const rowsOf = (reader: ShapeLogReader): ReadonlyArray<string> =>
  Array.from(reader.rows.values(), (row) => JSON.stringify([row["id"], row["name"]])).toSorted()

/** Reads the whole log from the beginning: the promises of the protocol, and the rows that Postgres selects. */
const readWhole = async (
  url: string,
  database: TestDatabase,
  where: string | undefined
): Promise<ShapeLogReader> => {
  const reader = new ShapeLogReader({ url, params: paramsOf(where) })
  const expected = await selected(database, where)
  await reader.followUntil(
    `the rows of ${where ?? "all"}`,
    () => reader.isUpToDate && rowsOf(reader).join() === expected.join()
  )
  return reader
}

describe("a transaction of which some rows are decided here and some by Postgres", () => {
  it(
    "is one log whose entries rise, on every instance, after restarts and moves, and from every offset",
    { timeout: patient(180_000) },
    async () => {
      const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31))
      const random = new Random(seed)
      const database = await databaseForTest()
      await database.query("CREATE TABLE p (id int PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL)")
      const storageDir = storageForTest()
      const env = {
        BATON_JOURNAL_SEGMENT_BYTES: "16 KiB",
        ELECTRIC_CLEANUP_INTERVAL_MS: "200ms",
        // A busy machine must not make a difference here.
        BATON_MAX_DECISION_TIME: "60s"
      }
      let active = await serviceForTest({ database, storageDir, env })
      let other = await serviceForTest({ database, storageDir, env, until: "waiting" })
      const handles: Array<string | undefined> = []
      for (const where of clauses)
        handles.push((await requestLog(active.url, paramsOf(where), { offset: "-1" })).handle ?? undefined)
      try {
        for (let round = 0; round < 3; round++) {
          for (let n = 0; n < 12; n++) await database.query(randomTransaction(random, 60))
          for (const url of [active.url, other.url])
            for (const where of clauses) await readWhole(url, database, where)
          if (round === 2) break
          await active.stop()
          const gone = active
          active = other
          await active.until("active")
          other = await serviceForTest({ database, storageDir, env, until: "waiting" })
          assert.notStrictEqual(gone.pid, active.pid)
        }
        await eventually("log files of the moved segments", () =>
          handles.every((handle) =>
            readdirSync(join(storageDir, database.streamId, "v2/shapes", handle ?? "")).includes("l0")
          )
        )
        for (const [i, where] of clauses.entries()) {
          const whole = await readWhole(other.url, database, where)
          assert.strictEqual(whole.position.handle, handles[i], "no client had to fetch anything again")
          const offsets = whole.operations.filter(({ isLast }) => isLast).map((o) => `${o.lsn}_${o.position}`)
          for (const offset of ["0_0", ...offsets]) {
            const from = { offset, handle: handles[i] }
            const reader = new ShapeLogReader({ url: active.url, params: paramsOf(where), from })
            await reader.readToEnd()
            const rest =
              offset === "0_0"
                ? whole.operations
                : whole.operations.slice(
                    whole.operations.findIndex((o) => `${o.lsn}_${o.position}` === offset) + 1
                  )
            assert.deepStrictEqual(reader.operations, rest, `from ${offset}`)
          }
        }
      } catch (error) {
        throw new Error(`With seed ${seed}. ${active.logs().slice(-2000)}`, { cause: error })
      }
    }
  )
})
