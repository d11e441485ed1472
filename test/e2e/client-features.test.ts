import {
  type FetchError,
  type Row,
  type RuntimeVisibilityState,
  Shape,
  ShapeStream,
  type ShapeStreamInterface,
  type ShapeStreamOptions,
  snakeCamelMapper
} from "@electric-sql/client"
import { afterAll, afterEach, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const db = databaseForFile()
let service: TestService

beforeAll(async () => {
  service = await startService({
    database: db(),
    env: {
      ELECTRIC_INSECURE: undefined,
      ELECTRIC_SECRET: "the-secret",
      ELECTRIC_ENABLE_INTEGRATION_TESTING: "true"
    }
  })
})
afterAll(() => service.dispose())
afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(service.logs())
})

interface Sent {
  readonly url: URL
  readonly atMillis: number
  status: number | undefined
  isOver: boolean
}

interface Followed<T extends Row<Date>> {
  readonly stream: ShapeStream<T>
  readonly shape: Shape<T>
  readonly sent: ReadonlyArray<Sent>
  readonly errors: ReadonlyArray<unknown>
  readonly abort: () => void
  /** Waits until the rows are these, by id and one more column. */
  readonly shows: (column: string, expected: Readonly<Record<string, unknown>>) => Promise<unknown>
  /** Waits until a live request of this stream is held. */
  readonly isLive: () => Promise<unknown>
}

type Options = Partial<Omit<ShapeStreamOptions<Date>, "params">> & {
  readonly params: Record<string, unknown>
}

/** A stream and its shape, with a list of all requests. */
const follow = <T extends Row<Date> = Row<Date>>(options: Options): Followed<T> => {
  const aborter = new AbortController()
  onTestFinished(() => aborter.abort())
  const sent: Array<Sent> = []
  const errors: Array<unknown> = []
  const fetchClient: typeof fetch = async (input, init) => {
    const request: Sent = {
      url: new URL(String(input)),
      atMillis: performance.now(),
      status: undefined,
      isOver: false
    }
    sent.push(request)
    try {
      const response = await fetch(input, init)
      request.status = response.status
      return response
    } finally {
      request.isOver = true
    }
  }
  const stream = new ShapeStream<T>({
    url: `${service.url}/v1/shape`,
    signal: aborter.signal,
    backoffOptions: { initialDelay: 10, maxDelay: 100, multiplier: 1.5 },
    onError: (error: unknown) => void errors.push(error),
    ...options,
    params: { secret: "the-secret", ...options.params },
    fetchClient
  } as unknown as ConstructorParameters<typeof ShapeStream<T>>[0])
  // Its types are not written for exactOptionalPropertyTypes.
  const shape = new Shape<T>(stream as unknown as ShapeStreamInterface<T>)
  return {
    stream,
    shape,
    sent,
    errors,
    abort: () => aborter.abort(),
    shows: (column, expected) =>
      eventually(`${column} ${JSON.stringify(expected)}`, () => {
        const rows = shape.currentRows.map((row) => [row["id"], row[column]] as const)
        assert.deepStrictEqual(Object.fromEntries(rows), expected)
        return true
      }),
    isLive: () =>
      eventually("a live request", () => {
        const last = sent.at(-1)
        if (last === undefined || !stream.isUpToDate || last.url.searchParams.get("live") !== "true")
          return false
        // An event stream has its headers already; a long poll is over when it is answered.
        return last.url.searchParams.get("live_sse") === "true" ? last.status === 200 : !last.isOver
      })
  }
}

let tables = 0
/** A table of its own for each test, with rows 1 to 3. */
const makeTable = async (): Promise<string> => {
  const name = `features_${++tables}`
  await db().query(
    `CREATE TABLE ${name} (id int PRIMARY KEY, first_name text, made_at timestamptz DEFAULT '2026-01-02 03:04:05+00');
     INSERT INTO ${name} (id, first_name) VALUES (1, 'one'), (2, 'two'), (3, 'three')`
  )
  return name
}

