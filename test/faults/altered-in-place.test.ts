import { type Row, Shape, ShapeStream, type ShapeStreamInterface } from "@electric-sql/client"
import { createCollection } from "@tanstack/db"
import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import { assert, describe, it, onTestFinished } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { differenceOfRows } from "../../testing/postgres/Rows.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"

interface Case {
  /** Of the table `t`, which has the name of the case. */
  readonly alter: string
  readonly params?: Readonly<Record<string, string>>
  /** Clients that hold the header of before would read what comes wrongly: they fetch it again, once. */
  readonly isOver?: true
  readonly columns?: string
  readonly setUp?: string
}

const plain =
  "CREATE TABLE t (id int PRIMARY KEY, name varchar(20), note text, n int, doc json, label mood, always int NOT NULL DEFAULT 1); " +
  "INSERT INTO t SELECT i, 'a' || i, 'n', i, '{ \"a\": 1 }', 'sad' FROM generate_series(1, 30) i"
const tree =
  "CREATE TABLE t (id int PRIMARY KEY, note text) PARTITION BY RANGE (id); " +
  "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (1000); " +
  "CREATE TABLE t_new (id int PRIMARY KEY, note text); INSERT INTO t_new VALUES (1500, 'came along'); INSERT INTO t SELECT i, 'n' FROM generate_series(1, 30) i"

const full = { replica: "full" }

/** By the name of the table. */
const cases: Readonly<Record<string, Case>> = {
  added: { alter: "ALTER TABLE t ADD COLUMN more text" },
  filled: { alter: "ALTER TABLE t ADD COLUMN more text NOT NULL DEFAULT 'x'" },
  filled_full: { alter: "ALTER TABLE t ADD COLUMN more text NOT NULL DEFAULT 'x'", params: full },
  volatile: { alter: "ALTER TABLE t ADD COLUMN more uuid DEFAULT gen_random_uuid()" },
  generated: {
    alter: "ALTER TABLE t ADD COLUMN more text GENERATED ALWAYS AS (upper(note)) STORED",
    params: { where: "id > 3" }
  },
  labelled: { alter: "ALTER TABLE t ADD COLUMN more mood DEFAULT 'glad'" },
  narrowed: { alter: "ALTER TABLE t DROP COLUMN note" },
  narrowed_full: { alter: "ALTER TABLE t DROP COLUMN n", params: full },
  renamed: { alter: "ALTER TABLE t RENAME COLUMN note TO remark", params: { where: "n < 20" } },
  widened: { alter: "ALTER TABLE t ALTER COLUMN name TYPE text", params: { columns: "id,name" } },
  rewritten: {
    alter: "ALTER TABLE t ALTER COLUMN name TYPE text USING name || '!'",
    params: { where: "name <> 'a3'" }
  },
  made_over: { alter: "ALTER TABLE t ALTER COLUMN note TYPE text USING upper(note) || id" },
  made_over_later: {
    alter:
      "TRUNCATE t; INSERT INTO t VALUES (1, 'a', 'b'), (11, 'c', 'd'); ALTER TABLE t ALTER COLUMN note TYPE text USING upper(note) || id",
    params: { where: "note LIKE 'B%' OR id > 1" }
  },
  limited: {
    alter: "ALTER TABLE t ALTER COLUMN note TYPE varchar USING upper(note)",
    params: { where: "note LIKE 'N%' OR id > 10" }
  },
  left_and_back: {
    alter:
      "ALTER TABLE t ALTER COLUMN note TYPE text USING upper(note); UPDATE t SET note = 'n again' WHERE id < 9",
    params: { where: "note LIKE 'n%'" }
  },
  filled_anew: {
    alter:
      "ALTER TABLE t DROP COLUMN note, ADD COLUMN note text DEFAULT 'x'; UPDATE t SET note = 'n again' WHERE id < 9",
    params: { where: "note LIKE 'n%'" }
  },
  smaller: { alter: "ALTER TABLE t ALTER COLUMN n TYPE smallint" },
  as_jsonb: { alter: "ALTER TABLE t ALTER COLUMN doc TYPE jsonb" },
  often: {
    alter:
      "ALTER TABLE t ADD COLUMN x text DEFAULT 'x'; ALTER TABLE t DROP COLUMN note; ALTER TABLE t RENAME COLUMN x TO note"
  },
  attached: { setUp: tree, alter: "ALTER TABLE t ATTACH PARTITION t_new FOR VALUES FROM (1000) TO (2000)" },
  detached: { setUp: tree, alter: "ALTER TABLE t DETACH PARTITION t_1" },
  emptied: { setUp: tree, alter: "TRUNCATE t_1; INSERT INTO t VALUES (3, 'again')" },
  decided: {
    alter:
      "BEGIN; INSERT INTO t (id, n) VALUES (90, 4); TRUNCATE t; INSERT INTO t (id, n) VALUES (91, 4); COMMIT",
    params: { where: "wanted(n)" }
  },
  number: { alter: "ALTER TABLE t ADD COLUMN more int DEFAULT 7", isOver: true },
  moment: { alter: "ALTER TABLE t ADD COLUMN more timestamptz DEFAULT '2026-01-01'", isOver: true },
  big: { alter: "ALTER TABLE t ALTER COLUMN n TYPE bigint", params: { where: "n < 20 OR id > 20" } },
  too_big: {
    alter: "ALTER TABLE t ALTER COLUMN n TYPE bigint; INSERT INTO t VALUES (91, 'a', 'b', 9007199254740993)",
    isOver: true
  },
  too_big_at_once: {
    alter: "ALTER TABLE t ALTER COLUMN n TYPE bigint USING n + 9007199254740993",
    params: { where: "id < 5" },
    isOver: true
  },
  optional: { alter: "ALTER TABLE t ALTER COLUMN always DROP NOT NULL" },
  missing: {
    alter: "ALTER TABLE t ALTER COLUMN always DROP NOT NULL; UPDATE t SET always = NULL WHERE id = 2",
    isOver: true
  },
  other_name: { alter: "ALTER TABLE t RENAME COLUMN n TO m", isOver: true },
  replaced: {
    alter: "ALTER TABLE t DROP COLUMN n; ALTER TABLE t ADD COLUMN n text DEFAULT 'z'",
    isOver: true
  }
}

