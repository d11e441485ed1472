import { assert, describe, it } from "vitest"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { expectNothingDiffers } from "../../testing/services/VerifyShapes.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { eventually } from "../../testing/Eventually.ts"
import { databaseForTest, serviceForTest, storageForTest, untilLooked } from "./support/faults.ts"

interface Answer {
  readonly status: number
  readonly handle: string
  readonly offset: string
  readonly ids: ReadonlyArray<unknown>
}

const ask = async (url: string, parameters: Readonly<Record<string, string>>): Promise<Answer> => {
  const response = await fetch(`${url}/v1/shape?${new URLSearchParams(parameters)}`)
  const body: unknown = await response.json()
  const messages = Array.isArray(body)
    ? (body as ReadonlyArray<{ readonly value?: { readonly id?: unknown } }>)
    : []
  return {
    status: response.status,
    handle: response.headers.get("electric-handle") ?? "",
    offset: response.headers.get("electric-offset") ?? "",
    ids: messages.flatMap(({ value }) => (value === undefined ? [] : [value.id]))
  }
}

const tables = ["a", "b", "c"] as const

const firstRows = async (url: string) => {
  const shapes = new Map<string, Answer>()
  for (const table of tables) shapes.set(table, await ask(url, { table, offset: "-1" }))
  return shapes
}

/** The client of a shape gets what it lacks, and goes on. */
const expectRepaired = async (database: TestDatabase, url: string, table: string, before: Answer) => {
  const rest = { table, handle: before.handle, offset: before.offset }
  await eventually(`${table} has what it lacks`, async () => {
    const { ids, status } = await ask(url, rest)
    assert.strictEqual(status, 200)
    return ids.includes("2")
  })
  await database.query(`INSERT INTO ${table} VALUES (3)`)
  await eventually(`changes of ${table} arrive`, async () => {
    const { handle, ids, status } = await ask(url, rest)
    assert.strictEqual(status, 200)
    assert.strictEqual(handle, before.handle)
    return String(ids) === "2,3"
  })
}

/** The shapes go on, after the looks that could have dropped them. */
const expectKept = async (database: TestDatabase, url: string, kept: ReadonlyMap<string, Answer>) => {
  await untilLooked(database)
  for (const [table, before] of kept) {
    const now = await ask(url, { table, handle: before.handle, offset: before.offset })
    assert.strictEqual(now.status, 200, table)
    assert.strictEqual(now.handle, before.handle, table)
  }
}

const prepare = async () => {
  const database = await databaseForTest()
  const storageDir = storageForTest()
  for (const table of [...tables, "other"])
    await database.query(`CREATE TABLE ${table} (id int PRIMARY KEY); INSERT INTO ${table} VALUES (1)`)
  const start = (env: Readonly<Record<string, string>> = {}) => serviceForTest({ database, storageDir, env })
  return { database, start, name: database.publicationName }
}

const answerOf = (shapes: ReadonlyMap<string, Answer>, table: string): Answer => {
  const answer = shapes.get(table)
  if (answer === undefined) throw new Error(`no shape of ${table}`)
  return answer
}

