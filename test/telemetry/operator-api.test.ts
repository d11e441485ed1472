import { assert, beforeAll, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import type { ShapePage } from "../../src/operator/gather/ListShapes.ts"
import { type ChangesReport, mostChanges } from "../../src/operator/reports/ChangesReport.ts"
import type { WhyReport } from "../../src/operator/reports/WhyReport.ts"
import type { ShapeDetail } from "../../src/operator/reports/ShapeDetail.ts"
import type { StatusReport } from "../../src/operator/reports/StatusReport.ts"
import { eventually } from "../../testing/Eventually.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const secret = "only for operators"

type Live = StatusReport & { readonly eventLoop: { readonly busyShare: number } }

describe("the API for operators", () => {
  const db = databaseForFile()
  let service: TestService
  let metricsPort: number

  const ask = (path: string, init: RequestInit & { readonly port?: number } = {}) =>
    fetch(`http://127.0.0.1:${init.port ?? service.port}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${secret}`, ...init.headers }
    })
  const get = async <A>(path: string): Promise<A> => {
    const response = await ask(path)
    assert.strictEqual(response.status, 200, path)
    return (await response.json()) as A
  }

  beforeAll(async () => {
    await db().query(
      `CREATE TABLE "<img src=x>" (id int PRIMARY KEY, kind text, n int);
       INSERT INTO "<img src=x>" SELECT i, 'k' || i % 3, i FROM generate_series(1, 100) i`
    )
    metricsPort = await freePort()
    service = await startService({
      database: db(),
      env: {
        ELECTRIC_INSECURE: undefined,
        ELECTRIC_SECRET: secret,
        ELECTRIC_PROMETHEUS_PORT: String(metricsPort),
        BATON_HTTP_WORKERS: "1"
      }
    })
    await service.untilLogged(/HTTP worker 1 answers/)
    for (const where of ["kind = 'k1'", "n % 2 = 0 OR kind = 'k2'"]) {
      const params = new URLSearchParams({ table: '"<img src=x>"', where, offset: "-1", secret })
      const response = await fetch(`${service.url}/v1/shape?${params}`)
      assert.strictEqual(response.status, 200, await response.text())
    }
  }, 60_000)
  afterAll(() => service.dispose())

  it("tells of the instance, its slot and its processes, in whatever process the request comes in", async () => {
    for (let i = 0; i < 6; i++) {
      const status = await get<StatusReport>("/baton/api/status")
      assert.include(status, { state: "active", shapes: 2, needsSecret: true, failure: null })
      assert.strictEqual(status.slot?.verdict.state, "ok")
      assert.isAtLeast(status.slot?.retainedWalBytes ?? -1, 0)
      assert.deepStrictEqual(
        status.instances.map(({ holdsLock, isSelf }) => [holdsLock, isSelf]),
        [[true, true]]
      )
      assert.sameMembers(
        status.processes.map((one) => one.process),
        ["main", "worker-1"]
      )
    }
    await db().query(`UPDATE "<img src=x>" SET n = n + 1000`)
    await eventually("a rate", async () => {
      const { rates, totals } = await get<StatusReport>("/baton/api/status")
      return totals.changes >= 100 && rates !== null
    })
  })

  it("lists shapes, and shows one in depth", async () => {
    const all = await get<ShapePage>("/baton/api/shapes")
    assert.include(all, { total: 2, matching: 2, page: 1 })
    const found = await get<ShapePage>("/baton/api/shapes?search=K1&sort=-bytes")
    assert.strictEqual(found.shapes.length, 1)
    const [row] = found.shapes
    assert.include(row, { table: "public.<img src=x>", evaluation: "indexed", state: "ready" })
    const detail = await get<ShapeDetail>(`/baton/api/shapes/${row?.handle}`)
    assert.strictEqual(detail.handle, row?.handle)
    assert.strictEqual(detail.evaluation, "indexed")
    assert.isAbove(detail.snapshotBytes, 0)
    const again = await fetch(`${service.url}${detail.request}&secret=${encodeURIComponent(secret)}`)
    assert.strictEqual(again.headers.get("electric-handle"), row?.handle)
    await again.arrayBuffer()
    const evaluated = await get<ShapePage>("/baton/api/shapes?evaluation=evaluated")
    assert.strictEqual(evaluated.matching, 1)
  })

  it("shows what has changed last, and says why a row is in a shape or is not", async () => {
    const [row] = (await get<ShapePage>("/baton/api/shapes?search=k2")).shapes
    const shape = `/baton/api/shapes/${row?.handle}`
    await db().query(
      `UPDATE "<img src=x>" SET n = 7, kind = '<b>' WHERE id = 5; UPDATE "<img src=x>" SET n = 4, kind = NULL WHERE id = 6`
    )
    let report = await get<ChangesReport>(`${shape}/changes`)
    await eventually("the change", async () => {
      report = await get<ChangesReport>(`${shape}/changes`)
      return report.changes.some(({ key, value }) => key.endsWith('/"6"') && value["n"] === "4")
    })
    assert.isAtMost(report.changes.length, mostChanges)
    assert.deepStrictEqual((await get<ChangesReport>(`${shape}/changes?after=${report.next}`)).changes, [])
    // kind = 'k1', which is a single part
    const [other] = (await get<ShapePage>("/baton/api/shapes?search=k1")).shapes
    const why = (key: string) => get<WhyReport>(`/baton/api/shapes/${other?.handle}/why?key=${key}`)
    assert.deepInclude(await why("1"), { found: true, belongs: true })
    assert.deepInclude(await why("5"), { found: true, belongs: false })
    assert.strictEqual((await why("6")).parts[0]?.value, "null")
    assert.deepInclude(await why("4711"), { found: false, belongs: false })
    assert.strictEqual((await ask(`/baton/api/shapes/${other?.handle}/why?key=x'`)).status, 400)
    assert.strictEqual((await ask(`/baton/api/shapes/${other?.handle}/why`)).status, 400)
    assert.strictEqual((await ask(`${shape}/changes?after=x`)).status, 400)
    assert.deepStrictEqual(await get(`/baton/api/shapes/${other?.handle}/rows`), { rows: 34 })
  })

  it("counts who waits for a shape, in whatever process they wait", async () => {
    const [row] = (await get<ShapePage>("/baton/api/shapes?search=k1")).shapes
    const detail = await get<ShapeDetail>(`/baton/api/shapes/${row?.handle}`)
    const giveUp = new AbortController()
    const target = `${service.url}${detail.request.replace("offset=-1", `offset=${detail.offset}`)}`
    const held = Array.from({ length: 8 }, () =>
      fetch(`${target}&handle=${detail.handle}&live=true&secret=${encodeURIComponent(secret)}`, {
        signal: giveUp.signal
      }).catch(() => undefined)
    )
    await eventually("all of them", async () => {
      const [seen] = (await get<ShapePage>("/baton/api/shapes?search=k1")).shapes
      return seen?.readers === 8 && (await get<ShapeDetail>(`/baton/api/shapes/${row?.handle}`)).readers === 8
    })
    giveUp.abort()
    await Promise.all(held)
  })

  it("sends the same news to all who look, each second, and ends with the service", async () => {
    const readers = await Promise.all(
      [0, 1, 2].map(async () => {
        const response = await ask("/baton/api/live")
        assert.strictEqual(response.headers.get("content-type"), "text/event-stream; charset=utf-8")
        const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
        assert.isDefined(reader)
        return reader as NonNullable<typeof reader>
      })
    )
    let busiest = 0
    for (const reader of readers) {
      let text = ""
      while (text.split("\n\n").length < 4) text += (await reader.read()).value ?? ""
      const events = [...text.matchAll(/^event: status\ndata: (.*)$/gm)]
      const status = JSON.parse(events.at(-1)?.[1] ?? "") as Live
      busiest = Math.max(busiest, status.eventLoop.busyShare)
      assert.strictEqual(status.state, "active")
      assert.hasAllKeys(status.eventLoop, ["meanMillis", "maxMillis", "busyShare"])
      assert.strictEqual(status.takeovers.length, 1)
      assert.includeMembers(status.takeovers[0]?.steps.map(({ name }) => name) ?? [], ["START_REPLICATION"])
      await reader.cancel()
    }
    // Whatever process they have reached.
    assert.isAbove(busiest, 0)
  })

  it("drops a shape, for who has the secret", async () => {
    const [row] = (await get<ShapePage>("/baton/api/shapes?search=k2")).shapes
    const path = `/baton/api/shapes/${row?.handle}`
    const refused = await ask(path, { method: "DELETE", headers: { authorization: "Bearer no" } })
    assert.strictEqual(refused.status, 401)
    const foreign = await ask(path, { method: "DELETE", headers: { "sec-fetch-site": "cross-site" } })
    assert.strictEqual(foreign.status, 403)
    assert.strictEqual((await ask(path, { method: "DELETE" })).status, 202)
    assert.strictEqual((await ask(path, { method: "DELETE" })).status, 404)
    await eventually("one shape less", async () => (await get<ShapePage>("/baton/api/shapes")).total === 1)
  })

  it("answers bad input with what is wrong", async () => {
    const expected = [
      ["/baton/api/shapes?page=0", 400],
      ["/baton/api/shapes?sort=x", 400],
      ["/baton/api/shapes/none", 404],
      ["/baton/api/shapes/%ff", 400],
      ["/baton/api/shapes/a/b/c", 404],
      ["/baton/api/nothing", 404],
      ["/baton/api", 404]
    ] as const
    for (const [path, status] of expected) {
      const response = await ask(path)
      assert.strictEqual(response.status, status, path)
      assert.isString(((await response.json()) as { readonly message: unknown }).message)
      assert.isNull(response.headers.get("access-control-allow-origin"))
    }
    for (const method of ["POST", "OPTIONS", "DELETE"])
      assert.strictEqual((await ask("/baton/api/status", { method })).status, 405)
    const without = await fetch(`${service.url}/baton/api/status`)
    assert.strictEqual(without.status, 401)
    assert.match(without.headers.get("www-authenticate") ?? "", /^Basic /)
  })

  it("is on the port of metrics as well, and tells no secret anywhere", async () => {
    const texts: Array<string> = []
    for (const path of ["status", "shapes", "config"]) {
      const response = await fetch(`http://127.0.0.1:${metricsPort}/baton/api/${path}`)
      assert.strictEqual(response.status, 200)
      texts.push(await response.text())
    }
    const { handle } = (JSON.parse(texts[1] ?? "") as ShapePage).shapes[0] ?? { handle: "" }
    const path = `http://127.0.0.1:${metricsPort}/baton/api/shapes/${handle}`
    texts.push(await (await fetch(path)).text())
    for (const [method, aspect] of [
      ["DELETE", ""],
      ["GET", "/changes"],
      ["GET", "/why?key=1"],
      ["GET", "/rows"]
    ] as const)
      assert.strictEqual((await fetch(path + aspect, { method })).status, 401)
    for (const text of texts) {
      assert.notInclude(text, secret)
      assert.notInclude(text, db().password === "" ? "postgresql://" : db().password)
    }
  })

  it("tells of other instances on any of them, and lets nobody who looks hold up a stop", async () => {
    const other = await startService({
      database: db(),
      storageDir: service.storageDir,
      until: "waiting",
      env: { ELECTRIC_INSECURE: undefined, ELECTRIC_SECRET: secret, ELECTRIC_INSTANCE_ID: "other" }
    })
    try {
      const seen = async (port: number) =>
        ((await (await ask("/baton/api/status", { port })).json()) as StatusReport).instances.map(
          ({ holdsLock, instanceId, isSelf, state }) =>
            `${instanceId === "other" ? "other" : "first"} ${state} ${holdsLock} ${isSelf}`
        )
      await eventually("the other instance", async () =>
        (await seen(service.port)).includes("other waiting false false")
      )
      await eventually("the first instance", async () => {
        const instances = await seen(other.port)
        return instances.includes("first active true false") && instances.includes("other waiting false true")
      })
      const refused = await ask("/baton/api/shapes/x", { method: "DELETE", port: other.port })
      assert.include([404, 503], refused.status)
      const ports = [service.port, service.port, service.port, metricsPort]
      const open = await Promise.all(ports.map((port) => ask("/baton/api/live", { port })))
      const ended = Promise.all(open.map((response) => response.text()))
      // Within the grace period, which is 25 seconds.
      assert.strictEqual((await service.stop("SIGTERM", 15_000)).code, 0)
      await ended
    } finally {
      await other.dispose()
    }
  })
})
