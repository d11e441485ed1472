import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import { createCollection } from "@tanstack/db"
import { assert, describe, it, onTestFinished } from "vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import { startFakeS3 } from "../../testing/bucket/FakeS3.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { differenceOfRows, selectRows } from "../../testing/postgres/Rows.ts"
import { startClient } from "../../testing/readers/RecordingClient.ts"
import { requestLog } from "../../testing/readers/ShapeLog.ts"
import { haproxyPath, startHaproxyOf } from "../../testing/services/Haproxy.ts"
import { nginxPath, startNginxOf } from "../../testing/services/Nginx.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const proxies = [
  { name: "nginx", binary: nginxPath, start: startNginxOf },
  { name: "haproxy", binary: haproxyPath, start: startHaproxyOf }
].flatMap(({ binary, ...proxy }) => {
  if (binary === undefined) console.warn(`Skipped: behind ${proxy.name}, which is not installed.`)
  return binary === undefined ? [] : [{ ...proxy, binary }]
})

/** Each proxy has tables of its own, so the log of an instance says through which of them a request has come. */
const tablesOf = (name: string) => ({
  items: `items_${name}`,
  made: `made_${name}`,
  late: `late_${name}`,
  quiet: `quiet_${name}`
})

const db = databaseForFile((database) =>
  database.query(
    proxies
      .flatMap(({ name }) => Object.values(tablesOf(name)))
      .map(
        (table) =>
          `CREATE TABLE ${table} (id int PRIMARY KEY, v int NOT NULL);
           INSERT INTO ${table} SELECT g, 0 FROM generate_series(1, 50) g;`
      )
      .join("\n")
  )
)

type Row = { id: number; v: number }

const collectionOf = (url: string, table: string) => {
  const errors: Array<unknown> = []
  const collection = createCollection(
    electricCollectionOptions<Row>({
      id: `${url} ${table}`,
      getKey: ({ id }) => id,
      shapeOptions: {
        url: `${url}/v1/shape`,
        params: { table },
        onError: (error) => void errors.push(error)
      }
    })
  )
  onTestFinished(() => collection.cleanup())
  collection.startSyncImmediate()
  return { collection, errors }
}

const follow = (url: string, table: string) => {
  const client = startClient({ url, params: { table }, versionColumn: "v", retryMillis: 50 })
  onTestFinished(() => client.stop())
  return { table, client }
}

/** Live requests for what does not change: as many as there are places for them, three times. */
const hold = async (url: string, table: string) => {
  const first = await requestLog(url, { table }, { offset: "-1" })
  const position = { offset: "0_inf", handle: first.handle ?? "" }
  const requests = Array.from({ length: 9 }, () => requestLog(url, { table }, position, { live: true }))
  return { answers: Promise.allSettled(requests) }
}

/** Machines that share nothing but a bucket: two instances, of which the second waits, and two replicas. */
const startMachines = async () => {
  const s3 = await startFakeS3()
  onTestFinished(() => s3.close())
  const start = async (env: Readonly<Record<string, string>>, until: "active" | "waiting" | false) => {
    const port = await freePort()
    const service = await startService({
      database: db(),
      port,
      until,
      env: {
        ...s3.environment("baton"),
        BATON_ADVERTISE_URL: `http://127.0.0.1:${port}`,
        BATON_TAIL_SECRET: "between instances",
        ELECTRIC_LOG_LEVEL: "debug",
        ...env
      }
    })
    onTestFinished(() => service.dispose())
    return service
  }
  const startReplica = async () => {
    const replica = await start({ BATON_ROLE: "replica" }, false)
    await eventually("a replica", async () => (await replica.health())?.status === 200, 60_000)
    return replica
  }
  const first = await start({}, "active")
  const others = [start({}, "waiting"), startReplica(), startReplica()] as const
  const [second, ...replicas] = await Promise.all(others)
  return { first, second, replicas }
}

/** Requests for a table that an instance has answered. */
const answered = (service: TestService, table: string): number =>
  service
    .logs()
    .split("\n")
    .filter((line) => line.includes("GET /v1/shape") && line.includes(`table=${table}`)).length

