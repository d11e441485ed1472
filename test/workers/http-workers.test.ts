import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import type { FaultsReport } from "../../src/operator/reports/FaultsReport.ts"
import { createDatabase, databaseForFile, type TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { commandFromSource } from "../../testing/services/CommandOfTests.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import {
  Connection,
  handleOf,
  idsOf,
  isRunning,
  messagesOf,
  offsetOf,
  processAt,
  untilWorkers,
  workersOf
} from "./support.ts"

const twoMinutes = 120_000
const environment = {
  BATON_HTTP_WORKERS: "2",
  ELECTRIC_TWEAKS_CONN_MAX_REQUESTS: "0",
  ELECTRIC_ENABLE_INTEGRATION_TESTING: "true",
  ELECTRIC_LONG_POLL_TIMEOUT: "10000",
  ELECTRIC_TWEAKS_SCHEMA_RECONCILER_PERIOD: "1s"
}

const createItems = (db: TestDatabase) =>
  db.query("CREATE TABLE items (id int PRIMARY KEY, title text); INSERT INTO items VALUES (1, 'a'), (2, 'b')")

/** A shape of its own for a test. */
const shapeOf = (name: string) => ({ table: "items", where: `title <> '${name}'` })

describe("a service with two workers", () => {
  const database = databaseForFile(createItems)
  let service: TestService
  let main: Connection
  let first: Connection
  let second: Connection
  let nextId = 100
  let metricsPort = 0

  beforeAll(async () => {
    metricsPort = await freePort()
    service = await startService({
      entry: commandFromSource,
      database: database(),
      env: { ...environment, ELECTRIC_PROMETHEUS_PORT: String(metricsPort), BATON_SLOW_REQUEST: "1ms" }
    })
    const pids = await untilWorkers(service, 2)
    main = await Connection.open(service, service.pid)
    first = await Connection.open(service, pids.get(1) ?? 0)
    second = await Connection.open(service, pids.get(2) ?? 0)
  }, twoMinutes)
  afterAll(async () => {
    for (const connection of [main, first, second]) connection?.close()
    await service?.dispose()
  })

  const insert = async (title = "new"): Promise<string> => {
    const id = nextId++
    await database().query("INSERT INTO items VALUES ($1, $2)", [id, title])
    return String(id)
  }
  it("says the same of its health everywhere", async () => {
    for (const connection of [main, first, second]) {
      const answer = await connection.request("/v1/health")
      assert.deepStrictEqual([answer.status, answer.body], [200, '{"status":"active"}'])
    }
  })

  it("gives the same answers to reads of an existing shape", async () => {
    const shape = shapeOf("same")
    const made = await main.shape({ ...shape, offset: "-1" })
    const handle = handleOf(made)
    const then = { ...shape, handle, offset: offsetOf(made) }
    for (const connection of [main, first, second]) {
      const initial = await connection.shape({ ...shape, offset: "-1" })
      assert.deepStrictEqual(
        [initial.status, handleOf(initial), initial.body, initial.headers.etag],
        [200, handle, made.body, made.headers.etag]
      )
      const next = await connection.shape(then)
      assert.strictEqual(next.status, 200)
      assert.strictEqual(messagesOf(next).at(-1)?.headers["control"], "up-to-date")
    }
  })

  it("delivers changes to live requests held by a worker, and by the main process", async () => {
    const shape = shapeOf("live")
    const made = await first.shape({ ...shape, offset: "-1" })
    const end = await first.shape({ ...shape, handle: handleOf(made), offset: offsetOf(made) })
    const live = { ...shape, handle: handleOf(made), offset: offsetOf(end), live: "true" }
    const held = [main, first, second].map((connection) => connection.shape(live))
    const id = await insert()
    for (const answer of await Promise.all(held)) {
      assert.strictEqual(answer.status, 200, answer.body)
      assert.deepStrictEqual(idsOf(answer), [id])
    }
  })

  /** The sum of a metric over all of its labels. */
  const metric = async (name: string): Promise<number> => {
    const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    const samples = [...page.matchAll(/^(\w+)(?:\{.*\})? (\S+)$/gm)].filter(([, found]) => found === name)
    return samples.reduce((sum, [, , value]) => sum + Number(value), 0)
  }

  it("measures from the commit to the bytes of what workers deliver, too", async () => {
    const shape = shapeOf("lag")
    const made = await first.shape({ ...shape, offset: "-1" })
    const end = await first.shape({ ...shape, handle: handleOf(made), offset: offsetOf(made) })
    const live = { ...shape, handle: handleOf(made), offset: offsetOf(end), live: "true" }
    await second.shape({ ...shape, handle: handleOf(made), offset: offsetOf(made) })
    const before = await metric("baton_serving_lag_seconds_count")
    const held = [first, second].map((connection) => connection.shape(live))
    await eventually("two that wait", async () => (await metric("baton_held_requests")) >= 2)
    await insert()
    for (const answer of await Promise.all(held)) assert.strictEqual(answer.status, 200, answer.body)
    await eventually(
      "both to be counted",
      async () => (await metric("baton_serving_lag_seconds_count")) === before + 2
    )
  })

  it("has in one record what goes wrong in its processes", async () => {
    const before = await metric("baton_faults_total")
    await second.shape({ ...shapeOf("slow"), offset: "-1" })
    await eventually("the fault of the worker", async () => {
      const { recent } = (await (await fetch(`${service.url}/baton/api/faults`)).json()) as FaultsReport
      return recent.some(({ code, worker }) => code === "BATON-REQUEST-SLOW" && worker === 2)
    })
    assert.isAbove(await metric("baton_faults_total"), before)
  })

  it("makes shapes that a worker is asked for, once for all who ask", async () => {
    const shape = { table: "items", where: "title LIKE '%new%' OR id < 2", columns: "id" }
    const asked = await Promise.all([
      first.shape({ ...shape, offset: "-1" }),
      second.shape({ ...shape, offset: "-1" }),
      main.shape({ ...shape, offset: "-1" })
    ])
    for (const answer of asked) assert.strictEqual(answer.status, 200, answer.body)
    assert.strictEqual(new Set(asked.map(handleOf)).size, 1)
    const refused = await first.shape({ table: "items", where: "nothing = 1", offset: "-1" })
    assert.strictEqual(refused.status, 400, refused.body)
    assert.strictEqual((await first.shape({ table: "nowhere", offset: "-1" })).status, 400)
  })

  it("never sends a client away that comes from another process: handles and offsets hold everywhere at once", async () => {
    const connections = [main, first, second]
    for (let round = 0; round < 6; round++) {
      const shape = shapeOf(`round ${round}`)
      const at = (i: number) => connections[(round + i) % 3] ?? main
      const made = await at(0).shape({ ...shape, offset: "-1" })
      let answer = await at(1).shape({ ...shape, handle: handleOf(made), offset: offsetOf(made) })
      assert.strictEqual(answer.status, 200, answer.body)
      const seen: Array<string | null | undefined> = []
      const written: Array<string> = []
      for (let change = 0; change < 6; change++) {
        written.push(await insert())
        while (seen.length < written.length) {
          const live = { ...shape, handle: handleOf(made), offset: offsetOf(answer), live: "true" }
          answer = await at(2 + change).shape(live)
          assert.strictEqual(answer.status, 200, answer.body)
          seen.push(...idsOf(answer))
        }
      }
      assert.deepStrictEqual(seen, written)
    }
  })

  it("drops a shape everywhere, whichever process is asked to", async () => {
    for (const [i, connection] of [main, first].entries()) {
      const shape = shapeOf(`dropped ${i}`)
      const made = await second.shape({ ...shape, offset: "-1" })
      const handle = handleOf(made)
      const end = await second.shape({ ...shape, handle, offset: offsetOf(made) })
      const live = second.shape({ ...shape, handle, offset: offsetOf(end), live: "true" })
      const dropped = await connection.request(
        `/v1/shape?${new URLSearchParams({ ...shape, handle })}`,
        "DELETE"
      )
      assert.strictEqual(dropped.status, 202, dropped.body)
      assert.strictEqual((await live).status, 409)
      for (const other of [main, first, second]) {
        const answer = await other.shape({ ...shape, handle, offset: offsetOf(end) })
        assert.strictEqual(answer.status, 409, answer.body)
        assert.notStrictEqual(handleOf(answer), handle)
      }
    }
  })

  it("answers subsets from a worker", async () => {
    const shape = { table: "items", log: "changes_only" }
    const answer = await first.shape({
      ...shape,
      offset: "-1",
      subset__where: "id <= 2",
      subset__order_by: "id desc",
      subset__limit: "1"
    })
    assert.strictEqual(answer.status, 200, answer.body)
    assert.include(answer.body, '"id":"2"')
  })

  it("follows a change of the table at every process", async () => {
    await database().query("CREATE TABLE growing (id int PRIMARY KEY); INSERT INTO growing VALUES (1)")
    const made = await Promise.all(
      [main, first, second].map((connection) => connection.shape({ table: "growing", offset: "-1" }))
    )
    await database().query("ALTER TABLE growing ADD COLUMN more int DEFAULT 4711")
    for (const connection of [first, second, main]) {
      await eventually("the shape with the new column", async () => {
        const answer = await connection.shape({ table: "growing", offset: "-1" })
        return answer.status === 200 && answer.body.includes("4711")
      })
      const old = await connection.shape({
        table: "growing",
        handle: handleOf(made[0] ?? assert.fail()),
        offset: "0_0"
      })
      assert.strictEqual(old.status, 409)
    }
  })

  it("has one replication connection, and no administrative connection in a worker", async () => {
    const sessions = await database().query<{ name: string; port: number; type: string }>(
      "SELECT application_name AS name, client_port AS port, backend_type AS type FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'baton%'"
    )
    assert.lengthOf(
      sessions.filter((session) => session.type === "walsender"),
      1
    )
    const workers = [...workersOf(service).values()]
    for (const { name, port } of sessions) {
      const worker = processAt(workers, port, database().port)
      // The one that was asked for a subset keeps its connection for a minute.
      if (worker !== undefined)
        assert.deepStrictEqual([name, worker], ["baton snapshot", workersOf(service).get(1)])
    }
  })

  it("replaces a worker that is killed; requests elsewhere do not notice", async () => {
    const shape = shapeOf("killed")
    const made = await main.shape({ ...shape, offset: "-1" })
    const end = await main.shape({ ...shape, handle: handleOf(made), offset: offsetOf(made) })
    const live = { ...shape, handle: handleOf(made), offset: offsetOf(end), live: "true" }
    const pid = workersOf(service).get(2) ?? assert.fail()
    const cut = second.shape(live).then(
      () => "answered",
      () => "cut"
    )
    const held = [main.shape(live), first.shape(live)]
    process.kill(pid, "SIGKILL")
    assert.strictEqual(await cut, "cut")
    const id = await insert()
    for (const answer of await Promise.all(held)) assert.deepStrictEqual(idsOf(answer), [id])
    await service.untilLogged(/HTTP worker 2 has ended \(SIGKILL\)/)
    await eventually("another worker 2", () => workersOf(service).get(2) !== pid, 30_000)
    second.close()
    second = await Connection.open(service, workersOf(service).get(2) ?? 0)
    const answer = await second.shape({ ...shape, offset: "-1" })
    assert.deepStrictEqual([answer.status, handleOf(answer)], [200, handleOf(made)])
    assert.strictEqual((await service.health())?.status, 200)
  })

  it("leaves no process behind when it is killed", async () => {
    const workers = [...workersOf(service).values()]
    await service.stop("SIGKILL")
    await eventually("the end of the workers", () => !workers.some(isRunning), 5_000)
  })
})

