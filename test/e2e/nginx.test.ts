import { gunzipSync } from "node:zlib"
import { Agent, get } from "node:http"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { startClient } from "../../testing/readers/RecordingClient.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { nginxPath, startNginx } from "../../testing/services/Nginx.ts"
import type { Proxy } from "../../testing/services/Proxy.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

if (nginxPath === undefined)
  console.warn("Skipped: the tests with a caching proxy need nginx (Debian: apt-get install nginx-light).")

const clients = 1000
const rounds = 3

interface Answer {
  readonly status: number
  readonly header: (name: string) => string
  readonly body: Buffer
}

describe.skipIf(nginxPath === undefined)("behind nginx as a caching, collapsing proxy", () => {
  const db = databaseForFile((database) =>
    database.query(
      `CREATE TABLE shared (id int PRIMARY KEY, t text); INSERT INTO shared SELECT i, repeat('x', 40) FROM generate_series(1, 500) i;
       CREATE TABLE turned (id int PRIMARY KEY, t text); INSERT INTO turned VALUES (1, 'one')`
    )
  )
  let service: TestService
  let proxy: Proxy
  // Without a limit on connections: each client has one of its own.
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

  beforeAll(async () => {
    service = await startService({ database: db(), env: { ELECTRIC_LOG_LEVEL: "debug" } })
    proxy = await startNginx(nginxPath ?? "", service.port)
  })
  afterAll(async () => {
    agent.destroy()
    await proxy?.dispose()
    await service?.dispose()
  })

  const ask = (query: string, headers: Record<string, string> = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      get(`${proxy.url}/v1/shape?${query}`, { agent, headers }, (response) => {
        const pieces: Array<Buffer> = []
        response.on("data", (piece: Buffer) => pieces.push(piece))
        response.on("error", reject)
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            header: (name) => String(response.headers[name] ?? ""),
            body: Buffer.concat(pieces)
          })
        )
      }).on("error", reject)
    })

  /** Requests that the service has answered. */
  const answered = (pattern: RegExp): number =>
    service
      .logs()
      .split("\n")
      .filter((line) => line.includes("GET /v1/shape") && pattern.test(line)).length

  it("first rows come from the cache, compressed and not", async () => {
    const query = "table=shared&offset=-1"
    for (const accepted of [undefined, "gzip, deflate, br", "gzip"]) {
      const headers: Record<string, string> = accepted === undefined ? {} : { "accept-encoding": accepted }
      const all = await Promise.all(Array.from({ length: 50 }, () => ask(query, headers)))
      for (const { status, body, header } of all) {
        assert.strictEqual(status, 200)
        const text = (header("content-encoding") === "gzip" ? gunzipSync(body) : body).toString()
        assert.strictEqual((JSON.parse(text) as ReadonlyArray<unknown>).length, 501)
        assert.strictEqual(header("content-encoding"), accepted === undefined ? "" : "gzip")
      }
    }
    assert.strictEqual(answered(/table=shared&offset=-1:/), 2)
    const tag = (await ask(query)).header("etag")
    assert.strictEqual((await ask(query, { "if-none-match": tag })).status, 304)
    assert.strictEqual(answered(/table=shared&offset=-1:/), 2)
  })

  it(
    `${clients} live clients cost the service one request per round`,
    { timeout: patient(90_000) },
    async () => {
      const first = await ask("table=shared&offset=-1")
      const handle = first.header("electric-handle")
      const caughtUp = await ask(`table=shared&handle=${handle}&offset=${first.header("electric-offset")}`)
      let offset = caughtUp.header("electric-offset")
      let cursor = ""
      for (let round = 1; round <= rounds; round++) {
        const before = answered(/live=true/)
        const query = `table=shared&handle=${handle}&offset=${offset}&live=true${cursor === "" ? "" : `&cursor=${cursor}`}`
        let arrived = 0
        const held = Array.from({ length: clients }, async () => {
          const answer = await ask(query)
          arrived++
          return answer
        })
        // Nobody is answered before there is something to say, so a change now reaches them all.
        await db().query("INSERT INTO shared VALUES ($1, 'new')", [1000 + round])
        const all = await Promise.all(held)
        assert.strictEqual(arrived, clients)
        for (const { status, body } of all) {
          assert.strictEqual(status, 200)
          assert.include(body.toString(), `"id":"${1000 + round}"`)
        }
        assert.strictEqual(answered(/live=true/) - before, 1)
        offset = all[0]?.header("electric-offset") ?? ""
        cursor = all[0]?.header("electric-cursor") ?? ""
      }
    }
  )

  it(
    "clients of a shape that is gone are sent to the new one once, and follow it",
    { timeout: patient(60_000) },
    async () => {
      const params = { table: "turned" }
      const followers = Array.from({ length: 5 }, () =>
        startClient({ url: proxy.url, params, retryMillis: 20 })
      )
      try {
        await Promise.all(followers.map(({ shape }) => shape.rows))
        for (let turn = 2; turn <= 4; turn++) {
          await db().query(`TRUNCATE turned; ALTER TABLE turned ALTER COLUMN t TYPE varchar(${20 - turn})`)
          await db().query("INSERT INTO turned VALUES ($1, 'next')", [turn])
          await eventually(`row ${turn}`, () =>
            followers.every(
              (client) =>
                client
                  .rows()
                  .map((row) => row["id"])
                  .join() === String(turn)
            )
          )
        }
        for (const client of followers) {
          assert.deepStrictEqual(client.errors, [])
          // One for the live request that the shape was dropped under, one for the first rows that the cache still had.
          assert.isAtMost(client.conflicts(), 3 * 3)
          assert.deepStrictEqual(
            client.failures.filter(({ status }) => status !== 409),
            []
          )
        }
      } finally {
        for (const client of followers) client.stop()
      }
    }
  )

  it("streams of events are passed on as they are written", async () => {
    const caughtUp = await ask("table=shared&offset=-1")
    const handle = caughtUp.header("electric-handle")
    const query = `table=shared&handle=${handle}&offset=0_inf&live=true&live_sse=true`
    const texts = ["", ""]
    const requests = texts.map((_, i) =>
      get(`${proxy.url}/v1/shape?${query}`, { agent: false }, (response) => {
        response.setEncoding("utf8").on("data", (piece: string) => (texts[i] += piece))
        response.on("error", () => {})
      }).on("error", () => {})
    )
    try {
      await eventually("the old changes", () => texts.every((text) => text.includes("up-to-date")))
      await db().query("INSERT INTO shared VALUES (5000, 'event')")
      await eventually("the new one", () => texts.every((text) => text.includes('"id":"5000"')))
    } finally {
      for (const request of requests) request.destroy()
    }
  })
})
