import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import * as fc from "fast-check"
import { makeAccess } from "../../src/operator/api/Access.ts"
import { listShapes } from "../../src/operator/gather/ListShapes.ts"
import { configReport } from "../../src/operator/reports/ConfigReport.ts"
import { instancesReport, PresenceWatch } from "../../src/operator/reports/InstancesReport.ts"
import { ratesBetween, type Totals } from "../../src/operator/reports/Rates.ts"
import { requestOf, shapeDetail } from "../../src/operator/reports/ShapeDetail.ts"
import { maxPageSize, parseShapeQuery, type ShapeQuery } from "../../src/operator/reports/ShapeQuery.ts"
import { LiveTicks } from "../../src/operator/api/LiveTicks.ts"
import { whyReport } from "../../src/operator/reports/WhyReport.ts"
import { SlowReaders } from "../../src/telemetry/SlowReaders.ts"
import { HandTimers } from "../../testing/HandTimers.ts"
import { slotVerdict } from "../../src/operator/reports/StatusReport.ts"
import type { SlotFacts } from "../../src/operator/reports/PostgresFacts.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import { definitionOf } from "../storage/support.ts"

const parsed = (query: string): ShapeQuery => {
  const result = parseShapeQuery(new URLSearchParams(query))
  if (Result.isFailure(result)) throw new Error(result.failure)
  return result.success
}

const storeOf = (count: number, table: (i: number) => string): ShapeStore => {
  const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1000 })
  for (let i = 1; i <= count; i++) {
    const shape = store.create(i, `${i}-7`, definitionOf(table(i)), 1000 + i)
    shape.lastUsedMillis = (i * 7919) % 1000
    shape.snapshotComplete = true
  }
  return store
}

const asking = (authorization?: string, site?: string) => ({
  method: "GET",
  header: (name: string) =>
    name === "authorization" ? authorization : name === "sec-fetch-site" ? site : undefined
})

const basic = (password: string) => `Basic ${Buffer.from(`any:${password}`).toString("base64")}`

const at = (atMillis: number, n: number): Totals => ({
  atMillis,
  transactions: n,
  changes: 10 * n,
  receiveLagMillis: 5 * n,
  requests: 3 * n,
  cpuSeconds: n / 100
})

const slot = (given: Partial<SlotFacts>): SlotFacts => ({
  name: "s",
  walStatus: "reserved",
  activePid: 1,
  retainedWalBytes: 10,
  unconfirmedWalBytes: 1,
  safeWalBytes: null,
  maxSlotWalKeepBytes: null,
  ...given
})

const lock = (backendPid: number, holdsLock: boolean) => ({
  backendPid,
  holdsLock,
  address: null,
  connectedAt: null,
  unconfirmedWalBytes: null
})

const said = (backendPid: number, instanceId?: string) => ({
  release: "8",
  oldest: 1,
  newest: 3,
  backendPid,
  beat: 1,
  ...(instanceId === undefined ? {} : { instanceId, state: "active" })
})

describe("the list of shapes", () => {
  it("says of bad input what is wrong with it", () => {
    for (const query of [
      "page=0",
      "page=-1",
      "page=1e3",
      "page=x",
      "limit=0",
      `limit=${maxPageSize + 1}`,
      "sort=toString",
      "sort=--created",
      "evaluation=fast",
      "page=1000&limit=200",
      "serach=x",
      `search=${"x".repeat(501)}`
    ])
      assert.isTrue(Result.isFailure(parseShapeQuery(new URLSearchParams(query))), query)
    assert.deepStrictEqual(parsed("search=ABC&sort=-bytes&page=2&limit=10"), {
      search: "abc",
      evaluation: undefined,
      sort: "bytes",
      descending: true,
      page: 2,
      pageSize: 10
    })
  })

  it.effect("gives any page as sorting everything would", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 1500 }),
          fc.integer({ min: 1, max: 12 }),
          fc.integer({ min: 1, max: 200 }),
          fc.constantFrom("created", "lastRead", "table"),
          fc.boolean(),
          // Those that are dormant are listed as the others, and stay so.
          fc.integer({ min: 0, max: 1100 }),
          async (count, page, limit, sort, descending, sleepsBeforeMillis) => {
            const store = storeOf(count, (i) => `t${i % 13}`)
            store.sleep(sleepsBeforeMillis)
            const query = parsed(`search=t1&sort=${descending ? "-" : ""}${sort}&page=${page}&limit=${limit}`)
            const found = await Effect.runPromise(
              listShapes(store, query, (shapes) => Effect.succeed(new Uint32Array(shapes.length)))
            )
            const key = (shape: ReturnType<ShapeStore["get"]> & {}) =>
              sort === "created"
                ? shape.createdAtMillis
                : sort === "lastRead"
                  ? shape.lastUsedMillis
                  : shape.common.table.name
            const all = [...store.all()].filter(({ common }) => common.table.name.includes("t1"))
            all.sort((a, b) => {
              const [x, y] = [key(a), key(b)]
              return x === y ? a.id - b.id : x < y === !descending ? -1 : 1
            })
            assert.strictEqual(found.matching, all.length)
            assert.deepStrictEqual(
              found.shapes.map(({ handle }) => handle),
              all.slice((page - 1) * limit, page * limit).map(({ handle }) => handle)
            )
            for (const { dormant, lastReadAt } of found.shapes)
              assert.strictEqual(dormant, Date.parse(lastReadAt) < sleepsBeforeMillis)
          }
        ),
        { numRuns: 20 }
      )
    )
  )
})

