import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import { createCollection, createLiveQueryCollection, eq } from "@tanstack/db"
import { afterAll, afterEach, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { createDatabase, databaseForFile, type TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { differenceOfRows, selectRows } from "../../testing/postgres/Rows.ts"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { type RecordingClient, startClient } from "../../testing/readers/RecordingClient.ts"
import { type LogMessage, requestLog } from "../../testing/readers/ShapeLog.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const schema = `
  CREATE TABLE projects (id int PRIMARY KEY, owner text, active boolean, parent int);
  CREATE TABLE members (project_id int, person text, role text, PRIMARY KEY (project_id, person));
  CREATE TABLE tasks (id int PRIMARY KEY, project_id int, title text, v int NOT NULL DEFAULT 0);
  CREATE INDEX ON tasks (project_id);
  INSERT INTO projects SELECT n, CASE WHEN n % 3 > 0 THEN 'p' || n % 4 END, n % 2 = 0, nullif(n / 2, 0) FROM generate_series(1, 12) n;
  INSERT INTO members SELECT n, 'p' || n % 4, 'reader' FROM generate_series(1, 12) n;
  INSERT INTO tasks SELECT n, CASE WHEN n % 7 > 0 THEN 1 + n % 12 END, 'task ' || n FROM generate_series(1, 120) n`

const db = databaseForFile((database) => database.query(schema))
let service: TestService

beforeAll(async () => {
  service = await startService({ database: db() })
})
afterAll(() => service.dispose())
afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(service.logs())
})

const memberOf = (person: string) =>
  `project_id IN (SELECT project_id FROM members WHERE person = '${person}')`

/** One of each form. */
const clauses: ReadonlyArray<string> = [
  memberOf("p1"),
  "project_id NOT IN (SELECT id FROM projects WHERE active)",
  "project_id NOT IN (SELECT parent FROM projects)",
  "(project_id, v % 2) IN (SELECT id, length(owner) % 2 FROM projects)",
  "EXISTS (SELECT 1 FROM members WHERE members.project_id = tasks.project_id AND role = 'admin')",
  "NOT EXISTS (SELECT 1 FROM members m WHERE m.project_id = tasks.project_id)",
  "project_id IN (SELECT id FROM projects WHERE parent IN (SELECT project_id FROM members WHERE person = 'p2'))",
  "project_id = (SELECT parent FROM projects WHERE id = 5) OR title = 'task 3'",
  "project_id = ANY (SELECT id FROM projects WHERE owner = 'p1') AND v < 3",
  "project_id <> ALL (SELECT project_id FROM members WHERE role = 'admin')",
  "CASE WHEN v > 2 THEN project_id IN (SELECT id FROM projects WHERE active) ELSE v = 0 END",
  "(project_id IN (SELECT id FROM projects WHERE owner IS NULL)) IS NOT TRUE",
  "EXISTS (SELECT 1 FROM projects p WHERE p.id = tasks.project_id AND NOT EXISTS (SELECT 1 FROM members m WHERE m.person = p.owner AND m.project_id = tasks.v))",
  "title = (SELECT 'task ' || q.id::text FROM projects p JOIN projects q ON q.id = p.parent WHERE p.id = tasks.project_id)"
]

const sync = (params: Readonly<Record<string, string>>): RecordingClient => {
  const client = startClient({ url: service.url, params, retryMillis: 20 })
  onTestFinished(() => client.stop())
  return client
}

const assertClean = (client: RecordingClient, seed?: number): void => {
  const said = seed === undefined ? "" : ` (seed ${seed})`
  assert.deepStrictEqual(client.ledger.problems, [], said)
  assert.deepStrictEqual(client.failures, [], said)
  assert.deepStrictEqual(client.errors, [], said)
}

const untilEqual = (
  database: TestDatabase,
  client: { readonly rows: RecordingClient["rows"] },
  sql: string,
  seed?: number
) =>
  eventually(`equal rows of ${sql}${seed === undefined ? "" : ` (seed ${seed})`}`, async () => {
    const differs = differenceOfRows(await selectRows(database, sql), client.rows())
    if (differs !== undefined) throw new Error(differs)
    return true
  })

/** A transaction of one to four changes of any of the tables. */
const change = (random: Random): string => {
  const project = () => random.int(1, 13)
  const person = () => `'p${random.int(0, 4)}'`
  const orNull = (text: string | number) => (random.chance(0.15) ? "NULL" : String(text))
  const changes: ReadonlyArray<() => string> = [
    () =>
      `INSERT INTO members VALUES (${project()}, ${person()}, '${random.pick(["reader", "admin"])}') ON CONFLICT DO NOTHING`,
    () => `DELETE FROM members WHERE project_id = ${project()} AND person < ${person()}`,
    () => `UPDATE members SET role = '${random.pick(["reader", "admin"])}' WHERE person = ${person()}`,
    () => `UPDATE projects SET active = ${orNull("NOT active")} WHERE id = ${project()}`,
    () =>
      `UPDATE projects SET owner = ${orNull(person())}, parent = ${orNull(project())} WHERE id = ${project()}`,
    () =>
      `INSERT INTO projects VALUES (${project()}, ${person()}, true, ${orNull(project())}) ON CONFLICT DO NOTHING`,
    () => `DELETE FROM projects WHERE id = ${project()}`,
    () => `UPDATE tasks SET project_id = ${orNull(project())}, v = v + 1 WHERE id % 10 = ${random.int(0, 9)}`,
    () => `UPDATE tasks SET v = v + 1 WHERE id = ${random.int(1, 130)}`,
    () =>
      `INSERT INTO tasks VALUES (${random.int(1, 130)}, ${orNull(project())}, 'new') ON CONFLICT DO NOTHING`,
    () => `DELETE FROM tasks WHERE id = ${random.int(1, 130)}`,
    () => `UPDATE tasks SET id = (SELECT max(id) + 1 FROM tasks) WHERE id = ${random.int(1, 130)}`
  ]
  const statements = Array.from({ length: random.int(1, 4) }, () => random.pick(changes)())
  return `BEGIN; ${statements.join("; ")}; COMMIT`
}

describe("a shape with a sub-select", () => {
  it(
    "is followed by the official client in every form, as Postgres selects it",
    { timeout: patient(90_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const clients = clauses.flatMap((where, i) => [
        { where, client: sync({ table: "tasks", where, ...(i % 2 === 0 ? { replica: "full" } : {}) }) }
      ])
      const plain = sync({ table: "tasks" })
      for (const { client, where } of clients)
        await untilEqual(db(), client, `SELECT * FROM tasks WHERE ${where}`, seed)
      const writer = await db().connect()
      for (let round = 0; round < 8; round++) {
        for (let i = 0; i < 25; i++) await writer.query(change(random))
        for (const { client, where } of clients)
          await untilEqual(db(), client, `SELECT * FROM tasks WHERE ${where}`, seed)
      }
      await untilEqual(db(), plain, "SELECT * FROM tasks", seed)
      for (const { client } of clients) assertClean(client, seed)
      assertClean(plain, seed)
    }
  )

  it.each(["no restart", "SIGTERM", "SIGKILL"] as const)(
    "goes on while several write: %s",
    { timeout: patient(60_000) },
    async (restart) => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const database = await createDatabase()
      onTestFinished(() => database.drop())
      await database.query(schema)
      const env = { BATON_SHUTDOWN_GRACE: "1s" }
      const own = await startService({ database, env })
      onTestFinished(own.dispose)
      const where = memberOf("p1")
      const client = startClient({ url: own.url, params: { table: "tasks", where }, retryMillis: 20 })
      onTestFinished(() => client.stop())
      await untilEqual(database, client, `SELECT * FROM tasks WHERE ${where}`, seed)
      const writers = await Promise.all(Array.from({ length: 3 }, () => database.connect()))
      const stopped = new AbortController()
      const writing = writers.map(async (writer) => {
        const choices = random.fork()
        while (!stopped.signal.aborted)
          await writer.query(change(choices)).catch(async () => {
            // Two of them wanted the same row in another order.
            await writer.query("ROLLBACK")
          })
      })
      const moreMoves = async () => {
        const before = client.ledger.operationsInAll
        await eventually("some moves", () => client.ledger.operationsInAll > before + 50)
      }
      await moreMoves()
      if (restart !== "no restart") {
        await own.stop(restart)
        const next = await startService({ database, env, storageDir: own.storageDir, port: own.port })
        onTestFinished(next.dispose)
        await moreMoves()
      }
      stopped.abort()
      await Promise.all(writing)
      await untilEqual(database, client, `SELECT * FROM tasks WHERE ${where}`, seed)
      assert.deepStrictEqual(client.ledger.problems, [], `seed ${seed}`)
      assert.strictEqual(client.conflicts(), 0)
    }
  )
})

const key = (id: number) => `"public"."docs"/"${id}"`

/** What comes after the position, once something has come. */
const changesAfter = async (
  params: Readonly<Record<string, string>>,
  position: { readonly handle: string; readonly offset: string }
) => {
  const messages: Array<LogMessage> = []
  let { offset } = position
  await eventually("an end of the log with something before it", async () => {
    const answer = await requestLog(service.url, params, { handle: position.handle, offset })
    assert.strictEqual(answer.status, 200, answer.body)
    messages.push(...answer.messages)
    offset = answer.offset ?? offset
    return answer.isUpToDate && messages.some(({ headers }) => headers.operation !== undefined)
  })
  return messages.filter(({ headers }) => headers.operation !== undefined)
}

const beginning = async (params: Readonly<Record<string, string>>) => {
  const first = await requestLog(service.url, params, { offset: "-1" })
  assert.strictEqual(first.status, 200, first.body)
  const next = await requestLog(service.url, params, {
    offset: first.offset ?? "",
    handle: first.handle ?? ""
  })
  return { handle: first.handle ?? "", offset: next.offset ?? "" }
}

describe("rows that enter and leave because another table has changed", () => {
  it("are inserts and deletes of the transaction that has caused them", async () => {
    await db().query(`
      CREATE TABLE docs (id int PRIMARY KEY, folder int, body text); CREATE TABLE folders (id int PRIMARY KEY, open boolean);
      INSERT INTO folders VALUES (1, true), (2, false); INSERT INTO docs SELECT n, 1 + n % 2, 'x' FROM generate_series(1, 5) n`)
    const params = { table: "docs", where: "folder IN (SELECT id FROM folders WHERE open)" }
    const position = await beginning(params)
    const writer = await db().connect()
    await writer.query("BEGIN; UPDATE docs SET body = 'y' WHERE id = 2; UPDATE folders SET open = NOT open")
    const { rows } = await writer.query<{ txid: string }>("SELECT pg_current_xact_id()::xid::text AS txid")
    await writer.query("COMMIT")
    const changes = await changesAfter(params, position)
    const txids = [Number(rows[0]?.txid)]
    assert.deepStrictEqual(
      changes.map((one) => [one.headers.operation, one.key, one.headers.txids]),
      [
        ["update", key(2), txids],
        ["insert", key(1), txids],
        ["delete", key(2), txids],
        ["insert", key(3), txids],
        ["delete", key(4), txids],
        ["insert", key(5), txids]
      ]
    )
    assert.strictEqual(new Set(changes.map(({ headers }) => headers.lsn)).size, 1)
    const places = changes.map(({ headers }) => headers.op_position ?? -1)
    assert.deepStrictEqual(
      places,
      places.toSorted((a, b) => a - b)
    )
    assert.strictEqual(new Set(places).size, places.length)
    assert.deepStrictEqual(
      changes.map(({ headers }) => headers.last === true),
      [false, false, false, false, false, true]
    )
    assert.deepStrictEqual(changes[1]?.value, { id: "1", folder: "2", body: "x" })
    for (const { headers } of changes)
      assert.isEmpty(
        ["tags", "removed_tags", "active_conditions", "is_move_in", "event"].filter((name) => name in headers)
      )
  })

  it("are none where a transaction takes back what it did, or the values stay the same", async () => {
    await db().query(`
      CREATE TABLE notes (id int PRIMARY KEY, folder int); CREATE TABLE shelves (id int PRIMARY KEY, open boolean, label text);
      INSERT INTO shelves VALUES (1, true, 'a'), (2, false, 'b'); INSERT INTO notes VALUES (1, 1), (2, 2)`)
    const params = { table: "notes", where: "folder IN (SELECT id FROM shelves WHERE open)" }
    const position = await beginning(params)
    await db().query("BEGIN; UPDATE shelves SET open = NOT open; UPDATE shelves SET open = NOT open; COMMIT")
    await db().query("UPDATE shelves SET label = 'c'")
    await db().query("INSERT INTO notes VALUES (3, 1)")
    const changes = await changesAfter(params, position)
    assert.deepStrictEqual(
      changes.map(({ headers, value }) => [headers.operation, value?.["id"]]),
      [["insert", "3"]]
    )
  })

  it("leave when the other table is truncated, and the shape goes on", async () => {
    await db().query(`
      CREATE TABLE cards (id int PRIMARY KEY, deck int); CREATE TABLE decks (id int PRIMARY KEY);
      INSERT INTO decks VALUES (1); INSERT INTO cards VALUES (1, 1), (2, 2)`)
    const client = sync({ table: "cards", where: "deck IN (SELECT id FROM decks)" })
    const none = sync({ table: "cards", where: "deck NOT IN (SELECT id FROM decks)" })
    const check = async () => {
      await untilEqual(db(), client, "SELECT * FROM cards WHERE deck IN (SELECT id FROM decks)")
      await untilEqual(db(), none, "SELECT * FROM cards WHERE deck NOT IN (SELECT id FROM decks)")
    }
    await check()
    await db().query("TRUNCATE decks")
    await check()
    await db().query(
      "BEGIN; INSERT INTO decks VALUES (1); TRUNCATE decks; INSERT INTO decks VALUES (2); COMMIT"
    )
    await check()
    assertClean(client)
    assertClean(none)
  })
})

describe("values that are equal though they look different, and NaN", () => {
  it("are compared as Postgres compares them, beside NULL, too", async () => {
    await db().query(`
      CREATE TABLE points (id int PRIMARY KEY, x float8, y float8, z numeric);
      CREATE TABLE spots (id int PRIMARY KEY, x float8, y float8, z numeric);
      INSERT INTO points SELECT row_number() OVER (), x, y, z FROM unnest('{NaN,0,-0,1,NULL}'::float8[]) x,
        unnest('{NaN,-0,NULL}'::float8[]) y, unnest('{NaN,1.0,NULL}'::numeric[]) z;
      INSERT INTO spots VALUES (1, 'NaN', 1, 1)`)
    const wheres = ["(x, y)", "(x, z)", "(y, z)", "(x, y, z)"].map(
      (row) => `(${row} IN (SELECT ${row.slice(1, -1)} FROM spots))`
    )
    const shapes = wheres.flatMap((where) => [where, `${where} IS UNKNOWN`, `NOT ${where}`])
    const clients = shapes.map((where) => ({ where, client: sync({ table: "points", where }) }))
    for (const sql of [
      "SELECT 1",
      "INSERT INTO spots VALUES (2, 0, NULL, 1.00), (3, NULL, 'NaN', 'NaN')",
      "UPDATE spots SET x = -x, y = -0.0 WHERE id < 3",
      "DELETE FROM spots WHERE id = 3",
      "UPDATE spots SET x = 'NaN', y = NULL, z = 'NaN'"
    ]) {
      await db().query(sql)
      for (const { client, where } of clients)
        await untilEqual(db(), client, `SELECT * FROM points WHERE ${where}`)
    }
    for (const { client } of clients) assertClean(client)
  })
})

describe("rows of a partition that is truncated", () => {
  it("count no more, whatever else the transaction does and what is inside of the sub-select", async () => {
    await db().query(`
      CREATE TABLE pins (id int PRIMARY KEY, board int);
      CREATE TABLE boards (id int, open bool, wall int) PARTITION BY RANGE (id);
      CREATE TABLE boards_low PARTITION OF boards FOR VALUES FROM (MINVALUE) TO (10);
      CREATE TABLE boards_high PARTITION OF boards FOR VALUES FROM (10) TO (MAXVALUE);
      CREATE TABLE walls (id int PRIMARY KEY);
      INSERT INTO walls VALUES (1);
      INSERT INTO boards SELECT n, n % 2 = 0, n % 3 FROM generate_series(1, 20) n; INSERT INTO boards VALUES (2, true, 1);
      INSERT INTO pins SELECT n, n FROM generate_series(1, 22) n`)
    const wheres = [
      "board IN (SELECT id FROM boards WHERE open)",
      "board NOT IN (SELECT id FROM boards)",
      "board IN (SELECT id FROM boards WHERE wall IN (SELECT id FROM walls))",
      "1 = (SELECT w.id FROM boards b JOIN walls w ON w.id = b.wall WHERE b.id = pins.board)"
    ]
    const clients = wheres.map((where) => ({ where, client: sync({ table: "pins", where }) }))
    const check = async () => {
      for (const { client, where } of clients)
        await untilEqual(db(), client, `SELECT * FROM pins WHERE ${where}`)
    }
    await check()
    for (const sql of [
      "TRUNCATE boards_low",
      "INSERT INTO boards VALUES (3, true, 1), (4, true, 2)",
      "BEGIN; INSERT INTO boards VALUES (5, true, 1); INSERT INTO walls VALUES (2); TRUNCATE boards_low; INSERT INTO boards VALUES (6, true, 2), (21, true, 2); COMMIT",
      "BEGIN; DELETE FROM boards WHERE id = 12; TRUNCATE boards_high; UPDATE boards SET open = NOT open; COMMIT",
      "INSERT INTO boards VALUES (3, true, 1), (14, true, 2)",
      "TRUNCATE boards",
      "INSERT INTO boards VALUES (3, true, 1), (14, true, 2)",
      "TRUNCATE boards_low, boards_high"
    ]) {
      await db().query(sql)
      await check()
    }
    for (const { client } of clients) assertClean(client)
  })
})

interface Subset {
  readonly data: ReadonlyArray<{ readonly value: { readonly id: string } }>
}

const idsOf = (body: string) => (JSON.parse(body) as Subset).data.map(({ value }) => value.id)

describe("a value that a sub-select has no longer one row for", () => {
  it("ends the shape, and is the error of Postgres for whoever asks again", async () => {
    await db().query(`
      CREATE TABLE rooms (id int PRIMARY KEY, house int); CREATE TABLE houses (id int, street int); CREATE TABLE streets (id int, name text);
      INSERT INTO streets VALUES (1, 'high'); INSERT INTO houses VALUES (1, 1), (2, 1);
      INSERT INTO rooms SELECT n, 1 + n % 2 FROM generate_series(1, 6) n`)
    const joined =
      "'high' = (SELECT s.name FROM houses h JOIN streets s ON s.id = h.street WHERE h.id = rooms.house)"
    const wheres = [
      joined,
      "1 = (SELECT street FROM houses WHERE houses.id = rooms.house)",
      `NOT (${joined})`
    ]
    const shapes = await Promise.all(
      wheres.map(async (where) => {
        const params = { table: "rooms", where }
        const first = await requestLog(service.url, params, { offset: "-1" })
        assert.strictEqual(first.status, 200, first.body)
        return { params, position: { offset: first.offset ?? "", handle: first.handle ?? "" } }
      })
    )
    // Of house 1 there are two now, in one street.
    await db().query("INSERT INTO houses VALUES (1, 1)")
    for (const { params, position } of shapes) {
      await eventually(`${params.where} ends`, async () => {
        const { body, status } = await requestLog(service.url, params, position)
        if (status === 200) return false
        // A new one has another handle, or is an error again.
        assert.isTrue(status === 409 || status === 500, `${status}: ${body}`)
        return true
      })
      const again = await requestLog(service.url, params, { offset: "-1" })
      assert.strictEqual(again.status, 500, again.body)
      assert.include(again.body, "more than one row returned by a subquery used as an expression")
    }
    await db().query("DELETE FROM houses WHERE id = 1")
    for (const { params } of shapes)
      assert.strictEqual((await requestLog(service.url, params, { offset: "-1" })).status, 200)
  })
})

describe("a subset of a shape with a sub-select", () => {
  it("holds the rows that are in the shape now, and the stream goes on from there", async () => {
    await db().query(`
      CREATE TABLE pages (id int PRIMARY KEY, book int); CREATE TABLE books (id int PRIMARY KEY, lent boolean);
      INSERT INTO books VALUES (1, true), (2, false); INSERT INTO pages SELECT n, 1 + n % 2 FROM generate_series(1, 6) n`)
    const where = "book IN (SELECT id FROM books WHERE lent)"
    const client = sync({ table: "pages", where, log: "changes_only" })
    const subset = async (more: Readonly<Record<string, string>>) => {
      const query = new URLSearchParams({
        table: "pages",
        where,
        log: "changes_only",
        offset: "now",
        ...more
      })
      const response = await fetch(`${service.url}/v1/shape?${query}`)
      return { status: response.status, body: await response.text() }
    }
    const found = await subset({ subset__where: "id > 2", subset__order_by: "id", subset__limit: "5" })
    assert.strictEqual(found.status, 200, found.body)
    assert.deepStrictEqual(idsOf(found.body), ["4", "6"])
    await eventually("the client follows", () => client.stream.isUpToDate)
    await db().query("UPDATE books SET lent = NOT lent")
    const after = await subset({ subset__order_by: "id", subset__limit: "5" })
    assert.deepStrictEqual(idsOf(after.body), ["1", "3", "5"])
    await eventually("the moves arrive", () => client.ledger.operations >= 6)
    const refused = await subset({ subset__where: "id IN (SELECT id FROM books)" })
    assert.strictEqual(refused.status, 400)
    assert.match(refused.body, /the condition of a subset must not have a sub-select/)
  })
})

describe("TanStack DB", () => {
  it(
    "shows what Postgres selects, in both modes, while membership changes",
    { timeout: patient(60_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const where = memberOf("p1")
      const collections = (["eager", "progressive"] as const).map((syncMode) =>
        createCollection(
          electricCollectionOptions<{ id: number; project_id: number | null; title: string; v: number }>({
            id: `tasks ${syncMode}`,
            getKey: ({ id }) => id,
            syncMode,
            shapeOptions: { url: `${service.url}/v1/shape`, params: { table: "tasks", where } }
          })
        )
      )
      onTestFinished(async () => void (await Promise.all(collections.map((one) => one.cleanup()))))
      await Promise.all(collections.map((one) => one.preload()))
      const writer = await db().connect()
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 20; i++) await writer.query(change(random))
        for (const collection of collections) {
          const rows = () =>
            collection.toArray.map(({ id, project_id, title, v }) => ({
              id: String(id),
              project_id: project_id === null ? null : String(project_id),
              title,
              v: String(v)
            }))
          await untilEqual(db(), { rows }, `SELECT * FROM tasks WHERE ${where}`, seed)
        }
      }
    }
  )

  it(
    "loads what queries ask for, and lets rows come and go with membership",
    { timeout: patient(60_000) },
    async () => {
      await db().query(`
      CREATE TABLE issues (id int PRIMARY KEY, board int); CREATE TABLE readers (board int PRIMARY KEY, person text);
      INSERT INTO readers VALUES (1, 'ada'); INSERT INTO issues SELECT n, 1 + n % 2 FROM generate_series(1, 6) n`)
      const where = "board IN (SELECT board FROM readers WHERE person = $1)"
      const issues = createCollection(
        electricCollectionOptions<{ id: number; board: number }>({
          id: "issues",
          getKey: ({ id }) => id,
          syncMode: "on-demand",
          shapeOptions: {
            url: `${service.url}/v1/shape`,
            params: { table: "issues", where, params: ["ada"] }
          }
        })
      )
      onTestFinished(() => issues.cleanup())
      const boards = [1, 2].map((board) =>
        createLiveQueryCollection((q) =>
          q.from({ issue: issues }).where(({ issue }) => eq(issue.board, board))
        )
      )
      await Promise.all(boards.map((one) => one.preload()))
      const shown = () => boards.map((one) => one.toArray.map(({ id }) => id).toSorted((a, b) => a - b))
      const untilShown = (...expected: ReadonlyArray<ReadonlyArray<number>>) =>
        eventually("the rows", () => {
          assert.deepStrictEqual(shown(), expected)
          return true
        })
      await untilShown([2, 4, 6], [])
      await db().query("INSERT INTO readers VALUES (2, 'ada')")
      await untilShown([2, 4, 6], [1, 3, 5])
      await db().query("BEGIN; DELETE FROM readers WHERE board = 1; INSERT INTO issues VALUES (7, 2); COMMIT")
      await untilShown([], [1, 3, 5, 7])
    }
  )
})
