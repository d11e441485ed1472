import { afterAll, afterEach, assert, beforeAll, describe, inject, it, onTestFinished } from "vitest"
import {
  everyArray,
  everyType,
  literals,
  ownTypes,
  typesWithoutInput
} from "../../testing/postgres/EveryType.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { columnsOf, createFilled, randomTransactions } from "../../testing/postgres/RandomTransactions.ts"
import {
  type RecordingClient,
  type RecordingOptions,
  startClient
} from "../../testing/readers/RecordingClient.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { differenceOfRows, selectRows } from "../../testing/postgres/Rows.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

const db = databaseForFile((database) => database.query(ownTypes))
let service: TestService

beforeAll(async () => {
  service = await startService({ database: db() })
})
afterAll(() => service.dispose())
afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(service.logs())
})

const sync = (
  params: RecordingOptions["params"],
  options: Partial<RecordingOptions> = {}
): RecordingClient => {
  const client = startClient({ url: service.url, params, retryMillis: 20, ...options })
  onTestFinished(() => client.stop())
  return client
}

/** Waits until the client has what the query gives, value by value. Nobody may write meanwhile. */
const untilEqual = async (client: RecordingClient, sql: string, collapse = false): Promise<void> => {
  const expected = await selectRows(db(), sql)
  let compared = -1
  let differs: string | undefined = "the client has not been told of anything"
  await eventually(
    "equal rows",
    () => {
      // Comparing is work: only when something has come since the last time.
      const { operations, refetches } = client.ledger
      const state = operations + 1_000_000 * refetches + 1_000_000_000 * client.rows().length
      if (state !== compared) differs = differenceOfRows(expected, client.rows(), { collapse })
      compared = state
      if (differs !== undefined) throw new Error(differs)
      return true
    },
    20_000
  )
}

const assertClean = (client: RecordingClient): void => {
  assert.deepStrictEqual(client.ledger.problems, [])
  assert.deepStrictEqual(client.failures, [])
  assert.deepStrictEqual(client.errors, [])
}

describe("the official client, while the table changes", () => {
  it("covers every type of the catalogue that can hold a value", async () => {
    const rows = await db().query<{ name: string }>(
      "SELECT typname AS name FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A' ORDER BY 1"
    )
    const missing = rows.map(({ name }) => name).filter((name) => literals[name] === undefined)
    // Arrays by category, vectors that are arrays underneath: they have columns as well.
    assert.deepStrictEqual(missing, typesWithoutInput)
  })

  it(
    "has 10,000 rows of every type, then 1,000 changes in random transactions",
    { timeout: patient(90_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const writer = await db().connect()
      const table = { name: "every_type", columns: await columnsOf(writer, everyType) }
      const ids = await createFilled(writer, table, 10_000, random)
      const full = sync({ table: "every_type", replica: "full" }, { versionColumn: "v" })
      const standard = sync({ table: "every_type" }, { versionColumn: "v" })
      const some = sync({ table: "every_type", columns: 'id,v,c_json,"c_bool"' }, { versionColumn: "v" })
      const writing = randomTransactions(writer, table, 500, random, ids)
      await Promise.all([full.shape.rows, standard.shape.rows, some.shape.rows, writing])
      await randomTransactions(writer, table, 500, random, ids)
      const late = sync({ table: "every_type" }, { versionColumn: "v" })
      try {
        for (const client of [full, standard, late]) await untilEqual(client, "SELECT * FROM every_type")
        await untilEqual(some, "SELECT id, v, c_json, c_bool FROM every_type")
        for (const client of [full, standard, some, late]) assertClean(client)
        assert.strictEqual(late.ledger.operations, standard.ledger.operations)
        assert.strictEqual(late.ledger.digest, standard.ledger.digest)
      } catch (error) {
        throw new Error(`with seed ${seed}`, { cause: error })
      }
    }
  )

  it("has arrays of every type", async () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    const writer = await db().connect()
    const table = { name: "every_array", columns: await columnsOf(writer, everyArray) }
    const ids = await createFilled(writer, table, 200, random)
    const client = sync({ table: "every_array", replica: "full" }, { versionColumn: "v" })
    await client.shape.rows
    await randomTransactions(writer, table, 100, random, ids)
    await untilEqual(client, "SELECT * FROM every_array").catch((error: unknown) => {
      throw new Error(`with seed ${seed}`, { cause: error })
    })
    assertClean(client)
  })

  it("parses values by the types that the service declares", async () => {
    await db().query(
      `CREATE TABLE parsed (id int PRIMARY KEY, big bigint, yes bool, f float8, j jsonb, list int[] NOT NULL, t text);
       INSERT INTO parsed VALUES (1, 9007199254740993, true, 1.5, '{"a": [1]}', '{1,2}', 'x')`
    )
    const client = sync({ table: "parsed" }, { parses: true })
    await client.shape.rows
    const expected = { big: 9007199254740993n, yes: true, f: 1.5, j: { a: [1] }, list: [1, 2], t: "x" }
    assert.deepStrictEqual(client.shape.currentRows, [{ id: 1, ...expected }])
    await db().query("INSERT INTO parsed SELECT 2, big, yes, f, j, list, t FROM parsed")
    await eventually("the second row", () => client.shape.currentRows.length === 2)
    assert.deepStrictEqual(client.shape.currentRows[1], { id: 2, ...expected })
  })
})

