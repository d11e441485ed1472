import { afterAll, afterEach, assert, beforeAll, describe, it } from "vitest"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { commandFromSource } from "../../testing/services/CommandOfTests.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { type LogMessage, type LogResponse, requestLog } from "../../testing/readers/ShapeLog.ts"

const db = databaseForFile((database) =>
  database.query(`CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TABLE beside (id int PRIMARY KEY)`)
)
let service: TestService
/** With small chunks and few shapes. */
let small: TestService
const tooMany = Array.from({ length: 4 }, (_, i) => ({ table: "beside", where: `id > ${i}` }))
let oldest: LogResponse

beforeAll(async () => {
  const started = await Promise.all([
    startService({
      entry: commandFromSource,
      database: db(),
      env: { ELECTRIC_TWEAKS_SCHEMA_RECONCILER_PERIOD: "300ms" }
    }),
    startService({
      database: db(),
      env: {
        ELECTRIC_REPLICATION_STREAM_ID: `${db().streamId}_small`,
        ELECTRIC_MAX_SHAPES: "3",
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "300"
      }
    })
  ])
  service = started[0]
  small = started[1]
  // Shapes are left alone for their first ten seconds: the last test looks at what has become of these.
  oldest = await requestLog(small.url, tooMany[0] ?? {}, { offset: "-1" })
  for (const params of tooMany.slice(1)) await requestLog(small.url, params, { offset: "-1" })
})
afterAll(() => Promise.all([service.dispose(), small.dispose()]))
afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(service.logs())
})

type Params = Readonly<Record<string, string>>

const ask = async (params: Params, offset = "-1", handle?: string): Promise<LogResponse> =>
  requestLog(service.url, params, { offset, handle })

const handleOf = async (params: Params): Promise<string> => {
  const answer = await ask(params)
  assert.strictEqual(answer.status, 200, answer.body)
  return answer.handle ?? ""
}

/** Makes the changes while each of the shapes is followed at its end; gives what is said of them. */
const changes = async (
  shapes: ReadonlyArray<Params>,
  sql: string
): Promise<ReadonlyArray<ReadonlyArray<LogMessage>>> => {
  const ends = await Promise.all(shapes.map((params) => ask(params, "now")))
  const held = ends.map(({ offset, handle }, i) =>
    requestLog(service.url, shapes[i] ?? {}, { offset: offset ?? "", handle: handle ?? "" }, { live: true })
  )
  await db().query(sql)
  return (await Promise.all(held)).map(({ messages }) => messages)
}

const withoutPlace = ({ headers: { lsn: _lsn, txids: _txids, ...headers }, ...rest }: LogMessage) => ({
  ...rest,
  headers
})

const key = (id: number) => `"public"."foo"/"${id}"`
const headers = (operation: "insert" | "update" | "delete", op_position: number, more: object = {}) => ({
  operation,
  op_position,
  relation: ["public", "foo"],
  ...more
})

