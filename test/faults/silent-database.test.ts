import { createServer, type AddressInfo, type Socket } from "node:net"
import { assert, it, onTestFinished } from "vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { ask, databaseForTest, serviceForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

/** Accepts connections, and never says a word. */
const silentServer = async (): Promise<number> => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => void sockets.add(socket.on("error", () => {})))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

it("a database that accepts connections and says nothing holds up neither health nor the end", async () => {
  const url = `postgresql://u:p@127.0.0.1:${await silentServer()}/x`
  const service = await serviceForTest({ env: { DATABASE_URL: url }, until: false })
  await service.until("waiting")
  const refused = ask(service.url, { table: "items" })
  assert.strictEqual((await service.health())?.status, 202)
  assert.strictEqual((await refused).status, 503)
  const began = performance.now()
  assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
  assert.isBelow(performance.now() - began, patient(5000))
})

it("metrics go on while the database cannot be asked, and are whole again afterwards", async () => {
  const database = await databaseForTest()
  await database.query("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)")
  const elsewhere = await createDatabase()
  onTestFinished(() => elsewhere.drop())
  const allow = (allowed: boolean) =>
    elsewhere.query(`ALTER DATABASE ${database.name} ALLOW_CONNECTIONS ${allowed}`)
  const port = await freePort()
  const service = await serviceForTest({ database, env: { ELECTRIC_PROMETHEUS_PORT: String(port) } })
  assert.strictEqual((await ask(service.url, { table: "items" })).status, 200)
  const scrape = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/metrics`, {
      signal: AbortSignal.timeout(patient(10_000))
    })
    assert.strictEqual(response.status, 200)
    const text = await response.text()
    assert.match(text, /^electric_shapes_total_shapes_count 1$/m)
    return /^electric_postgres_replication_slot_retained_wal_size \d+$/m.test(text)
  }
  assert.isTrue(await scrape())
  await allow(false)
  await elsewhere.query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", [
    database.name
  ])
  await eventually("metrics without what only the database knows", async () => !(await scrape()))
  await allow(true)
  await eventually("all of them again", scrape)
  await service.until("active", 30_000)
})