/** Creates, syncs from before and from after the changes, and compares. */
const follows = async (
  create: string,
  params: RecordingOptions["params"],
  changes: ReadonlyArray<string>,
  select: string,
  options: { readonly collapse?: boolean } = {}
): Promise<RecordingClient> => {
  await db().query(create)
  const early = sync(params)
  const full = sync({ ...params, replica: "full" })
  await Promise.all([early.shape.rows, full.shape.rows])
  for (const change of changes) await db().query(change)
  await untilEqual(early, select, options.collapse)
  await untilEqual(full, select, options.collapse)
  const late = sync(params)
  await untilEqual(late, select, options.collapse)
  for (const client of [early, full, late]) assertClean(client)
  return early
}

describe("the official client, with tables of every kind", () => {
  it("composite key, in the order of the key, not of the columns", () =>
    follows(
      "CREATE TABLE composite (a int, b text, c int, PRIMARY KEY (c, a)); INSERT INTO composite VALUES (1, 'x', 2), (2, 'y', 1)",
      { table: "composite" },
      [
        "INSERT INTO composite VALUES (1, 'z', 1)",
        "UPDATE composite SET b = 'new' WHERE a = 1 AND c = 2",
        "UPDATE composite SET c = 9 WHERE a = 2",
        "UPDATE composite SET a = c, c = a WHERE a = 1 AND c = 2",
        "DELETE FROM composite WHERE a = 1 AND c = 1"
      ],
      "SELECT * FROM composite"
    ))

  it("text key with quotes, slashes and blanks", () =>
    follows(
      `CREATE TABLE texts (k text, l text, n int, PRIMARY KEY (k, l));
       INSERT INTO texts VALUES ('a/b', 'c', 1), ('a', 'b/c', 2), ('q"q', '', 3), ('', ' ', 4), ('/', '//', 5), ('"/"', '🙂', 6)`,
      { table: "texts" },
      [
        "UPDATE texts SET n = n + 10",
        "UPDATE texts SET k = k || '/\"'",
        "DELETE FROM texts WHERE n IN (12, 15)"
      ],
      "SELECT * FROM texts"
    ))

  it("no key: every column is the key, NULL included", () =>
    follows(
      "CREATE TABLE keyless (a int, b text); INSERT INTO keyless VALUES (1, 'x'), (NULL, NULL), (2, NULL)",
      { table: "keyless" },
      [
        "INSERT INTO keyless VALUES (3, '_'), (NULL, 'y')",
        "UPDATE keyless SET b = 'set' WHERE a = 2",
        "DELETE FROM keyless WHERE a IS NULL AND b IS NULL"
      ],
      "SELECT * FROM keyless"
    ))

  it("names that need quotes, in another schema", () =>
    follows(
      `CREATE SCHEMA "Other.Schema";
       CREATE TABLE "Other.Schema"."My ""Table""" ("Id" int PRIMARY KEY, "a,b" text, "value" text, "select" int);
       INSERT INTO "Other.Schema"."My ""Table""" VALUES (1, 'x', 'y', 2)`,
      { table: '"Other.Schema"."My ""Table"""' },
      [
        `INSERT INTO "Other.Schema"."My ""Table""" VALUES (2, 'x', NULL, 3)`,
        `UPDATE "Other.Schema"."My ""Table""" SET "a,b" = 'changed', "value" = 'v' WHERE "Id" = 1`
      ],
      `SELECT * FROM "Other.Schema"."My ""Table"""`
    ))

  it("a partitioned table, rows moving between partitions", () =>
    follows(
      `CREATE TABLE parted (id int, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
       CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
       CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
       INSERT INTO parted VALUES (1, 'eu', 1), (2, 'us', 2)`,
      { table: "parted" },
      [
        "INSERT INTO parted VALUES (3, 'eu', 3), (4, 'us', 4)",
        "UPDATE parted SET n = n * 10",
        "UPDATE parted SET region = 'us' WHERE id = 1",
        "DELETE FROM parted WHERE id = 2",
        "CREATE TABLE parted_asia PARTITION OF parted FOR VALUES IN ('asia'); INSERT INTO parted VALUES (5, 'asia', 5)"
      ],
      "SELECT * FROM parted"
    ))

  it("one partition of it", () =>
    follows(
      `CREATE TABLE halves (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
       CREATE TABLE low PARTITION OF halves FOR VALUES FROM (0) TO (100);
       CREATE TABLE high PARTITION OF halves FOR VALUES FROM (100) TO (200);
       INSERT INTO halves VALUES (1, 1), (150, 1)`,
      { table: "low" },
      ["INSERT INTO halves VALUES (2, 2), (102, 2)", "UPDATE halves SET id = id + 100 WHERE id = 1"],
      "SELECT * FROM low"
    ))

  it("large values that are not part of the change", () =>
    follows(
      `CREATE TABLE toasted (id int PRIMARY KEY, big text, n int);
       ALTER TABLE toasted ALTER COLUMN big SET STORAGE EXTERNAL;
       INSERT INTO toasted SELECT i, repeat(i::text, 20000), 0 FROM generate_series(1, 5) i`,
      { table: "toasted" },
      [
        "UPDATE toasted SET n = n + 1",
        "UPDATE toasted SET id = id + 10 WHERE id < 3",
        "UPDATE toasted SET big = repeat('z', 30000) WHERE id = 4",
        "INSERT INTO toasted VALUES (6, repeat('ü', 50000), 1)",
        "DELETE FROM toasted WHERE id = 5"
      ],
      "SELECT * FROM toasted"
    ))

  it.skipIf(inject("pg").majorVersion < 18)("a stored generated column", () =>
    follows(
      `CREATE TABLE generated (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
       INSERT INTO generated VALUES (1, 1), (2, NULL)`,
      { table: "generated" },
      ["INSERT INTO generated VALUES (3, 3)", "UPDATE generated SET n = 7 WHERE id < 3"],
      "SELECT * FROM generated"
    )
  )
})

