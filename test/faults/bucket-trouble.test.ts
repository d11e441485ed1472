import { assert, describe, it, onTestFinished } from "vitest"
import type { Fate } from "../../testing/bucket/BucketFaults.ts"
import { type FakeS3, startFakeS3 } from "../../testing/bucket/FakeS3.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { syncShape } from "../../testing/readers/Client.ts"
import { freePort } from "../../src/dev/FreePort.ts"
import { ask, databaseForTest, serviceForTest } from "./support/faults.ts"

const bucketForTest = async (clients = ["a"]): Promise<FakeS3> => {
  const s3 = await startFakeS3({ clients })
  onTestFinished(() => s3.close())
  return s3
}

/** An instance on a disk of its own. */
const instance = async (
  s3: FakeS3,
  database: TestDatabase,
  { client = "a", until = "active" as "active" | "waiting" | false, env = {} } = {}
) => {
  const port = await freePort()
  const metricsPort = await freePort()
  const service = await serviceForTest({
    database,
    port,
    until,
    env: {
      ...s3.environment("", client),
      BATON_ADVERTISE_URL: `http://127.0.0.1:${port}`,
      BATON_TAIL_SECRET: "tail",
      ELECTRIC_PROMETHEUS_PORT: String(metricsPort),
      ...env
    }
  })
  const health = async () => {
    const answer = await fetch(`${service.url}/v1/health?verbose`)
    const said = (await answer.json()) as { readonly bucket: Readonly<Record<string, unknown>> }
    return { code: answer.status, ...said }
  }
  const metric = async (name: string): Promise<number> => {
    const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    return Number(
      page
        .split("\n")
        .find((line) => line.startsWith(`${name} `))
        ?.split(" ")
        .at(-1)
    )
  }
  return { ...service, verbose: health, metric }
}

const confirmed = async (database: TestDatabase): Promise<bigint> => {
  const [slot] = await database.query<{ lsn: string }>(
    "SELECT (confirmed_flush_lsn - '0/0')::text AS lsn FROM pg_replication_slots WHERE slot_name = $1",
    [database.slotName]
  )
  return BigInt(slot?.lsn ?? 0)
}

const allRows = "SELECT id, v FROM items"

const faults: ReadonlyArray<readonly [string, Fate, RegExp]> = [
  ["refuses everything", { _tag: "Refuse", kind: "failing" }, /InternalError/],
  ["does not answer", { _tag: "Hang" }, /nothing was heard/]
]

