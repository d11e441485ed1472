import { afterAll, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { type Instances, makeInstances, type Place } from "../../testing/services/Instances.ts"
import { LogFollower } from "../../testing/readers/LogFollower.ts"
import { treeDigest } from "../../testing/services/TreeDigest.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { differenceOfRows, selectRows } from "../../testing/postgres/Rows.ts"
import {
  type LogResponse,
  type Position,
  requestLog,
  ShapeLogReader
} from "../../testing/readers/ShapeLog.ts"
import { patient } from "../../testing/Load.ts"

const db = databaseForFile((database) =>
  database.query(
    `CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL);
     CREATE TABLE later (id int PRIMARY KEY, v int NOT NULL);
     CREATE TABLE unseen (id int PRIMARY KEY, v int NOT NULL);
     INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g;
     INSERT INTO later SELECT g, 0 FROM generate_series(1, 10) g`
  )
)
const storageDir = mkdtempSync(path.join(tmpdir(), "baton-waiting-"))
let instances: Instances
let active: Place
let waiting: Place

const urlOf = (place: Place) => `http://127.0.0.1:${place.port}`
const items = { table: "items" }

beforeAll(async () => {
  instances = await makeInstances({
    databaseUrl: db().url,
    streamId: db().streamId,
    storageDir,
    places: 3,
    env: { ELECTRIC_LONG_POLL_TIMEOUT: "4000", ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" }
  })
  active = await instances.start()
  await instances.untilHealth(active, "active")
  const reader = new ShapeLogReader({ url: urlOf(active), params: items })
  await reader.readToEnd()
  await db().query("UPDATE items SET v = v + 1 WHERE id = 1")
  await reader.followUntil("a change", () => reader.operations.length === 1)
  waiting = await instances.start()
  await instances.untilHealth(waiting, "waiting")
})
afterAll(async () => {
  await instances.close()
  rmSync(storageDir, { recursive: true, force: true })
})

const ask = (
  place: Place,
  position: Position,
  params: Readonly<Record<string, string>> = items,
  live = false
): Promise<LogResponse> => requestLog(urlOf(place), params, position, { live })

const changes = ({ messages }: LogResponse) =>
  messages.filter(({ headers }) => headers.control !== "up-to-date")

const timed = async <A>(work: Promise<A>): Promise<readonly [A, number]> => {
  const began = performance.now()
  const result = await work
  return [result, performance.now() - began]
}

const median = (values: ReadonlyArray<number>) =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Infinity

const endOf = async (place: Place, params: Readonly<Record<string, string>> = items): Promise<Position> => {
  const { handle, offset, status } = await ask(place, { offset: "now" }, params)
  assert.strictEqual(status, 200)
  return { offset: offset ?? "", handle: handle ?? undefined }
}

describe("a waiting instance", () => {
  it("answers every kind of request for an existing shape as the active one does", async () => {
    const position = await endOf(active)
    const kinds: ReadonlyArray<Position> = [
      { offset: "-1" },
      { offset: "0_0", handle: position.handle },
      { offset: "0_inf", handle: position.handle },
      { offset: "now" },
      position
    ]
    for (const kind of kinds) {
      const [theirs, ours] = [await ask(active, kind), await ask(waiting, kind)]
      assert.strictEqual(ours.status, 200)
      assert.deepStrictEqual(changes(ours), changes(theirs))
      for (const header of ["electric-handle", "electric-offset", "electric-schema", "cache-control"]) {
        assert.strictEqual(
          ours.headers.get(header),
          theirs.headers.get(header),
          `${header} at ${kind.offset}`
        )
      }
    }
    const query = new URLSearchParams({ ...items, offset: "-1" })
    const head = await fetch(`${urlOf(waiting)}/v1/shape?${query}`, { method: "HEAD" })
    assert.strictEqual(head.status, 200)
    assert.strictEqual(head.headers.get("electric-handle"), position.handle)
    const again = await fetch(`${urlOf(waiting)}/v1/shape?${query}`, {
      headers: { "if-none-match": head.headers.get("etag") ?? "" }
    })
    assert.strictEqual(again.status, 304)
  })

  it("serves a shape that the active one makes after it has started, and what happens to it", async () => {
    const reader = new ShapeLogReader({ url: urlOf(active), params: { table: "later" } })
    await reader.readToEnd()
    reader.moveTo(urlOf(waiting))
    await db().query("UPDATE later SET v = v + 1")
    await reader.followUntil("the changes", () => reader.operations.length === 10)
    const fresh = new ShapeLogReader({ url: urlOf(waiting), params: { table: "later" } })
    await fresh.readToEnd()
    const differs = differenceOfRows(await selectRows(db(), "SELECT * FROM later"), [...fresh.rows.values()])
    assert.strictEqual(differs, undefined)
    assert.strictEqual(fresh.position.handle, reader.position.handle)
  })

  it("tells live clients of a change within 100 ms at the median", async () => {
    let position = await endOf(waiting)
    let cursor = ""
    const lags: Array<number> = []
    for (let i = 0; i < 30; i++) {
      const answer = requestLog(urlOf(waiting), items, { ...position, cursor }, { live: true })
      await db().query("UPDATE items SET v = v + 1 WHERE id = 2")
      const [response, millis] = await timed(answer)
      assert.strictEqual(response.messages[0]?.headers.operation, "update")
      lags.push(millis)
      position = { offset: response.offset ?? "", handle: position.handle }
      cursor = response.headers.get("electric-cursor") ?? ""
    }
    assert.isBelow(median(lags), patient(100))
  })

  it("waits with an offset that it has not read yet, and is woken by it", async () => {
    const follower = new LogFollower({ url: urlOf(waiting), params: items }).start()
    onTestFinished(() => follower.stop())
    const reader = new ShapeLogReader({ url: urlOf(active), params: items, from: await endOf(active) })
    // Each answer of the active one is carried to the waiting one at once: often it is the first to hear of it.
    const lags: Array<number> = []
    for (let i = 0; i < 20; i++) {
      const change = db().query("UPDATE items SET v = v + 1 WHERE id = 3")
      await reader.followUntil("the change", () => reader.operations.length === i + 1)
      const [there, millis] = await timed(ask(waiting, reader.position))
      assert.strictEqual(there.status, 200)
      assert.strictEqual(there.offset, reader.position.offset)
      lags.push(millis)
      await change
    }
    assert.isBelow(median(lags), patient(200))
    await eventually("the follower to be there as well", () => follower.offset === reader.position.offset)
    assert.deepStrictEqual(follower.problems, [])
    assert.deepStrictEqual(follower.failures, [])
  })

  it("cannot tell an offset that there is not from one that is to come, as the active one can", async () => {
    const beyond = { ...(await endOf(active)), offset: "9000000000000000000_0" }
    const answers = await Promise.all([active, waiting].map((place) => ask(place, beyond)))
    assert.deepStrictEqual(
      answers.map(({ status }) => status),
      [400, 503]
    )
  })

  it("holds requests for a new shape and deletions for 5 s, then sends them away with Retry-After: 5", async () => {
    const { handle } = await endOf(active)
    const [[answer, millis], deletion] = await Promise.all([
      timed(ask(waiting, { offset: "-1" }, { table: "unseen" })),
      fetch(`${urlOf(waiting)}/v1/shape?handle=${handle}`, { method: "DELETE" })
    ])
    assert.strictEqual(answer.status, 503)
    assert.strictEqual(answer.headers.get("retry-after"), "5")
    assert.isAbove(millis, 4500)
    assert.isBelow(millis, patient(7000))
    assert.strictEqual(deletion.status, 503)
    assert.strictEqual(deletion.headers.get("retry-after"), "5")
    assert.strictEqual((await endOf(active)).handle, handle)
  })

  it("refuses at once what could never be served", async () => {
    for (const params of [
      { table: "no_such_table" },
      { table: "items", columns: "id,nope" },
      { table: "" }
    ]) {
      const [answer, millis] = await timed(ask(waiting, { offset: "-1" }, params))
      assert.strictEqual(answer.status, 400, JSON.stringify(params))
      assert.isBelow(millis, patient(2000))
    }
    const bad = await ask(waiting, { offset: "nonsense", handle: "x" })
    assert.strictEqual(bad.status, 400)
  })

  it("sends the clients of an unknown handle to the shape that there is", async () => {
    const { handle } = await endOf(active)
    const answer = await ask(waiting, { offset: "0_inf", handle: "1-1" })
    assert.strictEqual(answer.status, 409)
    assert.strictEqual(answer.handle, handle)
  })

  it("serves existing shapes while the database is out of reach, the active one too", async () => {
    const [before] = await selectRows(db(), "SELECT v FROM items WHERE id = 4")
    const position = await endOf(waiting)
    for (const place of [active, waiting]) place.wire.block()
    onTestFinished(() => {
      for (const place of [active, waiting]) place.wire.restore()
    })
    for (const place of [active, waiting]) {
      await instances.untilHealth(place, "waiting")
      const [answer, millis] = await timed(ask(place, { offset: "-1" }))
      assert.strictEqual(answer.status, 200)
      assert.isBelow(millis, patient(1000))
      assert.strictEqual((await ask(place, position)).status, 200)
    }
    const held = [ask(active, position, items, true), ask(waiting, position, items, true)]
    await db().query("UPDATE items SET v = v + 1 WHERE id = 4")
    for (const place of [active, waiting]) place.wire.restore()
    // Whichever instance is active now: clients of both are told of what happened meanwhile, under the same handle.
    for (const answer of await Promise.all(held)) {
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.handle, position.handle)
      assert.strictEqual(answer.messages[0]?.value?.["v"], String(Number(before?.["v"]) + 1))
    }
    active = await instances.active()
    waiting = instances.running().find((place) => place !== active) ?? waiting
    await instances.untilHealth(waiting, "waiting")
  })

  it("writes nothing to storage, whatever it is asked", { timeout: patient(150_000) }, async () => {
    await waiting.service?.stop()
    waiting.service = undefined
    const position = await endOf(active)
    // The holder, which alone could write, stands still and keeps the lock.
    active.service?.signal("SIGSTOP")
    onTestFinished(() => active.service?.signal("SIGCONT"))
    const before = treeDigest(storageDir)
    waiting = await instances.start()
    await instances.untilHealth(waiting, "waiting")
    assert.strictEqual((await ask(waiting, { offset: "-1" })).status, 200)
    assert.strictEqual((await ask(waiting, position)).status, 200)
    const [live, sent] = await Promise.all([
      ask(waiting, position, items, true),
      ask(waiting, { offset: "-1" }, { table: "unseen" })
    ])
    assert.strictEqual(live.status, 200)
    assert.strictEqual(sent.status, 503)
    await waiting.service?.stop()
    waiting.service = undefined
    assert.deepStrictEqual(treeDigest(storageDir), before)
    active.service?.signal("SIGCONT")
    waiting = await instances.start()
    await instances.untilHealth(waiting, "waiting")
  })

  it("makes the shape that it was asked for when it becomes active meanwhile", async () => {
    const asked = ask(waiting, { offset: "-1" }, { table: "unseen" })
    await active.service?.stop("SIGKILL")
    const answer = await asked
    assert.strictEqual(answer.status, 200)
    assert.isNotNull(answer.handle)
  })
})