describe("a shape in depth", () => {
  it("is asked for with names that mean the same table, and without a secret", () => {
    const store = storeOf(1, () => `Odd "name"`)
    const shape = store.get(1)
    assert.isDefined(shape)
    if (shape === undefined) return
    const target = new URL(requestOf(shape), "http://h")
    assert.strictEqual(target.searchParams.get("table"), 'public."Odd ""name"""')
    assert.strictEqual(target.searchParams.get("offset"), "-1")
    const detail = shapeDetail(shape)
    assert.include(detail, { handle: "1-7", evaluation: "all", state: "ready", dirtyShare: null })
    assert.strictEqual(detail.evaluationDetail.faster, null)
  })
})

describe("who may ask", () => {
  const access = makeAccess(Redacted.make("s3cret"))
  const none = new URLSearchParams()

  it("is whoever has the secret, and by way of metrics whoever gets there and wants to see no rows", () => {
    const way = "api"
    for (const deed of ["see", "rows", "change"] as const) {
      assert.strictEqual(access(asking(), none, way, deed)?.status, 401)
      assert.strictEqual(access(asking(basic("wrong")), none, way, deed)?.status, 401)
      assert.strictEqual(access(asking("Basic !"), none, way, deed)?.status, 401)
      assert.isUndefined(access(asking(basic("s3cret")), none, way, deed))
      assert.isUndefined(access(asking("bearer s3cret"), none, way, deed))
      assert.isUndefined(access(asking(), new URLSearchParams("secret=s3cret"), way, deed))
    }
    for (const deed of ["see", "rows", "change"] as const)
      assert.isUndefined(access(asking(), none, "host", deed))
    assert.isUndefined(access(asking(), none, "metrics", "see"))
    assert.strictEqual(access(asking(), none, "metrics", "rows")?.status, 401)
    assert.strictEqual(access(asking(), none, "metrics", "change")?.status, 401)
  })

  it("is no page of another site, whatever its browser sends along", () => {
    for (const site of ["cross-site", "same-site"])
      assert.strictEqual(access(asking(basic("s3cret"), site), none, "api", "change")?.status, 403)
    for (const site of ["same-origin", "none"])
      assert.isUndefined(access(asking(basic("s3cret"), site), none, "api", "change"))
  })
})

describe("the configuration", () => {
  it("shows no secret, wherever it stands", () => {
    const shown = configReport({
      DATABASE_URL: "postgresql://u:pa55@h/db",
      ELECTRIC_SECRET: "s3cret",
      BATON_TAIL_SECRET: "s3cret",
      AWS_SECRET_ACCESS_KEY: "s3cret",
      ELECTRIC_INSTANCE_ID: "http://x:s3cret@h/?token=s3cret",
      ELECTRIC_PORT: "3001",
      UNKNOWN_SECRET: "s3cret"
    })
    const text = JSON.stringify(shown)
    assert.notInclude(text, "s3cret")
    assert.notInclude(text, "pa55")
    assert.include(
      shown.find(({ name }) => name === "ELECTRIC_PORT"),
      { value: "3001", standard: "3000" }
    )
    assert.strictEqual(shown.find(({ name }) => name === "DATABASE_URL")?.value, "(hidden)")
    assert.strictEqual(shown.find(({ name }) => name === "ELECTRIC_STORAGE")?.value, null)
  })
})

describe("what is counted", () => {
  it("is told per second, of two moments that belong together", () => {
    assert.deepStrictEqual(ratesBetween(at(1000, 10), at(3000, 30)), {
      seconds: 2,
      transactionsPerSecond: 10,
      changesPerSecond: 100,
      requestsPerSecond: 30,
      receiveLagMillis: 5,
      cpuCores: 0.1
    })
    assert.isNull(ratesBetween(undefined, at(3000, 30)))
    assert.isNull(ratesBetween(at(2999, 30), at(3000, 30)))
    assert.isNull(ratesBetween(at(0, 30), at(600_000, 30)))
    assert.strictEqual(ratesBetween(at(1000, 30), at(2000, 10))?.changesPerSecond, 0)
    assert.isNull(ratesBetween(at(1000, 30), at(2000, 30))?.receiveLagMillis)
  })
})

describe("the slot", () => {
  it.each([
    ["missing", undefined],
    ["ok", slot({})],
    ["ok", slot({ walStatus: "extended", retainedWalBytes: 1e12 })],
    ["ok", slot({ maxSlotWalKeepBytes: 100 })],
    ["growing", slot({ maxSlotWalKeepBytes: 100, retainedWalBytes: 51 })],
    ["unreserved", slot({ walStatus: "unreserved" })],
    ["lost", slot({ walStatus: "lost", retainedWalBytes: null })]
  ] as const)("is %s", (state, facts) => assert.strictEqual(slotVerdict(facts).state, state))
})

