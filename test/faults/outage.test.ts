import { assert, describe, it, onTestFinished } from "vitest"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { gunzipSync } from "node:zlib"
import { decodeChainObject } from "../../src/storage/chain/ChainCodec.ts"
import { formatVersion } from "../../src/storage/disk/StorageDir.ts"
import { startDatabaseProxy } from "../../testing/services/DatabaseProxy.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

const shapes: ReadonlyArray<Readonly<Record<string, string>>> = [
  { table: "items" },
  { table: "items", columns: "id,v" },
  { table: "items", where: "v > 1" },
  // Not a clause that a shape was made with, but the same one.
  { table: "items", where: " v>1" },
  { table: "items", where: "v = $1 AND mood = 'happy'", "params[1]": "2" },
  { table: "tree" },
  { table: '"Odd Schema"."Odd Table"', replica: "full" },
  // No shape is on the table of the sub-select.
  { table: "items", where: "v IN (SELECT v FROM chosen WHERE is_chosen)" }
]

const ask = async (url: string, parameters: Readonly<Record<string, string>>) => {
  const began = performance.now()
  const response = await fetch(`${url}/v1/shape?${new URLSearchParams(parameters)}`)
  const handle = response.headers.get("electric-handle")
  return { status: response.status, handle, body: await response.text(), millis: performance.now() - began }
}

/** What the catalogue said, as far as it has got into the chain of a bucket that is a directory. */
const keptInChain = async (bucket: string, streamId: string): Promise<ReadonlyMap<string, Uint8Array>> => {
  const wal = path.join(bucket, streamId, `v${formatVersion}`, "wal")
  const kept = new Map<string, Uint8Array>()
  for (const name of readdirSync(wal).toSorted()) {
    if (!/^\d{20}$/.test(name)) continue
    const { files } = await decodeChainObject(readFileSync(path.join(wal, name)), name)
    for (const file of files ?? []) kept.set(file.name, file.content)
  }
  return kept
}

describe("an instance that starts while the database is down", () => {
  it.each(["a directory", "a bucket, and an empty directory"])(
    "serves every shape that storage holds in %s, and goes on under the same handles afterwards",
    { timeout: patient(90_000) },
    async (place) => {
      const bucket = place === "a directory" ? undefined : mkdtempSync(path.join(tmpdir(), "baton-bucket-"))
      const database = await createDatabase()
      const wire = await startDatabaseProxy(() => database.port)
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-outage-"))
      onTestFinished(async () => {
        await wire.close()
        await database.drop()
        for (const directory of [storageDir, bucket])
          if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
      })
      await database.query(
        `CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE TABLE items (id int PRIMARY KEY, v int, mood mood);
         INSERT INTO items SELECT i, i % 3, 'happy' FROM generate_series(1, 10) i;
         CREATE TABLE tree (id int PRIMARY KEY) PARTITION BY LIST (id);
         CREATE TABLE leaf PARTITION OF tree FOR VALUES IN (1);
         CREATE SCHEMA "Odd Schema"; CREATE TABLE "Odd Schema"."Odd Table" (x text);
         CREATE TABLE chosen (v int, is_chosen boolean); INSERT INTO chosen VALUES (1, true), (2, false)`
      )
      const start = (until: "active" | false) =>
        startService({
          database,
          storageDir,
          until,
          env: {
            DATABASE_URL: wire.url(database.url),
            BATON_BUCKET: bucket && `file://${bucket}`
          }
        })
      const first = await start("active")
      const before = await Promise.all(shapes.map((shape) => ask(first.url, { ...shape, offset: "-1" })))
      assert.deepStrictEqual(
        before.map(({ status }) => status),
        shapes.map(() => 200)
      )
      const root = path.join(storageDir, database.streamId, `v${formatVersion}`)
      await eventually("the schema is written down", async () => {
        const inChain = bucket && (await keptInChain(bucket, database.streamId))
        const kept = ["tables.json.gz", "types.json.gz"].map((name): unknown =>
          JSON.parse(
            gunzipSync(inChain ? (inChain.get(name) ?? "") : readFileSync(path.join(root, name))).toString()
          )
        )
        return Array.isArray(kept[0]) && kept[0].length === 4
      })
      await first.stop("SIGKILL")
      await first.dispose()
      if (bucket !== undefined) {
        assert.deepStrictEqual(readdirSync(path.join(storageDir, database.streamId)), ["mirror-0"])
        rmSync(storageDir, { recursive: true })
      }

      for (const outage of ["blackHole", "block"] as const) {
        wire[outage]()
        const during = await start(false)
        onTestFinished(during.dispose)
        await eventually("storage is loaded", async () => (await during.health()) !== undefined)
        const answers = await Promise.all(shapes.map((shape) => ask(during.url, { ...shape, offset: "-1" })))
        for (const [i, answer] of answers.entries()) {
          assert.strictEqual(answer.status, 200, `${outage}, ${JSON.stringify(shapes[i])}: ${answer.body}`)
          assert.strictEqual(answer.handle, before[i]?.handle ?? "")
          assert.strictEqual(answer.body, before[i]?.body)
          assert.isBelow(answer.millis, patient(6000))
        }
        if (outage === "block") {
          assert.strictEqual((await ask(during.url, { table: "unseen", offset: "-1" })).status, 503)
          wire.restore()
          await during.until("active", 30_000)
          for (const [i, shape] of shapes.entries()) {
            const { handle } = await ask(during.url, { ...shape, offset: "-1" })
            assert.strictEqual(handle, before[i]?.handle ?? "")
          }
        }
        // Not even a database that says nothing holds up the end.
        const began = performance.now()
        assert.deepStrictEqual(await during.stop(), { code: 0, signal: null })
        assert.isBelow(performance.now() - began, patient(15_000))
      }
    }
  )
})