describe.each([false, true])("the official client with event streams: %s", (liveSse) => {
  it("pauses while its page is hidden, and catches up when it is seen again", async () => {
    const table = await makeTable()
    const listeners: Array<(state: RuntimeVisibilityState) => void> = []
    const tell = (state: RuntimeVisibilityState) => listeners.forEach((listener) => listener(state))
    const client = follow({
      liveSse,
      params: { table },
      runtimeVisibility: {
        getCurrentState: () => "visible",
        subscribe: (callback) => {
          listeners.push(callback)
          return () => {}
        }
      }
    })
    await client.isLive()
    tell("hidden")
    await eventually("the pause", () => client.stream.isPaused())
    const before = client.sent.length
    await db().query(`UPDATE ${table} SET first_name = 'uno' WHERE id = 1`)
    await db().query(`DELETE FROM ${table} WHERE id = 2`)
    // Another client sees the changes, so this one could have.
    const other = follow({ params: { table } })
    await other.shows("first_name", { 1: "uno", 3: "three" })
    assert.strictEqual(client.sent.length, before)
    tell("visible")
    await client.shows("first_name", { 1: "uno", 3: "three" })
    await client.isLive()
    await db().query(`INSERT INTO ${table} VALUES (4, 'four')`)
    await client.shows("first_name", { 1: "uno", 3: "three", 4: "four" })
    assert.deepStrictEqual(client.errors, [])
  })

  it("ends with its signal, and asks for nothing more", async () => {
    const table = await makeTable()
    const client = follow({ liveSse, params: { table } })
    await client.isLive()
    client.abort()
    await eventually("the end", () => client.sent.every(({ isOver }) => isOver))
    const before = client.sent.length
    await db().query(`INSERT INTO ${table} VALUES (4, 'four')`)
    const other = follow({ params: { table } })
    await other.shows("first_name", { 1: "one", 2: "two", 3: "three", 4: "four" })
    assert.strictEqual(client.sent.length, before)
    assert.strictEqual(client.shape.currentRows.length, 3)
    assert.deepStrictEqual(client.errors, [])
  })

  it("goes on with what onError gives it: another secret, after a 401; another table, after a 400", async () => {
    const table = await makeTable()
    const statuses: Array<number> = []
    const client = follow({
      liveSse,
      params: { table: "not_there", secret: "wrong" },
      onError: (error) => {
        const { status } = error as FetchError
        statuses.push(status)
        return status === 401
          ? { params: { table: "not_there", secret: "the-secret" } }
          : { params: { table, secret: "the-secret" } }
      }
    })
    await client.shows("first_name", { 1: "one", 2: "two", 3: "three" })
    assert.deepStrictEqual(statuses, [401, 400])
    await client.isLive()
    await db().query(`INSERT INTO ${table} VALUES (4, 'four')`)
    await client.shows("first_name", { 1: "one", 2: "two", 3: "three", 4: "four" })
  })

  it("names columns as the application does, in conditions, subsets and rows", async () => {
    const table = await makeTable()
    const client = follow({
      liveSse,
      columnMapper: snakeCamelMapper(),
      params: { table, where: "firstName <> $1", params: ["two"], columns: ["id", "firstName"] }
    })
    await client.shows("firstName", { 1: "one", 3: "three" })
    await client.isLive()
    await db().query(`UPDATE ${table} SET first_name = 'zwei' WHERE id = 2`)
    await client.shows("firstName", { 1: "one", 2: "zwei", 3: "three" })
    const { data } = await client.stream.fetchSnapshot({ where: "firstName LIKE 't%'", orderBy: "firstName" })
    assert.deepStrictEqual(
      data.map(({ value }) => value),
      [{ id: 3, firstName: "three" }]
    )
    assert.deepStrictEqual(client.errors, [])
  })

  it("parses and transforms values as the application wants", async () => {
    const table = await makeTable()
    const client = follow({
      liveSse,
      params: { table },
      parser: { timestamptz: (text: string) => new Date(text), text: (text: string) => text.toUpperCase() },
      transformer: (row) => ({ ...row, id: Number(row["id"]) * 10 })
    })
    const date = new Date("2026-01-02T03:04:05Z")
    await client.shows("made_at", { 10: date, 20: date, 30: date })
    await client.isLive()
    await db().query(`INSERT INTO ${table} VALUES (4, 'four', '2027-01-01 00:00+01')`)
    await client.shows("made_at", { 10: date, 20: date, 30: date, 40: new Date("2026-12-31T23:00:00Z") })
    await client.shows("first_name", { 10: "ONE", 20: "TWO", 30: "THREE", 40: "FOUR" })
  })

  it.each(["GET", "POST"] as const)("loads subsets into a stream of changes, by %s", async (method) => {
    const table = await makeTable()
    await db().query(`INSERT INTO ${table} (id, first_name) SELECT i, NULL FROM generate_series(4, 9) i`)
    const client = follow({
      liveSse,
      log: "changes_only",
      offset: "now",
      subsetMethod: method,
      params: { table }
    })
    await client.isLive()
    assert.deepStrictEqual(client.shape.currentRows, [])
    await client.stream.requestSnapshot({ where: "first_name = $1", params: { "1": "two" } })
    await client.shows("first_name", { 2: "two" })
    await client.stream.requestSnapshot({ orderBy: "first_name DESC NULLS LAST, id", limit: 2, offset: 1 })
    await client.shows("first_name", { 1: "one", 2: "two", 3: "three" })
    await client.stream.requestSnapshot({
      where: "",
      whereExpr: {
        type: "func",
        name: "isNull",
        args: [{ type: "ref", column: "first_name" }]
      },
      orderBy: "",
      orderByExpr: [{ column: "id", direction: "desc", nulls: "first" }],
      limit: 2
    } as Parameters<typeof client.stream.requestSnapshot>[0])
    await client.shows("first_name", { 1: "one", 2: "two", 3: "three", 8: null, 9: null })
    await client.isLive()
    await db().query(`UPDATE ${table} SET first_name = 'live' WHERE id IN (2, 9)`)
    await db().query(`DELETE FROM ${table} WHERE id = 1`)
    await client.shows("first_name", { 2: "live", 3: "three", 8: null, 9: "live" })
    // A subset while changes are on their way: nothing twice, nothing lost.
    const writing = (async () => {
      for (let i = 20; i < 40; i++)
        await db().query(`INSERT INTO ${table} (id, first_name) VALUES (${i}, 'x')`)
    })()
    for (let i = 0; i < 5; i++)
      await client.stream.requestSnapshot({ where: "id >= $1", params: { "1": String(20 + 4 * i) } })
    await writing
    const rows = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [20 + i, "x"]))
    await client.shows("first_name", { 2: "live", 3: "three", 8: null, 9: "live", ...rows })
    assert.deepStrictEqual(client.errors, [])
  })

  it("fetches subsets beside a full stream, with the moment that they show", async () => {
    const table = await makeTable()
    const client = follow({ liveSse, params: { table } })
    await client.isLive()
    const { metadata, data } = await client.stream.fetchSnapshot({ orderBy: "id DESC", limit: 2 })
    assert.deepStrictEqual(
      data.map(({ value }) => value["id"]),
      [3, 2]
    )
    assert.match(metadata.xmin, /^\d+$/)
    assert.match(metadata.xmax, /^\d+$/)
    assert.match(metadata.database_lsn, /^\d+$/)
    assert.isArray(metadata.xip_list)
    await db().query(`INSERT INTO ${table} VALUES (4, 'four')`)
    await client.shows("first_name", { 1: "one", 2: "two", 3: "three", 4: "four" })
  })

  it("starts over when its shape ends while it is live, and once only", async () => {
    const table = await makeTable()
    const client = follow({ liveSse, params: { table } })
    await client.isLive()
    const handle = client.stream.shapeHandle
    await db().query(
      `ALTER TABLE ${table} ADD COLUMN more int DEFAULT 5; TRUNCATE ${table}; INSERT INTO ${table} VALUES (7, 'seven')`
    )
    await client.shows("first_name", { 7: "seven" })
    await client.isLive()
    await db().query(`INSERT INTO ${table} VALUES (8, 'eight')`)
    await client.shows("first_name", { 7: "seven", 8: "eight" })
    assert.notStrictEqual(client.stream.shapeHandle, handle)
    assert.strictEqual(client.sent.filter(({ status }) => status === 409).length, 1)
    assert.deepStrictEqual(client.errors, [])
  })

  it("that comes back with a handle that is gone gets the new shape, and never the old one again", async () => {
    const table = await makeTable()
    const first = follow({ liveSse, params: { table } })
    await first.isLive()
    const { shapeHandle: handle, lastOffset: offset } = first.stream
    first.abort()
    const query = new URLSearchParams({ table, handle: handle ?? "", secret: "the-secret" })
    assert.strictEqual((await fetch(`${service.url}/v1/shape?${query}`, { method: "DELETE" })).status, 202)
    for (let visits = 0; visits < 2; visits++) {
      const client = follow({
        liveSse,
        params: { table },
        offset,
        ...(handle === undefined ? {} : { handle })
      })
      await client.shows("first_name", { 1: "one", 2: "two", 3: "three" })
      await client.isLive()
      assert.notStrictEqual(client.stream.shapeHandle, handle)
      assert.strictEqual(client.sent[0]?.status, 409)
      assert.strictEqual(client.sent.filter(({ status }) => status === 409).length, 1)
      assert.deepStrictEqual(client.errors, [])
    }
  })

  it("follows 50 shapes at once", async () => {
    const table = await makeTable()
    await db().query(
      `TRUNCATE ${table}; INSERT INTO ${table} (id, first_name) SELECT i, 'new' FROM generate_series(1, 50) i`
    )
    const clients = Array.from({ length: 50 }, (_, i) =>
      follow({ liveSse, params: { table, where: `id = ${i + 1}` } })
    )
    await Promise.all(clients.map((client) => client.isLive()))
    for (const text of ["second", "third"]) {
      await db().query(`UPDATE ${table} SET first_name = '${text}'`)
      await Promise.all(clients.map((client, i) => client.shows("first_name", { [i + 1]: text })))
    }
    for (const client of clients) assert.deepStrictEqual(client.errors, [])
  })
})