describe("a bucket that cannot be written", () => {
  for (const [name, fate, says] of faults)
    it(
      `${name}: live goes on, new shapes are refused, and it catches up`,
      { timeout: patient(90_000) },
      async () => {
        const s3 = await bucketForTest(["a", "b"])
        const database = await databaseForTest()
        await database.query(
          "CREATE TABLE items (id int PRIMARY KEY, v text); CREATE TABLE others (id int PRIMARY KEY); INSERT INTO items VALUES (0, 'first')"
        )
        const a = await instance(s3, database)
        const b = await instance(s3, database, { client: "b", until: "waiting" })
        const clients = [a, b].map(({ url }) => syncShape({ url, params: { table: "items" } }))
        onTestFinished(() => clients.forEach((client) => client.stop()))
        for (const client of clients) await client.untilEqual(database, allRows)
        assert.strictEqual((await a.verbose()).bucket["status"], "ok")
        const { handle } = await ask(a.url, { table: "items" })
        const before = await confirmed(database)
        const created = await a.metric("baton_bucket_objects_created_total")
        const fault = s3.faults.add(fate)
        onTestFinished(() => fault.end())
        await database.query("INSERT INTO items SELECT i, repeat('x', 2000) FROM generate_series(1, 5000) i")
        for (const client of clients) await client.untilEqual(database, allRows, { deadlineMillis: 30_000 })
        await a.untilLogged(/The bucket cannot be written: .*new shapes are refused/, 20_000)
        assert.match(a.logs(), says)
        const began = performance.now()
        const refused = await fetch(`${a.url}/v1/shape?table=others&offset=-1`)
        assert.strictEqual(refused.status, 503)
        assert.isTrue(performance.now() - began < patient(3000))
        assert.strictEqual(refused.headers.get("retry-after"), "5")
        assert.match(
          await refused.text(),
          /The bucket cannot be written since \d{4}-.*those that exist are served/
        )
        const deleted = await fetch(`${a.url}/v1/shape?table=items&handle=${handle}`, { method: "DELETE" })
        assert.include([503, 405], deleted.status)
        const health = await a.verbose()
        assert.strictEqual(health.code, 200)
        assert.deepInclude(health.bucket, { status: "failing", cannot: "write", role: "writer" })
        assert.isTrue((health.bucket["unshipped"] as { readonly bytes: number }).bytes > 9e6)
        assert.isTrue((await a.metric("baton_bucket_unshipped_bytes")) > 9e6)
        assert.strictEqual(await a.metric("baton_mirrors_connected"), 1)
        assert.strictEqual(await b.metric("baton_tail_alive"), 1)
        assert.isTrue((await confirmed(database)) <= before + 65536n)
        await database.query("INSERT INTO items VALUES (-1, 'meanwhile')")
        for (const client of clients) await client.untilEqual(database, allRows)
        fault.end()
        await a.untilLogged(/The bucket is written again, after \d+ s; \d+\.\d MB/, 30_000)
        await eventually(
          "it is acknowledged",
          async () => (await confirmed(database)) > before + 9_000_000n,
          30_000
        )
        assert.isTrue((await a.metric("baton_bucket_objects_created_total")) - created < 12)
        assert.strictEqual((await ask(a.url, { table: "others" })).status, 200)
        assert.strictEqual((await a.verbose()).bucket["status"], "ok")
        await database.query("INSERT INTO items VALUES (-2, 'after')")
        for (const client of clients) {
          await client.untilEqual(database, allRows)
          assert.strictEqual(client.refetches(), 0)
        }
      }
    )

  it(
    "while a shape is being made: its clients are told, and find it afterwards",
    { timeout: patient(60_000) },
    async () => {
      const s3 = await bucketForTest()
      const database = await databaseForTest()
      await database.query(
        "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (0, 'first')"
      )
      const a = await instance(s3, database)
      const fault = s3.faults.add({ _tag: "Hang" }, { operation: "create" })
      const began = performance.now()
      const answers = await Promise.all([0, 1].map(() => fetch(`${a.url}/v1/shape?table=items&offset=-1`)))
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [503, 503]
      )
      assert.isTrue(performance.now() - began < patient(8000))
      assert.match(
        await (answers[0] as Response).text(),
        /The bucket cannot be written since .* \(timedOut\)/
      )
      fault.end()
      await eventually("the shape", async () => (await ask(a.url, { table: "items" })).status === 200, 20_000)
    }
  )

  it(
    "does not hold up a stop, and what it lacks comes from Postgres again",
    { timeout: patient(90_000) },
    async () => {
      const s3 = await bucketForTest(["a", "b"])
      const database = await databaseForTest()
      await database.query(
        "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (0, 'first')"
      )
      const a = await instance(s3, database)
      const { handle } = await ask(a.url, { table: "items" })
      const b = await instance(s3, database, {
        client: "b",
        until: "waiting",
        env: { BATON_TAIL_SECRET: "another" }
      })
      const log = (url: string) => ask(url, { table: "items", handle: handle ?? "", offset: "0_0" })
      const fault = s3.faults.add({ _tag: "Hang" }, { operation: "create" })
      const all = s3.faults.add({ _tag: "Hang" }, { client: "a" })
      onTestFinished(() => all.end())
      await database.query("INSERT INTO items SELECT i, 'x' FROM generate_series(1, 100) i")
      await eventually("they are seen", async () => (await log(a.url)).rows.length === 100)
      const began = performance.now()
      assert.strictEqual((await a.stop("SIGTERM")).code, 0)
      assert.isTrue(performance.now() - began < patient(8000), `${performance.now() - began} ms`)
      // The next one has the lock, and cannot say so where that counts.
      assert.strictEqual((await ask(b.url, { table: "items" })).handle, handle)
      await b.untilLogged(
        /Storage cannot be taken over: cannot create .*tried again in turn with other instances/,
        40_000
      )
      fault.end()
      await b.until("active", 40_000)
      await eventually("all rows", async () => (await log(b.url)).rows.length === 100)
    }
  )

  it(
    "hands over to an instance that can write, where that is asked for",
    { timeout: patient(90_000) },
    async () => {
      const s3 = await bucketForTest(["a", "b"])
      const database = await databaseForTest()
      await database.query(
        "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (0, 'first')"
      )
      const env = { BATON_BUCKET_PATIENCE: "3s" }
      const a = await instance(s3, database, { env })
      const client = syncShape({ url: a.url, params: { table: "items" } })
      onTestFinished(() => client.stop())
      await client.untilEqual(database, allRows)
      const fault = s3.faults.add({ _tag: "Refuse", kind: "unreachable" }, { client: "a" })
      await database.query("INSERT INTO items VALUES (1, 'nobody else is there')")
      await a.untilLogged(/The bucket cannot be written/, 20_000)
      await client.untilEqual(database, allRows)
      assert.strictEqual((await a.health())?.status, 200)
      const b = await instance(s3, database, { client: "b", until: false, env })
      await a.untilLogged(
        /BATON_BUCKET_PATIENCE\), and another instance waits: the lock is handed over/,
        40_000
      )
      await b.until("active", 40_000)
      await a.until("waiting", 20_000)
      await database.query("INSERT INTO items VALUES (2, 'written by the other one')")
      // It hears of that from the other one, without the bucket or with it.
      fault.end()
      await client.untilEqual(database, allRows, { deadlineMillis: 30_000 })
      assert.strictEqual(client.refetches(), 0)
      assert.strictEqual((await b.health())?.body, '{"status":"active"}')
    }
  )
})
