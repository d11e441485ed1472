import { readdirSync, readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { afterEach, assert, describe, it } from "vitest"
import { patient } from "../../testing/Load.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import type { TestService } from "../../testing/services/Service.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { databaseForTest, serviceForTest } from "./support/faults.ts"

const sockets = new Set<Socket>()
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
})

/** A client that sends this, and reads nothing by itself. */
const silentClient = ({ port }: TestService, text: string): Socket => {
  const socket = connect(port, "127.0.0.1")
  socket.on("error", () => {})
  socket.pause()
  socket.write(text)
  sockets.add(socket)
  return socket
}

const openFiles = ({ pid }: TestService): number => readdirSync(`/proc/${pid}/fd`).length

const memoryMB = ({ pid }: TestService): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]) / 1024

const setUp = async (env: Readonly<Record<string, string>> = {}) => {
  const database = await databaseForTest()
  await database.query(
    `CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE big (id int PRIMARY KEY, t text);
     INSERT INTO big SELECT i, repeat('x', 1000) FROM generate_series(1, 15000) i`
  )
  return { database, service: await serviceForTest({ database, env }) }
}

let ids = 0

/** What others have while it lasts: changes, health, new shapes, subsets, POST requests. */
const othersAreServed = async (service: TestService, database: TestDatabase) => {
  const reader = new ShapeLogReader({ url: service.url, params: { table: "good" } })
  await reader.readToEnd()
  const id = ++ids
  const began = performance.now()
  await database.query("INSERT INTO good VALUES ($1)", [id])
  await reader.followUntil(`row ${id}`, () => [...reader.rows.values()].some((row) => row["id"] === `${id}`))
  assert.isBelow(performance.now() - began, patient(1000), "a change of another table")

  const timed = async (what: string, millis: number, path: string, init?: RequestInit) => {
    const asked = performance.now()
    const answer = await fetch(`${service.url}${path}`, init)
    const text = await answer.text()
    assert.strictEqual(answer.status, 200, `${what}: ${text}`)
    assert.isBelow(performance.now() - asked, patient(millis), what)
  }
  await timed("health", 200, "/v1/health")
  await timed("a new shape", 2000, `/v1/shape?table=good&where=id%3C${id}&offset=-1`)
  await timed("a subset", 2000, "/v1/shape?table=big&offset=-1&subset__where=id%3C3")
  const body = '{"where":"id < 3"}'
  await timed("a POST", 2000, "/v1/shape?table=big&offset=-1", { method: "POST", body })
}

describe("clients that are slow on purpose", () => {
  it("hold no database connection while they read a subset", { timeout: patient(120_000) }, async () => {
    const { database, service } = await setUp({ ELECTRIC_DB_POOL_SIZE: "4" })
    await othersAreServed(service, database)
    const readers = Array.from({ length: 12 }, (_, i) =>
      silentClient(
        service,
        `GET /v1/shape?table=big&offset=-1&subset__where=id%3E${i} HTTP/1.1\r\nhost: test\r\n\r\n`
      )
    )
    // Fast enough to be taken for a client that reads.
    const reading = setInterval(() => {
      for (const socket of readers) socket.read(1000)
    }, 200)
    try {
      await eventually(
        "all have an answer",
        () => readers.every((socket) => socket.readableLength > 0),
        40_000
      )
      for (let i = 0; i < 3; i++) await othersAreServed(service, database)
      const sessions = await database.query(
        "SELECT FROM pg_stat_activity WHERE datname = $1 AND application_name = 'baton snapshot' AND state <> 'idle'",
        [database.name]
      )
      assert.isEmpty(sessions)
      assert.isTrue(readers.every((socket) => !socket.destroyed))
      assert.isBelow(memoryMB(service), 1000)
    } finally {
      clearInterval(reading)
    }
  })

  it("take no place with bodies that do not come", { timeout: patient(120_000) }, async () => {
    const { database, service } = await setUp({
      ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":20,"existing":100}',
      BATON_MAX_BODY_TIME: "10s"
    })
    await othersAreServed(service, database)
    const head = "POST /v1/shape?table=good&offset=-1 HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n"
    const senders = Array.from({ length: 400 }, () => silentClient(service, `${head}{`))
    await eventually("all are connected", () => openFiles(service) >= 400)
    for (let i = 0; i < 3; i++) await othersAreServed(service, database)
    await eventually(
      "they are sent away",
      () => {
        for (const socket of senders) socket.read(0)
        return senders.every((socket) => socket.readableLength > 0)
      },
      30_000
    )
    for (const socket of senders) assert.match(String(socket.read()), /^HTTP\/1.1 408 .*BATON_MAX_BODY_TIME/s)
  })

  it(
    "have what one answer takes, however many they ask for at once",
    { timeout: patient(120_000) },
    async () => {
      const { database, service } = await setUp()
      assert.strictEqual((await requestLog(service.url, { table: "big" }, { offset: "-1" })).status, 200)
      await othersAreServed(service, database)
      const before = openFiles(service)
      const request = "GET /v1/shape?table=big&offset=-1 HTTP/1.1\r\nhost: test\r\n\r\n"
      const patientOnes = Array.from({ length: 100 }, () => silentClient(service, request.repeat(90)))
      await eventually("all are connected", () => openFiles(service) >= before + 100)
      for (let i = 0; i < 3; i++) await othersAreServed(service, database)
      assert.isBelow(openFiles(service) - before, 250)
      assert.isBelow(memoryMB(service), 1000)
      for (const socket of patientOnes) socket.destroy()
      for (let i = 0; i < 100; i++) silentClient(service, request.repeat(200))
      for (let i = 0; i < 3; i++) await othersAreServed(service, database)
      await eventually("nothing is left of them", () => openFiles(service) < before + 20)
      assert.isBelow(memoryMB(service), 1000)
    }
  )
})