const named = (sql: string, name: string): string => sql.replaceAll(/\bt(_[a-z0-9]+)?\b/g, `${name}$1`)

/** As SQL has what the parameters of a request say. */
const querySql = (name: string, { params = {} }: Case): string =>
  `SELECT ${params["columns"] ?? "*"} FROM ${name} WHERE ${params["where"] ?? "true"}`

describe("a table that is altered", () => {
  it(
    "takes no handle from clients that read what comes right by the header that they have",
    { timeout: patient(240_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE FUNCTION wanted(n int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN n % 2 = 0; END'"
      )
      const all = Object.entries(cases)
      for (const [name, { setUp = plain }] of all) await database.query(named(setUp, name))
      const service = await serviceForTest({ database })
      const { url } = service
      const readers = all.map(([name, { isOver = false, params = {} }]) => {
        const about = { url, params: { table: name, ...params }, mayRefetch: isOver }
        return new ShapeLogReader({ ...about, changesOnly: true, retryMillis: patient(30_000) })
      })
      await Promise.all(readers.map((reader) => reader.readToEnd()))
      const official = followOfficially(url, ["filled", "narrowed", "smaller", "often"])
      const collection = createCollection(
        electricCollectionOptions<Row & { id: number }>({
          id: "renamed",
          getKey: ({ id }) => id,
          shapeOptions: { url: `${url}/v1/shape`, params: { table: "renamed" } }
        })
      )
      onTestFinished(() => collection.cleanup())
      await collection.preload()
      for (const { shape } of official) await shape.rows

      const later =
        "INSERT INTO t (id) VALUES (900); UPDATE t SET id = id + 500 WHERE id = 11; DELETE FROM t WHERE id = 12"
      await Promise.all(
        all.map(async ([name, { alter }]) => {
          await database.query(named(alter, name))
          await database.query(named(later, name))
        })
      )
      await Promise.all(
        all.map(async ([name, one], i) => {
          const reader = readers[i]
          if (reader === undefined) return
          const sql = querySql(name, one)
          const differs = async () =>
            differenceOfRows(await database.queryText(sql), [...reader.rows.values()])
          let found = await differs()
          await reader
            .followUntil(
              `the rows of ${sql}`,
              () => {
                void differs().then((now) => (found = now))
                return found === undefined
              },
              patient(60_000)
            )
            .catch(async (error: unknown) =>
              assert.fail(`${String(error)}: ${await differs()}\n${service.logs()}`)
            )
          assert.strictEqual(reader.refetches, one.isOver === true ? 1 : 0, `${name}\n${service.logs()}`)
        })
      )
      for (const { errors, name, refetches, shape } of official) {
        await eventually(`what the official client has of ${name}`, async () => {
          const rows = await database.query<Row>(`SELECT * FROM ${name} ORDER BY id`)
          assert.deepStrictEqual(
            shape.currentRows.toSorted((a, b) => Number(a["id"]) - Number(b["id"])),
            Array.from(rows)
          )
          return true
        })
        assert.deepStrictEqual([errors, refetches()], [[], 0], name)
      }
      await eventually("what TanStack DB has", async () => {
        const rows = await database.query<Row>("SELECT * FROM renamed ORDER BY id")
        const names = Object.keys(rows[0] ?? {})
        const had = Array.from(collection.values(), (row) =>
          Object.fromEntries(names.map((of) => [of, row[of]]))
        )
        assert.deepStrictEqual(
          had.toSorted((a, b) => Number(a["id"]) - Number(b["id"])),
          Array.from(rows)
        )
        return true
      })
    }
  )
})

it(
  "a table that is altered while nobody is there, and then written to, gives nobody a row twice",
  { timeout: patient(120_000) },
  async () => {
    const database = await databaseForTest()
    const storageDir = storageForTest()
    const names = ["left_and_back", "filled_anew"]
    await database.query("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    for (const name of names) await database.query(named(plain, name))
    const first = await serviceForTest({ database, storageDir })
    const readers = names.map(
      (table) =>
        new ShapeLogReader({
          url: first.url,
          params: { table, where: "note LIKE 'n%'" },
          changesOnly: true,
          retryMillis: patient(30_000)
        })
    )
    await Promise.all(readers.map((reader) => reader.readToEnd()))
    await first.stop()
    for (const name of names) await database.query(named(cases[name]?.alter ?? "", name))
    const second = await serviceForTest({ database, storageDir })
    for (const [i, name] of names.entries()) {
      const reader = readers[i]
      const expected = await database.queryText(`SELECT * FROM ${name} WHERE note LIKE 'n%'`)
      assert.strictEqual(expected.length, 8)
      reader?.moveTo(second.url)
      await reader?.followUntil(
        `the rows of ${name}`,
        () => differenceOfRows(expected, [...reader.rows.values()]) === undefined
      )
    }
  }
)

/** As an application does, with the parsers that the client has. */
const followOfficially = (url: string, tables: ReadonlyArray<string>) =>
  tables.map((name) => {
    const errors: Array<unknown> = []
    const abort = new AbortController()
    onTestFinished(() => abort.abort())
    const stream = new ShapeStream<Row>({
      url: `${url}/v1/shape`,
      params: { table: name },
      signal: abort.signal,
      onError: (error) => void errors.push(error)
    })
    const handles = new Set<string>()
    stream.subscribe(() => void handles.add(stream.shapeHandle ?? ""))
    return {
      name,
      errors,
      shape: new Shape(stream as ShapeStreamInterface<Row>),
      refetches: () => handles.size - 1
    }
  })