describe("messages on the wire", () => {
  it("of one transaction: update, key change, delete, insert, with their places in it", async () => {
    await db().query(
      "CREATE TABLE foo (id int PRIMARY KEY, name text, qty int); INSERT INTO foo VALUES (1, 'a', 1), (3, 'c', 3), (100, 'x', 7)"
    )
    await handleOf({ table: "beside" })
    const [short, full] = await changes(
      [{ table: "foo" }, { table: "foo", replica: "full" }],
      `BEGIN; UPDATE foo SET qty = 8 WHERE id = 100; INSERT INTO beside VALUES (1); UPDATE foo SET qty = 8 WHERE id = 100;
       UPDATE foo SET id = 101 WHERE id = 100; DELETE FROM foo WHERE id = 3; INSERT INTO foo VALUES (4, 'four', NULL); COMMIT`
    )
    // A change of another published table, and an update that changes nothing, take places too, and no messages.
    assert.deepStrictEqual(short?.slice(0, -1).map(withoutPlace), [
      { key: key(100), value: { id: "100", qty: "8" }, headers: headers("update", 0) },
      { key: key(100), value: { id: "100" }, headers: headers("delete", 6, { key_change_to: key(101) }) },
      {
        key: key(101),
        value: { id: "101", name: "x", qty: "8" },
        headers: headers("insert", 7, { key_change_from: key(100) })
      },
      { key: key(3), value: { id: "3" }, headers: headers("delete", 8) },
      {
        key: key(4),
        value: { id: "4", name: "four", qty: null },
        headers: headers("insert", 10, { last: true })
      }
    ])
    assert.deepStrictEqual(full?.[0]?.value, { id: "100", name: "x", qty: "8" })
    assert.deepStrictEqual(full?.[0]?.old_value, { qty: "7" })
    assert.deepStrictEqual(full?.[1]?.value, { id: "100", name: "x", qty: "8" })
    assert.deepStrictEqual(full?.[3]?.value, { id: "3", name: "c", qty: "3" })
    const { lsn, txids } = short?.[0]?.headers ?? {}
    assert.match(lsn ?? "", /^[1-9]\d*$/)
    assert.isTrue(txids?.length === 1 && Number.isInteger(txids[0]))
    for (const message of short?.slice(0, -1) ?? []) {
      assert.deepStrictEqual([message.headers.lsn, message.headers.txids], [lsn, txids])
      assert.notProperty(message.headers, "offset")
    }
    assert.deepStrictEqual(short?.at(-1), {
      headers: { control: "up-to-date", global_last_seen_lsn: lsn }
    } as object)
  })

  it("of rows that enter and leave a condition, and of none that stay outside", async () => {
    await db().query(
      "CREATE TABLE gate (id int PRIMARY KEY, n int, t text); INSERT INTO gate VALUES (1, 1, 'a'), (2, 9, 'b'), (3, 1, 'c')"
    )
    const [messages] = await changes(
      [{ table: "gate", where: "n > 5" }],
      "BEGIN; UPDATE gate SET n = 2 WHERE id = 3; UPDATE gate SET n = 8 WHERE id = 1; UPDATE gate SET n = 0 WHERE id = 2; COMMIT"
    )
    assert.deepStrictEqual(messages?.slice(0, -1).map(withoutPlace), [
      {
        key: '"public"."gate"/"1"',
        value: { id: "1", n: "8", t: "a" },
        headers: { operation: "insert", relation: ["public", "gate"], op_position: 2 }
      },
      {
        key: '"public"."gate"/"2"',
        value: { id: "2" },
        headers: { operation: "delete", relation: ["public", "gate"], op_position: 4, last: true }
      }
    ])
  })

  it("of a snapshot: rows without places, then its end, and in changes_only that alone", async () => {
    await db().query(
      "CREATE TABLE seen (id int PRIMARY KEY, t text); INSERT INTO seen VALUES (1, 'a'), (2, NULL)"
    )
    const answer = await ask({ table: "seen" })
    const { messages } = answer
    const [one, two, end] = messages
    assert.deepStrictEqual(one as object, {
      key: '"public"."seen"/"1"',
      value: { id: "1", t: "a" },
      headers: { operation: "insert", relation: ["public", "seen"] }
    })
    assert.deepStrictEqual(two?.value, { id: "2", t: null })
    assert.strictEqual(messages.length, 3)
    assert.strictEqual(answer.headers.get("content-type"), "application/json; charset=utf-8")
    assert.strictEqual(end?.headers.control, "snapshot-end")
    assert.match(String(end?.headers["xmin"]), /^\d+$/)
    assert.match(String(end?.headers["xmax"]), /^\d+$/)
    // Who else writes in the cluster at that moment is in it.
    assert.isArray(end?.headers["xip_list"])
    const bare = await ask({ table: "seen", log: "changes_only" })
    assert.deepStrictEqual(
      bare.messages.map((message) => message.headers.control),
      ["snapshot-end"]
    )
    assert.strictEqual(bare.offset, "0_0")
  })

  it("are not made by changes that the shape does not show, and nobody is woken", async () => {
    await db().query(
      "CREATE TABLE calm (id int PRIMARY KEY, t text, hidden int); INSERT INTO calm VALUES (1, 'a', 1)"
    )
    const params = { table: "calm", columns: "id,t", where: "id < 100" }
    const { offset, handle } = await ask(params, "now")
    let answers = 0
    const held = requestLog(
      service.url,
      params,
      { offset: offset ?? "", handle: handle ?? "" },
      { live: true }
    )
    void held.then(() => answers++)
    await db().query(
      "UPDATE calm SET hidden = 2; UPDATE calm SET t = t; INSERT INTO calm VALUES (200, 'far', 1)"
    )
    await db().query("INSERT INTO beside VALUES (99)")
    // The stream is past all that when another shape shows what came after it.
    const later = await ask({ table: "beside" }, "now")
    const seen = requestLog(
      service.url,
      { table: "beside" },
      { offset: later.offset ?? "", handle: later.handle ?? "" },
      { live: true }
    )
    await db().query("INSERT INTO beside VALUES (100)")
    await seen
    assert.strictEqual(answers, 0)
    await db().query("UPDATE calm SET t = 'b' WHERE id = 1")
    assert.deepStrictEqual((await held).messages[0]?.value, { id: "1", t: "b" })
  })
})

