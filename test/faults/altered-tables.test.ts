import { assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { ask, databaseForTest, serviceForTest, untilLooked } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

interface Case {
  /** Has a shape of each of the selections, and a change that has been streamed, before anything is altered. */
  readonly setUp: string
  readonly change: string
  readonly alter: string
  readonly columns?: string
  /** A write that comes later, when the shape has been there again for a while. */
  readonly later?: string
}

const ordinary = (table: string, alter: string, more: Partial<Case> = {}): Case => ({
  setUp: `CREATE TABLE ${table} (id int PRIMARY KEY, name text, b int); INSERT INTO ${table} VALUES (1, 'A', 1)`,
  change: `INSERT INTO ${table} VALUES (2, 'B', 2)`,
  alter,
  later: `INSERT INTO ${table} (id) VALUES (3)`,
  ...more
})

const tree = (name: string) => `
  CREATE TABLE ${name} (id int PRIMARY KEY, name text, b int) PARTITION BY RANGE (id);
  CREATE TABLE ${name}_1 PARTITION OF ${name} FOR VALUES FROM (0) TO (10);
  CREATE TABLE ${name}_2 PARTITION OF ${name} FOR VALUES FROM (10) TO (20);
  CREATE TABLE ${name}_3 PARTITION OF ${name} FOR VALUES FROM (20) TO (30);
  INSERT INTO ${name} VALUES (1, 'A', 1), (11, 'B', 2), (21, 'C', 3)`

const partitioned = (name: string, alter: string, more: Partial<Case> = {}): Case => ({
  setUp: tree(name),
  change: `INSERT INTO ${name} VALUES (2, 'D', 4), (12, 'E', 5), (22, 'F', 6)`,
  alter,
  later: `INSERT INTO ${name} (id) VALUES (13)`,
  ...more
})

/** By table: what was altered, and nobody writes to the table afterwards. */
const cases: Readonly<Record<string, Case>> = {
  added: ordinary("added", "ALTER TABLE added ADD COLUMN iso text"),
  filled: ordinary("filled", "ALTER TABLE filled ADD COLUMN iso text NOT NULL DEFAULT 'x'"),
  swapped: ordinary("swapped", "ALTER TABLE swapped ADD COLUMN iso text, DROP COLUMN b"),
  renamed: ordinary("renamed", "ALTER TABLE renamed RENAME COLUMN b TO c"),
  replaced: ordinary(
    "replaced",
    "ALTER TABLE replaced RENAME COLUMN b TO c; ALTER TABLE replaced ADD COLUMN b text"
  ),
  selected: ordinary("selected", "ALTER TABLE selected ADD COLUMN fresh text DEFAULT 'y'", {
    columns: "id,fresh"
  }),
  undone: ordinary("undone", "ALTER TABLE undone ADD COLUMN iso text; ALTER TABLE undone DROP COLUMN iso"),
  dropped: ordinary("dropped", "ALTER TABLE dropped DROP COLUMN name"),
  root_added: partitioned("root_added", "ALTER TABLE root_added ADD COLUMN iso text"),
  root_renamed: partitioned(
    "root_renamed",
    "ALTER TABLE root_renamed RENAME COLUMN b TO c; INSERT INTO root_renamed (id) VALUES (3)"
  ),
  root_dropped: partitioned("root_dropped", "ALTER TABLE root_dropped DROP COLUMN name"),
  split: partitioned(
    "split",
    `BEGIN; ALTER TABLE split DETACH PARTITION split_2;
     CREATE TABLE split_2a PARTITION OF split FOR VALUES FROM (10) TO (12);
     CREATE TABLE split_2b PARTITION OF split FOR VALUES FROM (12) TO (20);
     INSERT INTO split SELECT * FROM split_2; DROP TABLE split_2; COMMIT; ALTER TABLE split ADD COLUMN iso text`
  ),
  remade: partitioned(
    "remade",
    `BEGIN; DROP TABLE remade_2; CREATE TABLE remade_2 PARTITION OF remade FOR VALUES FROM (10) TO (20); COMMIT;
     ALTER TABLE remade RENAME COLUMN b TO c`
  )
}

interface Reading {
  rows: ReadonlyArray<string>
  conflicts: number
}

/** Fetches a shape from its beginning as a client does, and again as often as it is told to. */
const read = async (url: string, params: Readonly<Record<string, string>>): Promise<Reading> => {
  const reader = new ShapeLogReader({ url, params, mayRefetch: true })
  do {
    await reader.step()
    if (reader.refetches > 5) throw new Error("it is told to fetch again and again")
  } while (!reader.isUpToDate)
  return {
    rows: Array.from(reader.rows.values(), (row) => JSON.stringify(row)).toSorted(),
    conflicts: reader.refetches
  }
}

describe("a table that is altered and not written to", () => {
  it(
    "has its rows within seconds, whether its clients fetch it again or not",
    { timeout: patient(120_000) },
    async () => {
      const database = await databaseForTest()
      const tables = Object.entries(cases)
      for (const [, { setUp }] of tables) await database.query(setUp)
      const { url, logs } = await serviceForTest({ database })
      for (const [table, { change }] of tables) {
        assert.strictEqual((await ask(url, { table })).status, 200)
        assert.strictEqual((await ask(url, { table, columns: "id" })).status, 200)
        await database.query(change)
      }
      for (const [table] of tables)
        await eventually(`the change of ${table}`, async () => {
          const { rows } = await read(url, { table, columns: "id" })
          return rows.includes('{"id":"2"}')
        })
      await Promise.all(
        tables.map(async ([table, { alter, columns, later }]) => {
          const parameters: Readonly<Record<string, string>> =
            columns === undefined ? { table } : { table, columns }
          const session = await database.connect()
          const selected = async () => {
            const { rows } = await session.query<Record<string, unknown>>(
              `SELECT row_to_json(t)::text AS row FROM (SELECT ${columns ?? "*"} FROM ${table}) t`
            )
            return rows.map(({ row }) => String(row)).toSorted()
          }
          await session.query(alter)
          let conflicts = 0
          const agrees = (what: string) =>
            eventually(`${table} ${what}`, async () => {
              const now = await read(url, parameters)
              conflicts += now.conflicts
              assert.deepStrictEqual(now.rows, (await selected()).map(asTexts))
              return true
            })
          await agrees("as it was altered")
          if (later !== undefined) await session.query(later)
          await agrees("with a later change")
          assert.isAtMost(conflicts, 3, `must-refetch for ${table}\n${logs()}`)
        })
      )
    }
  )
})

describe("what becomes of a table", () => {
  it(
    "is answered at once and for good when it is gone, and followed when it is replaced",
    {
      timeout: patient(120_000)
    },
    async () => {
      const database = await databaseForTest()
      await database.query(`
      CREATE TABLE gone (id int PRIMARY KEY, v text);
      CREATE TABLE subset (id int PRIMARY KEY, v text); INSERT INTO subset VALUES (1, 'a');
      CREATE TABLE replaced (id int PRIMARY KEY, v text); INSERT INTO replaced VALUES (1, 'old');
      CREATE TABLE fresh (id int PRIMARY KEY, v text);
      CREATE TABLE nullable (id int PRIMARY KEY, v text NOT NULL);
      CREATE TABLE plain (id int PRIMARY KEY, v text);
      CREATE TYPE nothing AS ENUM (); CREATE TYPE empty AS ();
      CREATE TABLE strange (id int PRIMARY KEY, e nothing, c empty, l nothing[]);
      CREATE FUNCTION f1(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 1'`)
      const { logs, url } = await serviceForTest({ database })
      for (const table of ["gone", "subset", "replaced", "nullable", "plain", "strange"])
        assert.strictEqual((await ask(url, { table })).status, 200)

      // Altered, written to, and dropped.
      await database.query("ALTER TABLE gone ADD COLUMN n int; INSERT INTO gone VALUES (1, 'x', 1)")
      await database.query("SELECT pg_sleep(0.5); DROP TABLE gone")
      const gone = await ask(url, { table: "gone" })
      assert.strictEqual(gone.status, 400, gone.body)

      // Dropped while clients read subsets of it.
      await database.query("DROP TABLE subset")
      const subset = await ask(url, { table: "subset", subset__where: "id = 1" })
      assert.strictEqual(subset.status, 400, subset.body)

      // Dropped before it was looked at for the first time.
      assert.strictEqual((await ask(url, { table: "fresh" })).status, 200)
      await database.query("DROP TABLE fresh")
      await database.query(
        `BEGIN; DROP TABLE replaced; CREATE TABLE replaced (id int PRIMARY KEY, v text);
       INSERT INTO replaced VALUES (2, 'new'); COMMIT;
       ALTER TABLE nullable ALTER COLUMN v DROP NOT NULL`
      )
      await eventually(
        "the end of a table that was young",
        async () => (await ask(url, { table: "fresh" })).status === 400
      )
      await eventually("a table in the place of another", async () => {
        const { rows } = await read(url, { table: "replaced" })
        return rows.join() === '{"id":"2","v":"new"}'
      })
      await eventually("a column that may be NULL", async () => {
        const response = await fetch(`${url}/v1/shape?table=nullable&offset=-1`)
        await response.arrayBuffer()
        return (
          response.headers.get("electric-schema") ===
          '{"id":{"type":"int4","pk_index":0,"not_null":true},"v":{"type":"text"}}'
        )
      })

      // A condition that Postgres does not understand any more.
      assert.strictEqual((await ask(url, { table: "plain", where: "f1(id)" })).status, 200)
      await database.query("DROP FUNCTION f1(int)")
      for (const where of ["f1(id)", "f1(id) AND id > 0"])
        await eventually(`a refusal of ${where}`, async () => {
          const answer = await ask(url, { table: "plain", where, subset__where: "id > 0" })
          assert.notStrictEqual(answer.status, 409)
          return answer.status === 400
        })
      await database.query("CREATE FUNCTION f1(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 2'")
      assert.strictEqual((await ask(url, { table: "plain", where: "f1(id) AND id > 1" })).status, 200)
      assert.notInclude(logs(), "error", logs())
    }
  )

  it("is noticed when it leaves the publication and comes back", { timeout: patient(120_000) }, async () => {
    const database = await databaseForTest()
    await database.query(`
      CREATE TABLE left_it (id int PRIMARY KEY); CREATE TABLE lacked (id int PRIMARY KEY);
      CREATE TABLE stays (id int PRIMARY KEY)`)
    const { untilLogged, url } = await serviceForTest({ database })
    const stays = await ask(url, { table: "stays" })
    for (const table of ["left_it", "lacked"]) assert.strictEqual((await ask(url, { table })).status, 200)
    await untilLooked(database)
    const publication = `ALTER PUBLICATION ${database.publicationName}`
    const shows = (table: string, id: string) =>
      eventually(`row ${id} of ${table}`, async () =>
        (await read(url, { table })).rows.includes(`{"id":"${id}"}`)
      )
    await database.query(`${publication} DROP TABLE left_it`)
    await database.query("INSERT INTO left_it VALUES (1)")
    await database.query(`${publication} ADD TABLE left_it`)
    await shows("left_it", "1")
    assert.strictEqual((await ask(url, { table: "stays" })).handle, stays.handle)
    await database.query(`${publication} SET (publish = 'update')`)
    await database.query("INSERT INTO lacked VALUES (1)")
    await database.query(`${publication} SET (publish = 'insert, update, delete, truncate')`)
    await shows("lacked", "1")
    await untilLogged(/BATON-SHAPE-COMPARED/)
  })
})

/** A row as the service writes it: every value is a text. */
const asTexts = (json: string): string =>
  JSON.stringify(
    Object.fromEntries(
      Object.entries(JSON.parse(json) as Record<string, unknown>).map(([name, value]) => [
        name,
        value === null ? null : String(value)
      ])
    )
  )