describe("a handover between services with workers", () => {
  const database = databaseForFile(createItems)

  it(
    "answers what is still held when the grace period is over, at the worker as at the main process",
    async () => {
      await using service = await startService({
        database: database(),
        env: {
          ...environment,
          BATON_HTTP_WORKERS: "1",
          BATON_SHUTDOWN_GRACE: "400ms",
          ELECTRIC_LONG_POLL_TIMEOUT: "60000"
        }
      })
      const worker = (await untilWorkers(service, 1)).get(1) ?? assert.fail()
      const connections = [
        await Connection.open(service, service.pid),
        await Connection.open(service, worker)
      ]
      const [atMain = assert.fail(), atWorker = assert.fail()] = connections
      const made = await atMain.shape({ table: "items", offset: "-1" })
      const known = { table: "items", handle: handleOf(made) }
      const { headers } = await atWorker.shape({ ...known, offset: offsetOf(made) })
      const offset = String(headers["electric-offset"])
      const held = connections.map((connection) => connection.shape({ ...known, offset, live: "true" }))
      for (const pid of [service.pid, worker]) {
        // Answered after the held one was sent: by then that one has arrived.
        const probe = await Connection.open(service, pid)
        assert.strictEqual((await probe.request("/v1/health")).status, 200)
        probe.close()
      }
      service.signal("SIGTERM")
      for (const answer of await Promise.all(held)) {
        assert.deepStrictEqual(
          [answer.status, offsetOf(answer), answer.headers["electric-has-data"], answer.headers.connection],
          [200, offset, "false", "close"]
        )
        assert.strictEqual(messagesOf(answer).at(-1)?.headers["control"], "up-to-date")
      }
      assert.deepStrictEqual(await service.ended, { code: 0, signal: null })
      for (const connection of connections) connection.close()
    },
    twoMinutes
  )

  it(
    "drains them; held requests get the successor's changes",
    async () => {
      await using old = await startService({
        database: database(),
        env: { ...environment, BATON_HTTP_WORKERS: "1" }
      })
      const oldWorker = (await untilWorkers(old, 1)).get(1) ?? assert.fail()
      const atOld = await Connection.open(old, oldWorker)
      const made = await atOld.shape({ table: "items", offset: "-1" })
      const end = await atOld.shape({ table: "items", handle: handleOf(made), offset: offsetOf(made) })

      await using young = await startService({
        database: database(),
        storageDir: old.storageDir,
        env: { ...environment, BATON_HTTP_WORKERS: "1" },
        until: "waiting"
      })
      const atYoung = await Connection.open(young, (await untilWorkers(young, 1)).get(1) ?? 0)
      assert.deepStrictEqual((await atYoung.request("/v1/health")).status, 202)
      const existing = await atYoung.shape({ table: "items", offset: "-1" })
      assert.deepStrictEqual([existing.status, handleOf(existing)], [200, handleOf(made)])

      const live = { table: "items", handle: handleOf(made), offset: offsetOf(end), live: "true" }
      const held = [atOld.shape(live), atYoung.shape(live)]
      // A new shape, asked of a worker whose instance waits: answered when that becomes active.
      const created = atYoung.shape({ table: "items", where: "id > 1", offset: "-1" })
      created.catch(() => {})
      // A request that is answered after the held one was sent: by then that one has arrived and is held.
      const probe = await Connection.open(old, oldWorker)
      assert.strictEqual((await probe.request("/v1/health")).status, 200)
      probe.close()
      old.signal("SIGTERM")
      await young.until("active")
      await database().query("INSERT INTO items VALUES (3, 'c')")
      const [drained, other] = await Promise.all(held)
      assert.deepStrictEqual(idsOf(drained ?? assert.fail()), ["3"])
      assert.strictEqual(drained?.headers.connection, "close")
      assert.deepStrictEqual(idsOf(other ?? assert.fail()), ["3"])
      assert.strictEqual((await created).status, 200)
      assert.deepStrictEqual(await old.ended, { code: 0, signal: null })
      await eventually("the end of the worker", () => !isRunning(oldWorker))
      atOld.close()
      atYoung.close()
    },
    twoMinutes
  )
})

describe("a service that keeps nothing", () => {
  it(
    "has workers that read what it holds in memory",
    async () => {
      const database = await createDatabase()
      try {
        await createItems(database)
        await using service = await startService({
          database,
          env: { ...environment, BATON_HTTP_WORKERS: "1", ELECTRIC_STORAGE: "MEMORY" }
        })
        const worker = await Connection.open(service, (await untilWorkers(service, 1)).get(1) ?? 0)
        const made = await worker.shape({ table: "items", offset: "-1" })
        assert.deepStrictEqual([made.status, idsOf(made)], [200, ["1", "2"]])
        worker.close()
        assert.deepStrictEqual((await service.stop()).code, 0)
      } finally {
        await database.drop()
      }
    },
    twoMinutes
  )
})