describe("which requests are for one shape", () => {
  beforeAll(() =>
    db().query("CREATE TABLE many (id int PRIMARY KEY, a int, b text); INSERT INTO many VALUES (1, 1, 'x')")
  )

  it("spelling does not matter, what is asked for does", async () => {
    const base = { table: "many" }
    const same: ReadonlyArray<ReadonlyArray<Params>> = [
      [base, { table: "public.many" }, { table: "PUBLIC.Many" }, { table: '"many"' }],
      [
        { ...base, where: "a = 2" },
        { ...base, where: "  A  =  2 " },
        { ...base, where: "((a) = (2))" },
        { ...base, where: "a = $1", "params[1]": "2" }
      ],
      [
        { ...base, columns: "id,a" },
        { ...base, columns: 'a,"id"' }
      ],
      [
        { ...base, replica: "full" },
        { ...base, replica: "full", log: "full", unknown: "x" }
      ]
    ]
    const different: ReadonlyArray<Params> = [
      base,
      { ...base, columns: "id,a,b" },
      { ...base, columns: "id,a" },
      { ...base, replica: "full" },
      { ...base, log: "changes_only" },
      { ...base, where: "a = 2" },
      { ...base, where: "a = $1", "params[1]": "3" }
    ]
    for (const group of same) {
      const handles = await Promise.all(group.map(handleOf))
      assert.strictEqual(new Set(handles).size, 1, JSON.stringify(group))
    }
    const handles = await Promise.all(different.map(handleOf))
    assert.strictEqual(new Set(handles).size, different.length, handles.join())
  })

  it("requests at the same time share one shape and one snapshot", async () => {
    await db().query(
      "CREATE TABLE rush (id int PRIMARY KEY); INSERT INTO rush SELECT generate_series(1, 1000)"
    )
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask({ table: "rush" })))
    assert.strictEqual(new Set(answers.map(({ handle }) => handle)).size, 1)
    assert.strictEqual(new Set(answers.map(({ body }) => body)).size, 1)
  })
})

const subset = async (parameters: Params, body?: object) => {
  const query = new URLSearchParams({ table: "picks", offset: "-1", ...parameters })
  const response = await fetch(
    `${service.url}/v1/shape?${query}`,
    body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }
  )
  const json = (await response.json()) as {
    readonly errors?: object
    readonly metadata?: Readonly<Record<string, unknown>>
    readonly data?: ReadonlyArray<LogMessage>
  }
  return { status: response.status, ...json, ids: json.data?.map(({ value }) => Number(value?.["id"])) }
}

