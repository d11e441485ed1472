import { assert, describe, inject, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForTest, serviceForTest } from "./support/faults.ts"

type Schema = Readonly<Record<string, { readonly type: string; readonly not_null?: true }>>

interface Message {
  readonly value?: Readonly<Record<string, string | null>>
  readonly headers: Readonly<Record<string, unknown>>
}

const numbers = new Set(["int2", "int4", "int8"])

/** What makes official clients fail, or read something else than there is. */
const misfits = (schema: Schema, messages: ReadonlyArray<Message>): ReadonlyArray<string> =>
  messages.flatMap(({ value = {} }) =>
    Object.entries(value).flatMap(([name, text]) => {
      const column = schema[name]
      if (column === undefined) return [`${name} is not in the header`]
      if (text === null)
        return column.not_null === true ? [`${name} is NULL, and NOT NULL by the header`] : []
      return numbers.has(column.type) && !/^-?\d+$/.test(text) ? [`${name} is ${column.type}: ${text}`] : []
    })
  )

/** Reads a shape from its beginning as official clients do: they keep the header that they were given first. */
class Reader {
  readonly problems: Array<string> = []
  readonly rows: Array<Message["value"]> = []
  refetches = 0
  private readonly url: string
  private readonly params: Readonly<Record<string, string>>
  private at: { readonly handle: string; readonly offset: string; readonly schema: Schema } | undefined

  constructor(url: string, params: Readonly<Record<string, string>>) {
    this.url = url
    this.params = params
  }

  /** One request; `true` when nothing more is there. */
  async read(more: Readonly<Record<string, string>> = {}): Promise<boolean> {
    const { at } = this
    const place = at === undefined ? { offset: "-1" } : { handle: at.handle, offset: at.offset }
    const query = new URLSearchParams({ ...this.params, ...place, ...more })
    const response = await fetch(`${this.url}/v1/shape?${query}`)
    const body = await response.text()
    if (response.status === 409) {
      this.at = undefined
      this.rows.length = 0
      this.refetches++
      return false
    }
    // The table is being changed.
    if (response.status === 503) return false
    assert.strictEqual(response.status, 200, body)
    const parsed = JSON.parse(body) as ReadonlyArray<Message> | { readonly data: ReadonlyArray<Message> }
    const messages = "data" in parsed ? parsed.data : parsed
    const header = response.headers.get("electric-schema")
    const schema = at?.schema ?? (JSON.parse(header ?? "") as Schema)
    this.problems.push(...misfits(schema, messages))
    for (const { value } of messages) if (value !== undefined) this.rows.push(value)
    this.at = {
      handle: response.headers.get("electric-handle") ?? "",
      offset: response.headers.get("electric-offset") ?? "",
      schema
    }
    return response.headers.has("electric-up-to-date")
  }

  async readAll(): Promise<void> {
    while (!(await this.read())) if (this.problems.length > 0) return
  }
}

const read = async (url: string, params: Readonly<Record<string, string>>): Promise<Reader> => {
  const reader = new Reader(url, params)
  await reader.readAll()
  return reader
}

/** By what is done: to a table with rows, in one transaction. All of `c` is NULL afterwards, or no number. */
const alterations: Readonly<Record<string, (table: string) => string>> = {
  "another column has the name": (t) =>
    `ALTER TABLE ${t} RENAME c TO m; ALTER TABLE ${t} ADD COLUMN c varchar`,
  "the column is added again": (t) => `ALTER TABLE ${t} DROP COLUMN c, ADD COLUMN c int`,
  "the column may be NULL": (t) => `ALTER TABLE ${t} ALTER COLUMN c DROP NOT NULL; UPDATE ${t} SET c = NULL`,
  "the column has another type": (t) => `ALTER TABLE ${t} ALTER COLUMN c TYPE text USING 'word'`,
  "another table has the name": (t) =>
    `ALTER TABLE ${t} RENAME TO ${t}_old; CREATE TABLE ${t} (id int PRIMARY KEY, c text, d int);
     INSERT INTO ${t} VALUES (1, 'word', 1)`
}

const tables = Object.entries(alterations).map(([what, sql], n) => ({
  what,
  table: `t${n}`,
  sql: sql(`t${n}`)
}))

const setUp = (table: string) => `
  CREATE TABLE ${table} (id int PRIMARY KEY, c int NOT NULL, d int);
  INSERT INTO ${table} SELECT i, i, i FROM generate_series(1, 5) i`