describe("a table that was not published for some time while nobody looked", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)(
    "has what it lacks after a start that follows a %s, and the others go on",
    async (signal) => {
      const { database, name, start } = await prepare()
      const first = await start()
      const shapes = await firstRows(first.url)
      await first.stop(signal)
      await database.query(`ALTER PUBLICATION ${name} DROP TABLE a`)
      await database.query("INSERT INTO a VALUES (2)")
      await database.query(`ALTER PUBLICATION ${name} ADD TABLE a`)
      await database.query(`ALTER PUBLICATION ${name} ADD TABLE other`)
      const second = await start()
      await expectRepaired(database, second.url, "a", answerOf(shapes, "a"))
      await expectKept(database, second.url, new Map([["b", answerOf(shapes, "b")]]))
    }
  )

  it("has what it lacks with all others when the publication lacked an operation, or was another one", async () => {
    const { database, name, start } = await prepare()
    const first = await start()
    const shapes = await firstRows(first.url)
    await first.stop("SIGTERM")
    await database.query(`ALTER PUBLICATION ${name} SET (publish = 'update')`)
    for (const table of tables) await database.query(`INSERT INTO ${table} VALUES (2)`)
    await database.query(`ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate')`)
    const second = await start()
    for (const table of tables) await expectRepaired(database, second.url, table, answerOf(shapes, table))
  })

  it("has what it lacks when that was right after its first shape was made", async () => {
    const { database, name, start } = await prepare()
    const { url } = await start()
    const before = await ask(url, { table: "a", offset: "-1" })
    await database.query(`ALTER PUBLICATION ${name} DROP TABLE a`)
    await database.query("INSERT INTO a VALUES (2)")
    await database.query(`ALTER PUBLICATION ${name} ADD TABLE a`)
    await expectRepaired(database, url, "a", before)
    const other = await ask(url, { table: "b", offset: "-1" })
    await database.query(`ALTER PUBLICATION ${name} SET (publish = 'update')`)
    await database.query("INSERT INTO b VALUES (2)")
    await database.query(`ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate')`)
    await expectRepaired(database, url, "b", other)
    await expectNothingDiffers(url)
  })

  it("has no deletes of what its readers never had, where sub-selects ask the database for rows", async () => {
    const { database, name, start } = await prepare()
    await database.query(
      `CREATE TABLE tasks (id int PRIMARY KEY, project int); INSERT INTO tasks VALUES (1, 1);
       CREATE TABLE members (project int PRIMARY KEY); INSERT INTO members VALUES (1)`
    )
    const { url } = await start()
    const where = "project IN (SELECT project FROM members)"
    const reader = new ShapeLogReader({ url, params: { table: "tasks", where }, retryMillis: 20_000 })
    const has = (...ids: ReadonlyArray<string>) =>
      String(Array.from(reader.rows.values(), ({ id }) => id)) === ids.join()
    await reader.readToEnd()
    // Postgres has described both tables: it does so again only with changes of the one that is altered.
    await database.query("INSERT INTO members VALUES (0); INSERT INTO tasks VALUES (4, 0)")
    await reader.followUntil("the rows of the table", () => has("1", "4"))
    await database.query("DELETE FROM members WHERE project = 0")
    await reader.followUntil("the rows of the table", () => has("1"))
    await database.query(`ALTER PUBLICATION ${name} DROP TABLE tasks`)
    await database.query("INSERT INTO tasks VALUES (2, 1)")
    await database.query("DELETE FROM members")
    await database.query("INSERT INTO members VALUES (2)")
    await database.query("INSERT INTO tasks VALUES (3, 2)")
    // Fails when a row goes that is not there.
    await reader.followUntil("the rows of the table", () => has("3"))
    // The session that has found it may not have been followed by the next one yet.
    await eventually("a comparison", async () => {
      await expectNothingDiffers(url)
      return true
    })
  })
})

describe("a publication that nobody has altered", () => {
  it("is not taken for one that lacks changes when a table of it is dropped", async () => {
    const { database, start } = await prepare()
    const { logs, untilLogged, url } = await start()
    const shapes = await firstRows(url)
    const { handle, offset } = answerOf(shapes, "a")
    // Before anybody else has looked, the stream asks how its tables are published.
    await database.query("BEGIN; DROP TABLE c; INSERT INTO a VALUES (2); COMMIT")
    await eventually("the row of the table", async () =>
      (await ask(url, { table: "a", handle, offset })).ids.includes("2")
    )
    await untilLogged(new RegExp(`Dropped a shape: its table is gone.*${answerOf(shapes, "c").handle}`))
    await expectKept(database, url, new Map([["b", answerOf(shapes, "b")]]))
    assert.notMatch(logs(), /are compared with the database/)
  })

  it("costs no shape, whatever else happens to the catalogue", async () => {
    const { database, name, start } = await prepare()
    const first = await start()
    const shapes = await firstRows(first.url)
    // Once right after the shapes were made.
    for (const round of ["SIGKILL", "SIGTERM"] as const) {
      const running = round === "SIGKILL" ? first : await start()
      await running.stop(round)
      await database.query(`ALTER PUBLICATION ${name} ${round === "SIGKILL" ? "ADD" : "DROP"} TABLE other`)
      await database.query("CREATE PUBLICATION p_" + round + " FOR TABLE a")
      for (const table of ["pg_publication", "pg_publication_rel", "pg_class"]) {
        await database.query(`VACUUM FULL pg_catalog.${table}`)
        await database.query(`VACUUM FREEZE pg_catalog.${table}`)
      }
      await database.query(`ANALYZE; COMMENT ON PUBLICATION ${name} IS 'ours'`)
      await database.query("UPDATE a SET id = id")
    }
    const last = await start()
    await expectKept(database, last.url, shapes)
    assert.notMatch(last.logs(), /Dropped/)
  })
})