describe("subsets", () => {
  beforeAll(() =>
    db().query(`CREATE TABLE picks (id int PRIMARY KEY, n int, t text, m mood);
      INSERT INTO picks VALUES (1, 5, 'one', 'ok'), (2, NULL, 'two', 'bad'), (3, 7, 'three', 'ok'), (4, NULL, 'fo''ur', NULL), (5, 5, 'x', 'ok')`)
  )

  it("hold their moment and their rows, with one mark", async () => {
    const { metadata, data } = await subset({}, { where: "id = $1", params: { "1": 1 } })
    const mark = metadata?.["snapshot_mark"]
    assert.isTrue(typeof mark === "number" && mark >= 0 && mark < 2 ** 31)
    for (const name of ["xmin", "xmax", "database_lsn"]) assert.match(String(metadata?.[name]), /^\d+$/)
    // Who else writes in the cluster at that moment is in it.
    assert.isArray(metadata?.["xip_list"])
    assert.deepStrictEqual(data as object, [
      {
        key: '"public"."picks"/"1"',
        value: { id: "1", n: "5", t: "one", m: "ok" },
        headers: { operation: "insert", relation: ["public", "picks"], snapshot_mark: mark }
      }
    ])
  })

  it("are ordered as asked for, NULLs where they belong, with limit and offset", async () => {
    for (const [order, expected] of [
      ["n, id", [1, 5, 3, 2, 4]],
      ["n NULLS FIRST, id", [2, 4, 1, 5, 3]],
      ["n DESC, id", [2, 4, 3, 1, 5]],
      ["n DESC NULLS LAST, id DESC", [3, 5, 1, 4, 2]],
      ['"n" DESC NULLS LAST,"id"', [3, 1, 5, 2, 4]]
    ] as const) {
      assert.deepStrictEqual((await subset({ subset__order_by: order })).ids, [...expected], order)
      const part = await subset({}, { order_by: order, limit: 2, offset: 1 })
      assert.deepStrictEqual(part.ids, expected.slice(1, 3), order)
    }
  })

  it("take the expressions that clients generate", async () => {
    for (const [where, params, expected] of [
      ["true = true", {}, [1, 2, 3, 4, 5]],
      ['"n" = ANY($1)', { "1": "{5,7}" }, [1, 3, 5]],
      ['"t" = ANY($1)', { "1": '{"one","fo\'ur"}' }, [1, 4]],
      ['("n" > $1) AND NOT ("t" LIKE $2)', { "1": "4", "2": "th%" }, [1, 5]],
      ['"n" IS NULL OR "t" ILIKE $1', { "1": "ON%" }, [1, 2, 4]],
      ['UPPER("t") = $1', { "1": "TWO" }, [2]],
      ['COALESCE("n", $1) <= $2', { "1": "0", "2": "5" }, [1, 2, 4, 5]],
      ["m = 'bad'", {}, [2]],
      ["t = $1", { "1": "fo'ur" }, [4]],
      ["t = $1", { "1": "x' OR true --" }, []]
    ] as const) {
      const answer = await subset({}, { where, params, order_by: "id", where_expr: { type: "ignored" } })
      assert.deepStrictEqual(answer.ids, [...expected], `${where} ${JSON.stringify(answer)}`)
    }
    assert.deepStrictEqual((await subset({ where: "m = 'ok'" }, { order_by: "id" })).ids, [1, 3, 5])
  })

  it("never reach beyond their shape: its condition holds, its columns are what can be named", async () => {
    const either = { where: "id = 1 OR id = 2" }
    assert.deepStrictEqual((await subset(either, { subset: { where: "id = 2" } })).ids, [2])
    assert.deepStrictEqual(
      (await subset(either, { subset: { where: "id = 2 OR true", order_by: "id" } })).ids,
      [1, 2]
    )
    const narrow = { columns: "id,t", queryable_columns: "id,t" }
    assert.strictEqual((await subset(narrow, { where: "t = 'one'" })).status, 200)
    for (const body of [
      { where: "n = 5" },
      { order_by: "n" },
      { where: "picks.n = 5" },
      { where: "picks IS NOT NULL" }
    ]) {
      const answer = await subset(narrow, body)
      assert.strictEqual(answer.status, 400, JSON.stringify(body))
      assert.property(answer.errors, "subset")
    }
    const both = await subset(narrow, { where: "n = 5", order_by: "id, n" })
    assert.hasAllKeys((both.errors as { readonly subset: object }).subset, ["where", "order_by"])
    for (const body of [
      { where: "id IN (SELECT id FROM picks)" },
      { where: "id = 1; DROP TABLE picks" },
      { where: "true) UNION SELECT * FROM pg_authid --" },
      { order_by: "id; DROP TABLE picks" },
      { order_by: "pg_sleep(1)" },
      { order_by: "(SELECT 1)" },
      { where: "m = 'no such mood'" }
    ])
      assert.strictEqual((await subset({}, body)).status, 400, JSON.stringify(body))
    assert.deepStrictEqual((await subset({ subset__order_by: "id" })).ids, [1, 2, 3, 4, 5])
  })
})