describe("instances", () => {
  const self = { instanceId: "me", release: "9", state: "waiting", followerLagBytes: 12 }

  it("are those that hold the lock or wait for it, whatever they have said of themselves", () => {
    const reports = instancesReport(
      self,
      [lock(1, true), lock(2, false), lock(3, false)],
      [said(1, "other"), said(2, "me")]
    )
    assert.deepStrictEqual(
      reports.map(({ instanceId, isSelf, release, state }) => [instanceId, release, state, isSelf]),
      [
        ["other", "8", "active", false],
        ["me", "9", "waiting", true],
        [null, null, "waiting", false]
      ]
    )
    assert.strictEqual(reports[1]?.followerLagBytes, 12)
  })

  it("include those that have no part in the lock, for as long as what they say changes", () => {
    const draining = { ...said(7, "old"), state: "draining", name: "a" }
    const left = { ...said(8, "killed"), name: "b" }
    const watch = new PresenceWatch()
    const seen = (nowMillis: number, beat: number) =>
      instancesReport(
        self,
        [lock(1, true)],
        watch.living([{ ...draining, beat }, left, { ...said(1, "next"), beat, name: "c" }], nowMillis)
      ).map(({ instanceId, state }) => `${instanceId} ${state}`)
    assert.deepStrictEqual(seen(0, 1), ["next active", "me waiting", "old draining"])
    assert.deepStrictEqual(seen(20_000, 2), ["next active", "me waiting", "old draining"])
    assert.deepStrictEqual(seen(50_000, 2), ["null active", "me waiting"])
  })

  it("include the one that answers, when it is nowhere in the database", () => {
    assert.deepStrictEqual(
      instancesReport(self, [], []).map(({ holdsLock, instanceId, isSelf }) => [
        instanceId,
        isSelf,
        holdsLock
      ]),
      [["me", true, false]]
    )
  })
})

const part = (value: "true" | "false" | "null" | "failed") => ({ sql: "x", value, message: null })

describe("why a row is in a shape", () => {
  it.each([
    [undefined, false],
    [[], true],
    [["true", "true"], true],
    [["true", "false"], false],
    [["null", "true"], false],
    [["failed", "false"], false],
    [["failed", "true"], null]
  ] as const)("%j: %j", (values, belongs) =>
    assert.strictEqual(whyReport(values?.map(part)).belongs, belongs)
  )
})

const world = () => {
  const timers = new HandTimers()
  let looks = 0
  const watched: Array<boolean> = []
  const ticks = new LiveTicks({
    timers,
    onViewers: (areThere) => watched.push(areThere),
    look: (done) => done(Buffer.from(String(++looks)))
  })
  return { timers, ticks, watched, looks: () => looks }
}
const textOf = async (events: AsyncGenerator<Uint8Array>) =>
  Buffer.from((await events.next()).value ?? []).toString()

const reader = (sinceMillis: number, peer: string | undefined) => ({ sinceMillis, peer: () => peer })

describe("slow clients", () => {
  it("are those that have taken nothing for a second, the slowest first", () => {
    const readers = new SlowReaders()
    const fast = reader(9500, "fast")
    for (const one of [reader(8000, "b"), fast, reader(2000, undefined), reader(9000, "c")])
      readers.begin(one)
    assert.strictEqual(readers.waiting, 4)
    readers.end(fast)
    assert.deepStrictEqual(readers.longest(10_000), [
      { peer: null, forMillis: 8000 },
      { peer: "b", forMillis: 2000 },
      { peer: "c", forMillis: 1000 }
    ])
  })
})

describe("events for all who look", () => {
  it("cost one look a second while somebody looks, and nothing otherwise", async () => {
    const { looks, ticks, timers, watched } = world()
    timers.pass(5000)
    assert.strictEqual(looks(), 0)
    const [a, b] = [ticks.events(false)(), ticks.events(false)()]
    await Promise.all([textOf(a), textOf(b)])
    const before = looks()
    timers.pass(3000)
    assert.strictEqual(looks(), before + 3)
    // Who has not looked for three seconds is given what is newest, and not three events.
    assert.strictEqual(await textOf(a), String(before + 3))
    await a.return(undefined)
    await b.return(undefined)
    timers.pass(5000)
    const after = looks()
    assert.isAtMost(after, before + 6)
    timers.pass(60_000)
    assert.strictEqual(looks(), after)
    assert.deepStrictEqual(watched, [true, false])
  })

  it("are one where only the next is wanted, and end when the process is about to", async () => {
    const { ticks } = world()
    const once = ticks.events(true)()
    assert.isFalse((await once.next()).done)
    assert.isTrue((await once.next()).done)
    const endless = ticks.events(false)()
    await endless.next()
    const next = endless.next()
    ticks.drain()
    assert.isTrue((await next).done)
    assert.isFalse(ticks.takesMore)
  })
})
