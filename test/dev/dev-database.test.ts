import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync, chmodSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import pg from "pg"
import { afterAll, beforeAll } from "vitest"
import { type DevDatabase, devDatabase } from "../../src/dev/DevDatabase.ts"
import { freePort } from "../../src/dev/FreePort.ts"
import { isAlive } from "../../src/dev/Processes.ts"
import { eventually } from "../../testing/Eventually.ts"

const query = async (url: string, sql: string): Promise<ReadonlyArray<Record<string, unknown>>> => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

describe("the development database", () => {
  let directory: string
  let preferredPort: number
  beforeAll(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), "baton-test-"))
    chmodSync(directory, 0o755)
    preferredPort = await freePort()
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const open = <A>(work: (db: DevDatabase) => Promise<A>): Promise<A> =>
    Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(devDatabase({ directory, preferredPort }), (db) => Effect.promise(() => work(db)))
      )
    )
  const postmaster = () =>
    Number(readFileSync(path.join(directory, "postgres/data/postmaster.pid"), "utf8").split("\n")[0])

  it("comes with demo data, for a role that may replicate but is no superuser, and keeps what is written", async () => {
    const first = await open(async (db) => {
      assert.strictEqual(db.port, preferredPort)
      const [counts] = await query(
        db.url,
        "SELECT (SELECT count(*)::int FROM projects) AS projects, (SELECT count(*)::int FROM issues) AS issues"
      )
      assert.deepStrictEqual(counts, { projects: 5, issues: 200 })
      assert.deepStrictEqual(
        await query(db.url, "SELECT rolsuper, rolreplication FROM pg_roles WHERE rolname = current_user"),
        [{ rolsuper: false, rolreplication: true }]
      )
      assert.deepStrictEqual(await query(db.url, "SHOW wal_level"), [{ wal_level: "logical" }])
      await query(db.url, "UPDATE issues SET title = 'kept' WHERE id = 1")
      return { origin: db.origin, pid: postmaster() }
    })
    assert.strictEqual(first.origin, "created")
    assert.isFalse(isAlive(first.pid), "Postgres ends with the scope")
    await open(async (db) => {
      assert.strictEqual(db.origin, "started")
      assert.deepStrictEqual(await query(db.url, "SELECT title FROM issues WHERE id = 1"), [
        { title: "kept" }
      ])
    })
  })

  it("is shared by all who ask for it, and stops with the last of them", async () => {
    const pid = await open(async (first) => {
      await open(async (second) => {
        assert.strictEqual(second.origin, "shared")
        assert.strictEqual(second.url, first.url)
      })
      assert.lengthOf(await query(first.url, "SELECT 1"), 1)
      return postmaster()
    })
    assert.isFalse(isAlive(pid))
  })

  it("takes another port when its own is in use, and recovers from a stale process id", async () => {
    const taken = preferredPort
    await open(async () => {
      // Another directory wants the same port.
      const other = mkdtempSync(path.join(os.tmpdir(), "baton-test-"))
      chmodSync(other, 0o755)
      await Effect.runPromise(
        Effect.scoped(
          Effect.map(devDatabase({ directory: other, preferredPort: taken }), (db) =>
            assert.notStrictEqual(db.port, taken)
          )
        )
      )
      rmSync(other, { recursive: true })
    })
    // After a reboot the number in the file may be that of any process; this one, for example.
    writeFileSync(
      path.join(directory, "postgres/data/postmaster.pid"),
      [process.pid, path.join(directory, "postgres/data"), 1, taken, "", "127.0.0.1", "", "ready"].join("\n")
    )
    await open(async (db) => assert.strictEqual(db.origin, "started"))
  })

  it("is stopped when its user is killed, or found by the next one", async () => {
    const module = path.resolve("src/dev/DevDatabase.ts")
    const owner = spawn(
      process.execPath,
      [
        "--input-type=module",
        "--eval",
        `const { devDatabase } = await import(${JSON.stringify(module)})
         const { Effect } = await import("effect")
         const options = ${JSON.stringify({ directory, preferredPort })}
         await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
           const db = yield* devDatabase(options)
           console.log(db.origin)
           yield* Effect.never
         })))`
      ],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    await once(createInterface(owner.stdout), "line")
    const pid = postmaster()
    owner.kill("SIGKILL")
    await open(async (db) => assert.lengthOf(await query(db.url, "SELECT 1"), 1))
    await eventually("the end of Postgres", () => !isAlive(pid))
  })

  it("says what to do about data of another version", async () => {
    const version = path.join(directory, "postgres/data/PG_VERSION")
    writeFileSync(version, "17\n")
    const error = await Effect.runPromise(
      Effect.scoped(Effect.flip(devDatabase({ directory, preferredPort })))
    )
    writeFileSync(version, "18\n")
    assert.match(error.message, /made by Postgres 17.*Move it away/)
  })
})
