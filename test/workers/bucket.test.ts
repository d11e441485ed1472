import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import { type FakeS3, startFakeS3 } from "../../testing/bucket/FakeS3.ts"
import { eventually } from "../../testing/Eventually.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { Connection, handleOf, idsOf, messagesOf, offsetOf, untilWorkers } from "./support.ts"

const twoMinutes = 120_000

/** Directories of files of shapes below a storage directory. */
const shapeDirectories = (storageDir: string): ReadonlyArray<string> =>
  readdirSync(storageDir, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("/shapes"))
    .map((name) => join(storageDir, name))

describe("instances with two workers each, which share a bucket and no disk", () => {
  const database = databaseForFile((db) =>
    db.query(
      `CREATE TABLE items (id int PRIMARY KEY, v text NOT NULL);
       INSERT INTO items SELECT g, repeat(md5(g::text), 60) FROM generate_series(1, 600) g`
    )
  )
  let s3: FakeS3
  let active: TestService
  let waiting: TestService
  const workers: Array<Connection> = []

  const start = async (until: "active" | "waiting") => {
    const port = await freePort()
    return startService({
      database: database(),
      port,
      until,
      env: {
        ...s3.environment("workers"),
        BATON_HTTP_WORKERS: "2",
        // Far longer than a test: what a waiting instance knows before it has come from the active one.
        BATON_BUCKET_FLUSH: "10min",
        BATON_ADVERTISE_URL: `http://127.0.0.1:${port}`,
        BATON_TAIL_SECRET: "between instances",
        // No worker keeps chunks of this size in memory.
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "400000",
        ELECTRIC_TWEAKS_CONN_MAX_REQUESTS: "0"
      }
    })
  }

  beforeAll(async () => {
    s3 = await startFakeS3()
    active = await start("active")
    waiting = await start("waiting")
    for (const service of [active, waiting]) {
      const pids = await untilWorkers(service, 2)
      for (const pid of pids.values()) workers.push(await Connection.open(service, pid))
    }
  }, twoMinutes)
  afterAll(async () => {
    for (const connection of workers) connection.close()
    await active?.dispose()
    await waiting?.dispose()
    await s3?.close()
  })

  const shape = { table: "items" }

  /** All of the shape, as one process gives it. */
  const readAll = async (connection: Connection) => {
    const ids: Array<string | null | undefined> = []
    let answer = await connection.shape({ ...shape, offset: "-1" })
    const handle = handleOf(answer)
    for (;;) {
      assert.strictEqual(answer.status, 200, answer.body)
      ids.push(...idsOf(answer))
      const offset = offsetOf(answer)
      if (messagesOf(answer).at(-1)?.headers["control"] === "up-to-date") return { handle, offset, ids }
      answer = await connection.shape({ ...shape, handle, offset })
    }
  }

  it("workers fetch what is not on the disk", { timeout: twoMinutes }, async () => {
    const made = await readAll(workers[0] ?? assert.fail())
    assert.strictEqual(made.ids.length, 600)
    for (const [i, connection] of workers.entries()) {
      const { storageDir } = i < 2 ? active : waiting
      for (const directory of shapeDirectories(storageDir)) rmSync(directory, { recursive: true })
      // One that waits has heard of the shape by then, or holds the request until it has.
      const found = await readAll(connection)
      assert.deepStrictEqual(found, made)
      const fetched = shapeDirectories(storageDir).flatMap((directory) =>
        readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => /\/s\d+$/.test(name))
      )
      assert.isAbove(fetched.length, 1)
    }
    for (const service of [active, waiting]) assert.notMatch(service.logs(), /damaged|dropped/)
  })

  it(
    "a change reaches the clients of all workers long before it is in the bucket, and after a takeover",
    { timeout: twoMinutes },
    async () => {
      const { handle, offset } = await readAll(workers[0] ?? assert.fail())
      const hold = (connections: ReadonlyArray<Connection>, from: string) =>
        connections.map((connection) => connection.shape({ ...shape, handle, offset: from, live: "true" }))
      const held = hold(workers, offset)
      await database().query("INSERT INTO items VALUES (1000, 'first')")
      const answers = await Promise.all(held)
      for (const answer of answers) assert.deepStrictEqual(idsOf(answer), ["1000"])
      const next = offsetOf(answers[0] ?? assert.fail())

      const survivors = workers.slice(2)
      const heldOn = hold(survivors, next)
      active.signal("SIGKILL")
      await waiting.until("active", 60_000)
      await database().query("INSERT INTO items VALUES (1001, 'second')")
      for (const answer of await Promise.all(heldOn)) {
        assert.deepStrictEqual([answer.status, handleOf(answer)], [200, handle])
        assert.deepStrictEqual(idsOf(answer), ["1001"])
      }
      await eventually("the whole shape at both", async () => {
        for (const connection of survivors) {
          const { handle: found, ids } = await readAll(connection)
          assert.strictEqual(found, handle)
          assert.strictEqual(new Set(ids).size, 602)
        }
        return true
      })
    }
  )
})
