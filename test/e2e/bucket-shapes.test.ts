import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { startService } from "../../testing/services/Service.ts"

const db = databaseForFile((database) =>
  database.query(
    `CREATE TABLE items (id int PRIMARY KEY, v text NOT NULL);
     INSERT INTO items SELECT g, repeat(md5(g::text), 60) FROM generate_series(1, 400) g`
  )
)
const bucket = mkdtempSync(join(tmpdir(), "baton-bucket-"))
afterAll(() => rmSync(bucket, { recursive: true, force: true }))

const env = {
  BATON_BUCKET: `file://${bucket}`,
  BATON_JOURNAL_SEGMENT_BYTES: "64 KiB",
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "200000"
}

const keys = (pattern: RegExp): ReadonlyArray<string> =>
  readdirSync(bucket, { recursive: true, encoding: "utf8" }).filter((key) => pattern.test(key))

/** All of the shape, from the beginning. */
const read = async (url: string) => {
  const reader = new ShapeLogReader({ url, params: { table: "items" } })
  await reader.readToEnd()
  return { handle: reader.position.handle, rows: reader.rows }
}

describe("shapes beside a bucket", () => {
  it("are served by an instance that shares nothing else with their writer, which is killed", async () => {
    await using first = await startService({ database: db(), env })
    await using second = await startService({ database: db(), env, until: "waiting" })
    // For the release that comes next: who is there, and what they read.
    await eventually("both have said that they are there", () => keys(/instances\/[0-9a-f-]+$/).length === 2)
    const before = await read(first.url)
    assert.strictEqual(before.rows.size, 400)
    assert.isAbove(keys(/shapes\/[^/]+\/s\d+$/).length, 2)
    const there = await read(second.url)
    assert.strictEqual(there.handle, before.handle)
    assert.deepStrictEqual(there.rows, before.rows)
    let round = 0
    await eventually("changes are moved to packs", async () => {
      round++
      await db().query(
        `UPDATE items SET v = repeat(md5(id::text || '${round}'), 60) WHERE id % 4 = ${round % 4}`
      )
      return keys(/packs\/[0-9a-f-]+$/).length > 0
    })
    const latest = await eventually("both have all changes", async () => {
      const [a, b] = [await read(first.url), await read(second.url)]
      const rows = await db().query("SELECT id, v FROM items")
      assert.deepStrictEqual(a.rows, b.rows)
      const values = new Map([...a.rows.values()].map(({ id, v }) => [id, v]))
      return rows.every(({ id, v }) => values.get(String(id)) === v) && a
    })
    first.signal("SIGKILL")
    await second.until("active")
    const after = await read(second.url)
    assert.strictEqual(after.handle, before.handle)
    assert.deepStrictEqual(after.rows, latest.rows)
    // Whatever is lost here comes from the bucket again.
    for (const name of readdirSync(second.storageDir, { recursive: true, encoding: "utf8" }))
      if (name.endsWith("/shapes")) rmSync(join(second.storageDir, name), { recursive: true })
    assert.deepStrictEqual((await read(second.url)).rows, latest.rows)
    assert.notMatch(second.logs(), /damaged|dropped/)
  })
})
