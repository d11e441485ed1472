import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { differenceOfRows, selectRows } from "../../testing/postgres/Rows.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { startService } from "../../testing/services/Service.ts"

const db = databaseForFile((database) =>
  database.query(
    `CREATE TABLE members (usr int, team int, PRIMARY KEY (usr, team));
     CREATE TABLE docs (id int PRIMARY KEY, team int, title text);
     INSERT INTO docs SELECT n, n % 6, repeat(md5(n::text), 10) FROM generate_series(1, 60) n`
  )
)
const bucket = mkdtempSync(join(tmpdir(), "baton-bucket-"))
afterAll(() => rmSync(bucket, { recursive: true, force: true }))

const env = {
  BATON_BUCKET: `file://${bucket}`,
  BATON_JOURNAL_SEGMENT_BYTES: "64 KiB",
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000"
}

const wheres = [
  "team IN (SELECT team FROM members WHERE usr = 1)",
  "team NOT IN (SELECT team FROM members WHERE usr = 2)"
]

/** All of the shape, from the beginning. */
const read = async (url: string, where: string) => {
  const reader = new ShapeLogReader({ url, params: { table: "docs", where }, retryMillis: 20_000 })
  await reader.readToEnd()
  return { handle: reader.position.handle, rows: [...reader.rows.values()], operations: reader.operations }
}

describe("shapes with sub-selects beside a bucket", () => {
  it(
    "are the same at instances that share nothing else, and go on when their writer is killed",
    { timeout: patient(60_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      await using first = await startService({ database: db(), env })
      await using second = await startService({ database: db(), env, until: "waiting" })
      const handles = await Promise.all(wheres.map(async (where) => (await read(first.url, where)).handle))
      const change = () => {
        const [usr, team, some] = [random.int(1, 2), random.int(0, 5), random.int(0, 9)]
        return db().query(
          random.pick([
            `INSERT INTO members VALUES (${usr}, ${team}) ON CONFLICT DO NOTHING`,
            `DELETE FROM members WHERE usr = ${usr} AND team = ${team}`,
            `UPDATE docs SET team = ${team}, title = repeat(md5('${random.int(0, 1000)}'), 10) WHERE id % 10 = ${some}`,
            `BEGIN; DELETE FROM members WHERE team = ${team}; UPDATE docs SET team = ${team} WHERE id % 10 = ${some};
             INSERT INTO members VALUES (${usr}, ${team}); COMMIT`
          ])
        )
      }
      const compare = async (urls: ReadonlyArray<string>) => {
        for (const [i, where] of wheres.entries())
          await eventually(`what Postgres selects where ${where}, seed ${seed}`, async () => {
            const expected = await selectRows(db(), `SELECT * FROM docs WHERE ${where}`)
            const [one, other] = await Promise.all(urls.map((url) => read(url, where)))
            for (const held of [one, other]) {
              if (held === undefined) continue
              assert.strictEqual(held.handle, handles[i])
              const differs = differenceOfRows(expected, held.rows)
              if (differs !== undefined) throw new Error(differs)
            }
            if (other !== undefined) assert.deepStrictEqual(other.operations, one?.operations)
            return true
          })
      }
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 30; n++) await change()
        await compare([first.url, second.url])
      }
      const writing = (async () => {
        for (let n = 0; n < 30; n++) await change()
      })()
      first.signal("SIGKILL")
      await second.until("active")
      await writing
      await compare([second.url])
      for (let n = 0; n < 10; n++) await change()
      await compare([second.url])
      assert.notMatch(second.logs(), /damaged|[Dd]ropped/)
    }
  )
})