/** Changes a row of each table after the other, until the function that it gives is called. */
const startWriting = (tables: ReadonlyArray<string>) => {
  const over = new AbortController()
  const work = (async () => {
    for (let change = 0; !over.signal.aborted; change++)
      for (const table of tables)
        await db().query(`UPDATE ${table} SET v = v + 1 WHERE id = ${(change % 50) + 1}`)
  })()
  const stop = async () => {
    over.abort()
    await work
  }
  onTestFinished(stop)
  return stop
}

describe.skipIf(proxies.length === 0)("an active instance and two replicas behind a proxy", () => {
  it(
    "answer for each other; that the active one is killed, and one that waited takes over, no client notices",
    { timeout: patient(120_000) },
    async () => {
      const { first, replicas, second } = await startMachines()
      const behind = await Promise.all(
        proxies.map(async ({ binary, name, start }) => {
          const ports = replicas.map(({ port }) => port)
          const { dispose, url } = await start(binary, [first.port, second.port], ports)
          onTestFinished(dispose)
          return { name, url, tables: tablesOf(name) }
        })
      )
      const stopWriting = startWriting(
        behind.flatMap(({ tables }) => [tables.items, tables.made, tables.late])
      )

      // Made by the active instance, which a replica asks; whoever has the handle may be asked from then on.
      for (const { tables } of behind) {
        const made = await requestLog(replicas[1]?.url ?? "", { table: tables.made }, { offset: "-1" })
        assert.strictEqual(made.status, 200)
      }
      const followers = behind.flatMap(({ tables, url }) =>
        [tables.items, tables.items, tables.made].map((table) => follow(url, table))
      )
      const collections = behind.map(({ tables, url }) => collectionOf(url, tables.items))
      const untilAllHave = async (what: string, changes: number) =>
        eventually(
          what,
          () =>
            followers.every(({ client }) => client.ledger.operationsInAll >= changes) &&
            collections.every(({ collection }) => collection.isReady()),
          30_000
        )
      const operations = () => Math.max(...followers.map(({ client }) => client.ledger.operationsInAll))
      await untilAllHave("changes", 60)
      await eventually("requests at all of them", () =>
        behind.every(({ tables }) =>
          [first, ...replicas].every((service) => answered(service, tables.items) > 0)
        )
      )
      const handles = followers.map(({ client }) => client.stream.shapeHandle)
      const held = await Promise.all(behind.map(({ tables, url }) => hold(url, tables.quiet)))
      await untilAllHave("more changes", operations() + 20)

      first.signal("SIGKILL")
      // While nobody is active, or a moment later.
      const late = behind.map(({ tables, url }) => follow(url, tables.late))
      await second.until("active", 30_000)
      await untilAllHave("changes after the takeover", operations() + 60)
      await eventually("requests at the next active one", () =>
        behind.every(({ tables }) => answered(second, tables.items) > 0)
      )
      await stopWriting()
      for (const { tables } of behind) await db().query(`UPDATE ${tables.quiet} SET v = 1 WHERE id = 1`)
      for (const { answers } of held)
        for (const answer of await answers) {
          if (answer.status === "rejected") throw answer.reason
          assert.strictEqual(answer.value.status, 200)
          assert.isAbove(answer.value.messages.length, 1)
        }

      for (const { client, table } of [...followers, ...late]) {
        await eventually(`the rows of ${table}`, async () => {
          const difference = differenceOfRows(await selectRows(db(), `SELECT * FROM ${table}`), client.rows())
          if (difference !== undefined) throw new Error(difference)
          return true
        })
        assert.deepStrictEqual(client.ledger.problems, [])
        assert.deepStrictEqual(client.errors, [])
        assert.strictEqual(client.conflicts(), 0)
      }
      for (const [i, { collection, errors }] of collections.entries()) {
        const sql = `SELECT * FROM ${behind[i]?.tables.items} ORDER BY id`
        await eventually("the rows of the collection", async () => {
          const rows = collection.toArray.map(({ id, v }) => ({ id, v })).toSorted((a, b) => a.id - b.id)
          assert.deepStrictEqual(rows, [...(await db().query<Row>(sql))])
          return true
        })
        assert.deepStrictEqual(errors, [])
      }
      for (const [i, { client }] of followers.entries()) {
        assert.strictEqual(client.stream.shapeHandle, handles[i])
        assert.deepStrictEqual(client.failures, [])
      }
    }
  )
})