describe("the schema that an answer says", () => {
  it("is that of the first rows in it, however new it is", { timeout: patient(120_000) }, async () => {
    const database = await databaseForTest()
    for (const { table } of tables) await database.query(setUp(table))
    const { url } = await serviceForTest({ database })
    // Somebody reads them, so they are remembered.
    for (const { table } of tables) await read(url, { table, columns: "id" })
    const session = await database.connect()
    for (const { sql, table, what } of tables) {
      await session.query(`BEGIN; ${sql}; COMMIT`)
      // All at once, before the next look.
      const readers = await Promise.all(
        [{}, { where: "id > 0" }, { where: "d > 0", columns: "id,c" }, { replica: "full" }].map((params) =>
          read(url, { table, ...params })
        )
      )
      for (const { problems } of readers) assert.deepStrictEqual(problems, [], what)
    }
  })

  it("is that of a subset in it", { timeout: patient(120_000) }, async () => {
    const database = await databaseForTest()
    for (const { table } of tables) await database.query(setUp(table))
    const { url } = await serviceForTest({ database })
    const readers = await Promise.all(tables.map(({ table }) => read(url, { table, log: "changes_only" })))
    const session = await database.connect()
    for (const [n, { sql, what }] of tables.entries()) {
      const reader = readers[n] ?? assert.fail()
      await session.query(`BEGIN; ${sql}; COMMIT`)
      await reader.read({ subset__where: "id > 0" })
      assert.deepStrictEqual(reader.problems, [], what)
    }
  })

  it("holds for all changes that come later", { timeout: patient(120_000) }, async () => {
    const database = await databaseForTest()
    const writes: ReadonlyArray<(table: string) => string> = [
      (t) => `UPDATE ${t} SET c = NULL`,
      (t) => `INSERT INTO ${t} (id) VALUES (2)`,
      (t) => `UPDATE ${t} SET id = 3, c = NULL`,
      // Only there does it get into the shape with the condition.
      (t) => `INSERT INTO ${t} (id) VALUES (-1); UPDATE ${t} SET id = 4 WHERE id = -1`
    ]
    const { url } = await serviceForTest({ database })
    const session = await database.connect()
    for (const [n, write] of writes.entries()) {
      const table = `later${n}`
      await session.query(`CREATE TABLE ${table} (id int PRIMARY KEY, c int NOT NULL, d int)`)
      const readers = await Promise.all(
        [{}, { where: "id > 0" }, { columns: "id,c" }].map((params) => read(url, { table, ...params }))
      )
      await session.query(`INSERT INTO ${table} VALUES (1, 1, 1)`)
      for (const reader of readers) await eventually("the row", () => reader.read({ live: "true" }))
      await session.query(`ALTER TABLE ${table} ALTER COLUMN c DROP NOT NULL`)
      await session.query(write(table))
      await Promise.all(
        readers.map((reader) =>
          eventually("a NULL, or a problem", async () => {
            await reader.read()
            return reader.problems.length > 0 || reader.rows.some((row) => row?.["c"] === null)
          })
        )
      )
      for (const { problems } of readers) assert.deepStrictEqual(problems, [])
    }
  })

  it("is that of the time at which the rows were read", { timeout: patient(120_000) }, async () => {
    const database = await databaseForTest()
    await database.query(`
      CREATE TABLE filled (id int PRIMARY KEY, c int); INSERT INTO filled VALUES (1, NULL);
      CREATE TABLE other (id int PRIMARY KEY)`)
    const { url } = await serviceForTest({ database })
    const first = await read(url, { table: "filled" })
    await database.query("UPDATE filled SET c = 1")
    await eventually("the update", async () => (await read(url, { table: "filled" })).rows.length > 1)
    const other = await read(url, { table: "other" })
    await database.query(
      "BEGIN; ALTER TABLE filled ALTER COLUMN c SET NOT NULL; ALTER TABLE other ADD COLUMN c int; COMMIT"
    )
    // One look shows both.
    await eventually("a look", async () => {
      await other.read()
      return other.refetches > 0
    })
    const later = await read(url, { table: "filled" })
    assert.deepStrictEqual([...first.problems, ...later.problems], [])
    assert.deepStrictEqual(later.rows[0], { id: "1", c: null })
  })

  it("does not believe a constraint that rows break (18)", { timeout: patient(120_000) }, async (context) => {
    const database = await databaseForTest()
    if (inject("pg").majorVersion < 18) return context.skip()
    await database.query(`
      CREATE TABLE broken (id int PRIMARY KEY, c int); INSERT INTO broken VALUES (1, NULL);
      ALTER TABLE broken ADD CONSTRAINT c_not_null NOT NULL c NOT VALID`)
    const { url } = await serviceForTest({ database })
    const { problems, rows } = await read(url, { table: "broken" })
    assert.deepStrictEqual(problems, [])
    assert.deepStrictEqual(rows, [{ id: "1", c: null }])
  })
})