/** A shape that is followed, a change of its table, and a write: the client goes on, and has not fetched more often than that. */
const goesOn = async (
  table: string,
  change: string,
  write: string,
  conflicts: number,
  options: Partial<RecordingOptions> = {}
) => {
  await db().query(
    `CREATE TABLE ${table} (id int PRIMARY KEY, a text, b int); INSERT INTO ${table} VALUES (1, 'one', 1), (2, 'two', 2)`
  )
  const client = sync({ table }, options)
  await client.shape.rows
  const handle = client.shape.handle
  await db().query(change)
  if (write !== "") await db().query(write)
  await untilEqual(client, `SELECT * FROM ${table}`)
  if (conflicts > 0) await eventually("a new shape", () => client.shape.handle !== handle)
  await db().query(`INSERT INTO ${table} (id, b) VALUES (77, 7)`)
  await untilEqual(client, `SELECT * FROM ${table}`)
  assert.strictEqual(client.conflicts(), conflicts)
  assert.strictEqual(client.shape.handle === handle, conflicts === 0)
  assert.deepStrictEqual(client.errors, [])
  assert.deepStrictEqual(client.ledger.problems, [])
}

const resyncs = (table: string, change: string, write: string, options: Partial<RecordingOptions> = {}) =>
  goesOn(table, change, write, 1, options)

describe("the official client, when the table itself changes", () => {
  it("TRUNCATE", () =>
    goesOn("truncated", "TRUNCATE truncated", "INSERT INTO truncated VALUES (3, 'three', 3)", 0))
  it("TRUNCATE that leaves it empty", () => goesOn("emptied", "TRUNCATE emptied", "", 0))
  it("a new column", () =>
    resyncs(
      "widened",
      "ALTER TABLE widened ADD COLUMN c int DEFAULT 5",
      "INSERT INTO widened VALUES (3, 'three', 3)"
    ))
  it("a column less", () =>
    goesOn("narrowed", "ALTER TABLE narrowed DROP COLUMN a", "INSERT INTO narrowed VALUES (3, 3)", 0))
  it("another type", () =>
    resyncs(
      "retyped",
      "ALTER TABLE retyped ALTER COLUMN b TYPE text",
      "UPDATE retyped SET a = 'x' WHERE id = 1"
    ))
  it("another column name", () =>
    goesOn(
      "renamed",
      "ALTER TABLE renamed RENAME COLUMN a TO c",
      "UPDATE renamed SET c = 'x' WHERE id = 1",
      0
    ))

  it("DROP and CREATE, which the stream does not tell of", async () => {
    const watchful = await startService({
      database: db(),
      env: {
        ELECTRIC_REPLICATION_STREAM_ID: `${db().streamId}_watchful`,
        ELECTRIC_TWEAKS_SCHEMA_RECONCILER_PERIOD: "300ms",
        ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD: "300ms"
      }
    })
    onTestFinished(() => watchful.dispose())
    await resyncs(
      "recreated",
      "DROP TABLE recreated; CREATE TABLE recreated (id int PRIMARY KEY, a text, b int)",
      "INSERT INTO recreated VALUES (9, 'nine', 9)",
      { url: watchful.url }
    )
  })

  it("a column that the shape has not selected changes nothing", async () => {
    await db().query(
      "CREATE TABLE selected (id int PRIMARY KEY, a text, b int); INSERT INTO selected VALUES (1, 'one', 1)"
    )
    const client = sync({ table: "selected", columns: "id,a" })
    await client.shape.rows
    await db().query("ALTER TABLE selected ADD COLUMN c int; ALTER TABLE selected DROP COLUMN b")
    await db().query("INSERT INTO selected VALUES (2, 'two', 2)")
    await untilEqual(client, "SELECT id, a FROM selected")
    assertClean(client)
  })
})