it("tables that cannot be followed are refused: views, catalogues, what is not there", async () => {
  await db().query("CREATE VIEW looks AS SELECT 1 AS id")
  for (const table of ["looks", "pg_catalog.pg_class", "information_schema.tables", "nowhere"])
    assert.strictEqual((await ask({ table })).status, 400, table)
})

it("a shape of a table that is gone is a 400, not a 409", async () => {
  await db().query("CREATE TABLE passing (id int PRIMARY KEY)")
  const handle = await handleOf({ table: "passing" })
  await db().query("DROP TABLE passing")
  await eventually("the table's absence", async () => (await ask({ table: "passing" })).status === 400)
  assert.strictEqual((await ask({ table: "passing" }, "0_0", handle)).status, 400)
})

describe("with small limits", () => {
  it("an event stream goes on over the ends of chunks", async () => {
    await db().query("CREATE TABLE long (id int PRIMARY KEY, t text)")
    const params = { table: "long" }
    const { offset, handle } = await requestLog(small.url, params, { offset: "now" })
    const query = new URLSearchParams({
      ...params,
      offset: offset ?? "",
      handle: handle ?? "",
      live: "true",
      live_sse: "true"
    })
    const aborter = new AbortController()
    const response = await fetch(`${small.url}/v1/shape?${query}`, { signal: aborter.signal })
    let text = ""
    const reading = (async () => {
      for await (const piece of response.body ?? []) text += Buffer.from(piece).toString()
    })().catch(() => {})
    for (const from of [1, 51])
      await db().query(
        `INSERT INTO long SELECT i, repeat('x', 50) FROM generate_series(${from}, ${from + 49}) i`
      )
    await eventually("all events", () => text.match(/"operation":"insert"/g)?.length === 100)
    assert.deepStrictEqual(
      Array.from(text.matchAll(/"value":\{"id":"(\d+)"/g), ([, id]) => Number(id)),
      Array.from({ length: 100 }, (_, i) => i + 1)
    )
    await eventually("the end of the log", () => text.trimEnd().endsWith("}}") && text.includes("up-to-date"))
    // No other frames than messages: what is not `data:` is a comment.
    for (const frame of text.split("\n\n")) assert.match(frame, /^(data: \{.*\}|:.*|)$/s)
    aborter.abort()
    await reading
  })

  it("the shape that was not read for longest gives way to others", async () => {
    await small.untilLogged(/more than 3 shapes/)
    const answer = await requestLog(small.url, tooMany[0] ?? {}, {
      offset: "0_0",
      handle: oldest.handle ?? ""
    })
    assert.strictEqual(answer.status, 409)
    assert.notStrictEqual(answer.handle, oldest.handle)
    assert.deepStrictEqual(answer.messages as object, [{ headers: { control: "must-refetch" } }])
  })
})
