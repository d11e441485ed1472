import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, it, onTestFinished } from "vitest"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { requestLog } from "../../testing/readers/ShapeLog.ts"
import { patient } from "../../testing/Load.ts"

const db = databaseForFile((database) =>
  database.query("CREATE TABLE items (id int PRIMARY KEY, t text); INSERT INTO items VALUES (1, 'first')")
)

/** An event stream from the end of the log, and the ids that have come over it. */
const follow = async (service: TestService) => {
  const { handle, offset } = await requestLog(service.url, { table: "items" }, { offset: "now" })
  const aborter = new AbortController()
  onTestFinished(() => aborter.abort())
  const query = `table=items&handle=${handle}&offset=${offset}&live=true&live_sse=true`
  const response = await fetch(`${service.url}/v1/shape?${query}`, { signal: aborter.signal })
  assert.strictEqual(response.status, 200)
  assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
  const stream = { text: "", hasEnded: false }
  void (async () => {
    for await (const piece of response.body ?? []) stream.text += Buffer.from(piece).toString()
  })()
    .catch(() => {})
    .finally(() => (stream.hasEnded = true))
  const ids = () => Array.from(stream.text.matchAll(/"value":\{"id":"(\d+)"/g), ([, id]) => Number(id))
  return {
    handle,
    hasEnded: () => stream.hasEnded,
    shows: (...expected: ReadonlyArray<number>) =>
      eventually(`the events ${expected.join()}`, () => {
        assert.deepStrictEqual(ids(), expected)
        return stream.text.trimEnd().includes("up-to-date")
      })
  }
}

it(
  "streams go on at a waiting instance, at a draining one, and at the one that takes over",
  { timeout: patient(60_000) },
  async () => {
    const storageDir = mkdtempSync(path.join(tmpdir(), "baton-events-"))
    onTestFinished(() => rmSync(storageDir, { recursive: true, force: true }))
    const options = { database: db(), storageDir, env: { BATON_SHUTDOWN_GRACE: "2s" } }
    await using first = await startService(options)
    const atFirst = await follow(first)
    await using second = await startService({ ...options, until: "waiting" })
    const atSecond = await follow(second)
    assert.strictEqual(atSecond.handle, atFirst.handle)

    await db().query("INSERT INTO items VALUES (2, 'while one waits')")
    await Promise.all([atFirst.shows(2), atSecond.shows(2)])

    first.signal("SIGTERM")
    await second.until("active")
    await db().query("INSERT INTO items VALUES (3, 'while one drains')")
    await Promise.all([atFirst.shows(2, 3), atSecond.shows(2, 3)])
    assert.isFalse(atFirst.hasEnded())

    assert.deepStrictEqual(await first.ended, { code: 0, signal: null })
    assert.isTrue(atFirst.hasEnded() || (await eventually("the end", () => atFirst.hasEnded())))
    await db().query("INSERT INTO items VALUES (4, 'alone')")
    await atSecond.shows(2, 3, 4)
  }
)
