import { isDeepStrictEqual } from "node:util"
import { assert, describe, it } from "vitest"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { databaseForTest, serviceForTest, storageForTest, untilLooked } from "./support/faults.ts"

interface Answer {
  readonly status: number
  readonly handle: string | null
  readonly values: ReadonlyArray<unknown>
}

const ask = async (url: string, parameters: Readonly<Record<string, string>>): Promise<Answer> => {
  const response = await fetch(`${url}/v1/shape?${new URLSearchParams(parameters)}`)
  const body: unknown = await response.json()
  const messages = Array.isArray(body) ? (body as ReadonlyArray<{ readonly value?: unknown }>) : []
  return {
    status: response.status,
    handle: response.headers.get("electric-handle"),
    values: messages.flatMap(({ value }) => (value === undefined ? [] : [value]))
  }
}

/** What Postgres does not tell in the stream. Each changes the rows of the table of that name. */
const changes: Readonly<Record<string, { readonly sql: string; readonly rows: ReadonlyArray<unknown> }>> = {
  renamed: { sql: "ALTER TYPE mood RENAME VALUE 'happy' TO 'joyful'", rows: [{ id: "1", v: "joyful" }] },
  arrays: { sql: "ALTER TYPE colour RENAME VALUE 'red' TO 'rouge'", rows: [{ id: "1", v: "{rouge}" }] },
  composite: { sql: "ALTER TYPE pair ADD ATTRIBUTE c int", rows: [{ id: "1", v: "(1,2,)" }] },
  nested: { sql: "ALTER TYPE inner_pair DROP ATTRIBUTE b", rows: [{ id: "1", v: '("(1)",x)' }] },
  tree: {
    sql: "ALTER TABLE tree ATTACH PARTITION attached FOR VALUES IN (2)",
    rows: [
      { id: "1", v: "a" },
      { id: "2", v: "b" }
    ]
  }
}

const setUp = `
  CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE colour AS ENUM ('red', 'green');
  CREATE TYPE pair AS (a int, b int); CREATE TYPE inner_pair AS (a int, b int);
  CREATE TYPE outer_pair AS (p inner_pair, t text);
  CREATE TABLE renamed (id int PRIMARY KEY, v mood); INSERT INTO renamed VALUES (1, 'happy');
  CREATE TABLE arrays (id int PRIMARY KEY, v colour[]); INSERT INTO arrays VALUES (1, '{red}');
  CREATE TABLE composite (id int PRIMARY KEY, v pair); INSERT INTO composite VALUES (1, '(1,2)');
  CREATE TABLE nested (id int PRIMARY KEY, v outer_pair); INSERT INTO nested VALUES (1, '("(1,2)",x)');
  CREATE TABLE tree (id int PRIMARY KEY, v text) PARTITION BY LIST (id);
  CREATE TABLE leaf PARTITION OF tree FOR VALUES IN (1); INSERT INTO tree VALUES (1, 'a');
  CREATE TABLE attached (id int PRIMARY KEY, v text); INSERT INTO attached VALUES (2, 'b');
  CREATE TABLE steady (id int PRIMARY KEY, v mood); INSERT INTO steady VALUES (1, 'sad')`

const prepare = async () => {
  const database = await databaseForTest()
  const storageDir = storageForTest()
  await database.query(setUp)
  const start = () => serviceForTest({ database, storageDir })
  const tables = Object.entries(changes)
  const first = await start()
  const readers = new Map<string, ShapeLogReader>()
  for (const [table] of tables) {
    const reader = new ShapeLogReader({ url: first.url, params: { table } })
    await reader.readToEnd()
    readers.set(table, reader)
  }
  // New labels change no value, and a partition that is created brings no rows along.
  const steady = await ask(first.url, { table: "steady", columns: "id", offset: "-1" })

  /** Whoever reads a shape, and whoever comes to it, has the rows that there are, under the handle that it had. */
  const expectNews = (url: string) =>
    Promise.all(
      tables.map(async ([table, { rows }]) => {
        const reader = readers.get(table) ?? assert.fail()
        reader.moveTo(url)
        const held = () => Array.from(reader.rows.values())
        await reader.followUntil(`what ${table} has`, () => isDeepStrictEqual(held(), rows))
        const newcomer = new ShapeLogReader({ url, params: { table } })
        await newcomer.readToEnd()
        assert.deepStrictEqual(Array.from(newcomer.rows.values()), rows)
        assert.strictEqual(newcomer.position.handle, reader.position.handle)
      })
    )
  const expectSteady = async (url: string) => {
    const now = await ask(url, { table: "steady", columns: "id", offset: "-1" })
    assert.strictEqual(now.handle, steady.handle)
  }
  const change = async () => {
    for (const [, { sql }] of tables) await database.query(sql)
  }
  return { first, start, change, expectNews, expectSteady, database }
}

describe("what the stream does not tell of: altered types, and partitions that come with rows", () => {
  it("is noticed within seconds", async () => {
    const { change, database, expectNews, expectSteady, first } = await prepare()
    await change()
    await expectNews(first.url)
    await database.query("ALTER TYPE mood ADD VALUE 'calm'")
    const { handle } = await ask(first.url, { table: "renamed", offset: "-1" })
    await untilLooked(database)
    assert.strictEqual((await ask(first.url, { table: "renamed", offset: "-1" })).handle, handle)
    await expectSteady(first.url)
  })

  it("is noticed at the start when it happened before", async () => {
    const { change, database, expectNews, expectSteady, first, start } = await prepare()
    const kept = await ask(first.url, { table: "leaf", offset: "-1" })
    await first.stop("SIGKILL")
    await change()
    await database.query(
      "ALTER TYPE mood ADD VALUE 'calm'; CREATE TABLE new_leaf PARTITION OF tree FOR VALUES IN (3)"
    )
    const second = await start()
    await expectNews(second.url)
    await expectSteady(second.url)
    assert.strictEqual((await ask(second.url, { table: "leaf", offset: "-1" })).handle, kept.handle)
  })
})
